"""The Python face of the knowledge room: documents in, passages out.

    with Knowledge.open() as knowledge:
        knowledge.create("手册")
        knowledge.add("手册", "documents/", "https://example.org/faq.html")
        for hit in knowledge.search("手册", "保修期多久？"):
            print(hit.chunk.document.title, hit.chunk.chunk.text)

Answers need a model, and are `qingtan.apps.answering`.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from qingtan.errors import NotFound, UserError
from qingtan.glm.catalogue import find_model
from qingtan.i18n import tr
from qingtan.knowledge.chunking.by_tokens import cutter
from qingtan.knowledge.documents import Block
from qingtan.knowledge.encoders import Encoder
from qingtan.knowledge.ingestion import Ingestion, Item, Job
from qingtan.knowledge.loading import Loading, address_item, items_of
from qingtan.knowledge.places import check_name, make_private, places
from qingtan.knowledge.reading import Limits, Reader, Source
from qingtan.knowledge.reading.formats import PDF
from qingtan.knowledge.retrieval import Hit, Retriever
from qingtan.knowledge.rewriting import Turns
from qingtan.knowledge.store import open_store, restore
from qingtan.knowledge.store.feedback import Feedback, Opinion
from qingtan.knowledge.store.interface import (
    DEFAULT_TENANT,
    Base,
    Filter,
    Store,
    StoredChunk,
    StoredDocument,
)

OnProgress = Callable[[Job], None]
_OPEN = ("queued", "running")
# Seconds between two looks at a job that another program works on.
_POLL = 0.1
# After a look at a job, so many times as long as it took is worked.
_LOOKS = 20
# Seconds after which a file that is still being sent is given up.
_LONGEST_UPLOAD = 24 * 3600
# Somebody waits for a page: it has less time than a whole file, in seconds of the processor.
_LONGEST_DRAWING = 10.0


@dataclass(frozen=True, slots=True)
class _Parts:
    """What all tenants share."""

    folder: Path
    store: Store
    loading: Loading
    drawing: Reader
    ingestion: Ingestion
    retriever: Retriever
    lock: threading.Lock


class Knowledge:
    """The knowledge bases of a tenant; from any number of threads at once."""

    def __init__(self, parts: _Parts, tenant: str) -> None:
        """Use `open`."""
        self._parts = parts
        self._tenant = tenant

    @classmethod
    def open(
        cls,
        place: str | Path | None = None,
        *,
        tenant: str = DEFAULT_TENANT,
        tokenizer: str | Path = "qingtan",
        encoder: Encoder | None = None,
        limits: Limits | None = None,
    ) -> "Knowledge":
        """Open the bases, or make a place for them.

        Args:
            place: a folder, or a postgresql:// address; by default $QINGTAN_HOME/knowledge, or
                else a folder of one's own account.
            tokenizer: of the model, by name or folder, whose tokens chunks are measured in.
            encoder: makes vectors of what is added from now on, and of questions.
            limits: what reading a file may cost.

        Raises:
            UserError: the place cannot be used.
        """
        folder, address = places(place)
        make_private(folder)
        store = open_store(address)
        loading = Loading(Reader(limits))
        drawing = Reader(_for_drawing(limits or Limits()))
        ingestion = Ingestion(
            store, loading.read, cutter(find_model(tokenizer)), encoder, load=loading.load
        )
        retriever = Retriever(store, encoder)
        parts = _Parts(folder, store, loading, drawing, ingestion, retriever, threading.Lock())
        return cls(parts, tenant)

    @classmethod
    def restore(cls, backup: str | Path, place: str | Path | None = None) -> None:
        """Put everything back as it was at a backup; what came later is gone.

        Raises:
            UserError: the backup is damaged or none, or the place cannot be used.
        """
        folder, address = places(place)
        make_private(folder)
        restore(backup, address, replace=True)

    def of(self, tenant: str) -> "Knowledge":
        """Return the bases of another tenant in the same place."""
        return Knowledge(self._parts, tenant)

    @property
    def uploads(self) -> Path:
        """The folder where files that were sent wait to be read."""
        return self._parts.folder / "uploads"

    @property
    def retriever(self) -> Retriever:
        """What finds passages."""
        return self._parts.retriever

    # Bases.

    def create(self, name: str, *, about: str = "", words: Sequence[str] = ()) -> Base:
        """Make a base.

        Args:
            about: what is in it, for people.
            words: the trade's own words, which are kept whole when text is cut into words.

        Raises:
            UserError: the name is taken, or cannot stand in an address.
        """
        name = " ".join(name.split())
        check_name(name)
        return self._parts.store.create_base(self._tenant, name, about=about, words=words)

    def bases(self) -> list[Base]:
        """Return the bases, by name."""
        return self._parts.store.bases(self._tenant)

    def base(self, name: str) -> Base:
        """Return a base.

        Raises:
            NotFound: there is none of that name.
        """
        return self._parts.store.base(self._tenant, name)

    def remove(self, base: str, document: str | None = None) -> None:
        """Remove a document, by its id or its name, or a base with everything in it.

        Raises:
            NotFound: there is no such base or document.
        """
        found, store = self.base(base), self._parts.store
        if document is None:
            store.remove_base(found)
            self.tidy()
            return
        named = store.document_named(found, document)
        store.remove_document(found, named.id if named else document)

    # Documents.

    def add(
        self,
        base: str,
        *sources: str | Path,
        topic: str = "",
        progress: OnProgress | None = None,
    ) -> Job:
        """Read documents into a base, and return how it went; see `Job.report`.

        Interrupted, it leaves what was read so far, and the same call goes on.

        Args:
            sources: files, folders, zip archives, and addresses of http and https.
            topic: what they are about, for filters.
            progress: called with the job as it stands, after each file.

        Raises:
            UserError: there is no such base or file.
        """
        job = begun = self.submit(base, *sources, topic=topic)
        try:
            for job in self._worked(base, begun):
                if progress:
                    progress(job)
        except BaseException:
            with suppress(UserError):
                self.cancel(base, begun.id)
            raise
        return job

    def _worked(self, base: str, job: Job) -> Iterator[Job]:
        """Work until a job has ended; yield it as it stands, the last time when it has."""
        looked = cost = 0.0
        while job.state in _OPEN:
            worked = self.work()
            # Looking at a job of many files takes longer than reading one of them.
            if worked and time.monotonic() - looked < _LOOKS * cost:
                continue
            if not worked:
                time.sleep(_POLL)  # another program has taken what is left
            begun = time.monotonic()
            job = self.job(base, job.id)
            looked = time.monotonic()
            cost = looked - begun
            yield job

    def submit(self, base: str, *sources: str | Path, topic: str = "") -> Job:
        """Add a job that reads documents; whoever calls `work`, here or elsewhere, does it.

        Raises:
            UserError: there is no such base or file.
        """
        limits = self._parts.loading.limits
        items = [item for each in sources for item in items_of(each, topic=topic, limits=limits)]
        return self._submit(base, items)

    def submit_addresses(self, base: str, urls: Sequence[str], *, topic: str = "") -> Job:
        """Add a job that fetches addresses of http and https; nothing else, whatever is given."""
        return self._submit(base, [address_item(url, topic) for url in urls])

    def submit_upload(self, base: str, folder: Path, name: str, *, topic: str = "") -> Job:
        """Add a job that reads a file that was sent, and then removes it.

        Args:
            folder: a hidden one in `uploads`, which holds this file alone; it becomes this job's.
            name: the file's in it, clean.
        """
        found = self.base(base)
        with self._parts.lock:
            scratch = folder.rename(folder.with_name(folder.name.removeprefix(".")))
            # A name with folders of its own keeps them, and so does one in an archive.
            path = scratch if "/" in name else scratch / name
            limits = self._parts.loading.limits
            items = items_of(path, topic=topic, scratch=str(scratch), limits=limits)
            return self._parts.ingestion.submit(found, items)

    def tidy(self) -> None:
        """Remove files that were sent and that no job needs any more."""
        with self._parts.lock:
            needed = self._parts.store.jobs.scratch()
            for folder in self.uploads.iterdir():
                coming = folder.name.startswith(".")
                late = coming and time.time() - folder.stat().st_mtime > _LONGEST_UPLOAD
                if late or not (coming or str(folder) in needed):
                    shutil.rmtree(folder, ignore_errors=True)

    def _submit(self, base: str, items: Sequence[Item]) -> Job:
        return self._parts.ingestion.submit(self.base(base), items)

    def work(self) -> bool:
        """Read one file that waits, of any tenant; return whether there was one.

        Raises:
            Unavailable: the store is out of reach; what waits is read later.
        """
        return self._parts.ingestion.run_once()

    def job(self, base: str, id: str) -> Job:
        """Return a job with its report; NotFound where there is none."""
        return self._parts.ingestion.job(self.base(base), id)

    def jobs(self, base: str) -> list[Job]:
        """Return a base's jobs, the latest first, without their reports."""
        return self._parts.ingestion.jobs(self.base(base))

    def cancel(self, base: str, id: str) -> Job:
        """End a job; what is in the base by now stays there."""
        job = self._parts.ingestion.cancel(self.base(base), id)
        self.tidy()
        return job

    def documents(self, base: str) -> list[StoredDocument]:
        """Return what is in a base, by name."""
        return self._parts.store.documents(self.base(base))

    def document(self, base: str, id: str) -> StoredDocument:
        """Return a document; NotFound where there is none of that id."""
        return self._parts.store.document(self.base(base), id)

    def blocks(self, base: str, id: str) -> tuple[Block, ...]:
        """Return a document's blocks."""
        return self._parts.store.blocks(self.base(base), id)

    def chunks(self, base: str, id: str) -> list[StoredChunk]:
        """Return a document's chunks."""
        return self._parts.store.chunks(self.base(base), id)

    def original(self, base: str, id: str) -> bytes | None:
        """Return the file that a document was read from."""
        return self._parts.store.original(self.base(base), id)

    def page(self, base: str, id: str, number: int, *, width: int = 1000) -> bytes:
        """Return a page of a PDF document, from 1, as a WebP picture.

        It is drawn in a process of its own, beside the one that reads.

        Args:
            width: in dots.

        Raises:
            NotFound: there is no such document or page, or the document has no such pages.
            Unreadable: the page cannot be drawn.
        """
        document = self.document(base, id)
        if document.media_type != PDF:
            raise NotFound(
                tr("only pages of PDF files can be drawn", "只有PDF文件的页面可以显示为图片")
            )
        if not 1 <= number <= (document.pages or 0):
            raise NotFound(tr(f"has no page {number}", f"没有第{number}页"))
        data = self.original(base, id)
        if data is None:
            raise NotFound(tr("the file itself was not kept", "没有保存原文件"))
        source = Source.of_bytes(document.name, data, document.media_type)
        return self._parts.drawing.draw(source, number, width)

    # Finding.

    def search(
        self,
        bases: str | Sequence[str],
        query: str,
        *,
        limit: int = 5,
        where: Filter | None = None,
        history: Turns = (),
    ) -> list[Hit]:
        """Return passages, best first.

        Args:
            bases: one or several, by name.
            history: OpenAI's messages before the question, for a question that follows up.

        Raises:
            NotFound: there is no such base.
        """
        return self.retriever.find(self.named(bases), query, limit, where, history)

    def named(self, bases: str | Sequence[str]) -> list[Base]:
        """Return bases by their names, each once; NotFound where one is not there."""
        names = [bases] if isinstance(bases, str) else bases
        return [self.base(name) for name in dict.fromkeys(names)]

    # Feedback.

    def give_feedback(self, base: str, opinion: Opinion) -> Feedback:
        """Store what somebody says of an answer or a passage."""
        return self._parts.store.feedback.put(self.base(base), opinion)

    def feedback(self, base: str | None = None, *, limit: int = 100) -> list[Feedback]:
        """Return what was said, of one base or of all, the latest first."""
        bases = self.bases() if base is None else [self.base(base)]
        return self._parts.store.feedback.of(bases, limit)

    # All of it.

    def backup(self, path: str | Path) -> None:
        """Write everything into one file, while it is in use."""
        self._parts.store.backup(Path(path))

    def close(self) -> None:
        """Close the store, and end the reading processes."""
        self._parts.loading.close()
        self._parts.drawing.close()
        self._parts.store.close()

    def __enter__(self) -> "Knowledge":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _for_drawing(limits: Limits) -> Limits:
    return replace(limits, seconds=min(limits.seconds, _LONGEST_DRAWING))
