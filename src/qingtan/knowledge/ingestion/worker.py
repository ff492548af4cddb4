"""Working on jobs: read, cut, encode, and put in, one item after the other.

An item's document comes into its base in the same transaction in which the item ends. So whenever a
worker is killed, the document is there and the item done, or neither.
"""

import hashlib
import logging
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qingtan.errors import UserError
from qingtan.i18n import tr
from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.documents import Document
from qingtan.knowledge.encoders import Encoder, Vectors
from qingtan.knowledge.store.errors import Unavailable
from qingtan.knowledge.store.interface import Base, Store
from qingtan.knowledge.store.job_records import Item, Job, Lost, Outcome, Work

_log = logging.getLogger(__name__)
_ENCODED_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that is at hand.

    Attributes:
        media_type: what a server called it; may be empty.
    """

    data: bytes
    media_type: str = ""


Load = Callable[[Item], Loaded]
Read = Callable[[Item, Loaded], Document]
Cut = Callable[[Document], Sequence[Chunk]]


def load_file(item: Item) -> Loaded:
    """Load an item of the kind "file".

    Raises:
        UserError: it is of another kind, or cannot be read.
    """
    if item.kind != "file":
        raise UserError(tr(f"{item.name}: is no file", f"{item.name}：不是文件"))
    try:
        return Loaded(Path(item.place).read_bytes())
    except OSError as error:
        raise UserError(f"{item.name}: {error.strerror}") from None


class Ingestion:
    """Takes jobs and works on them.

    Several may work on one store, in threads, processes, or on other machines.

    Args:
        read: makes a document of what was loaded; what it raises goes into the job's report.
        cut: makes chunks of it.
        encoder: makes vectors of chunks, where bases have any.
        load: gets an item's bytes. Where they are those of the document that is there, the item is
            not read again.
        attempts: how often an item may fail, or end its worker, before it is set aside.
        lease: seconds after which another takes over what a killed worker held.
    """

    def __init__(
        self,
        store: Store,
        read: Read,
        cut: Cut,
        encoder: Encoder | None = None,
        *,
        load: Load = load_file,
        attempts: int = 2,
        lease: float = 30.0,
    ) -> None:
        self._store = store
        self._jobs = store.jobs
        self._read = read
        self._cut = cut
        self._encoder = encoder
        self._load = load
        self._attempts = attempts
        self._lease = lease

    def submit(self, base: Base, items: Sequence[Item]) -> Job:
        """Add a job.

        Raises:
            UserError: there are no items, or no such base.
        """
        return self._jobs.add(base, items)

    def jobs(self, base: Base) -> list[Job]:
        """Return a base's jobs, the latest first, without their reports."""
        return self._jobs.jobs(base)

    def job(self, base: Base, id: str) -> Job:
        """Return a job with its report."""
        return self._jobs.job(base, id)

    def cancel(self, base: Base, id: str) -> Job:
        """End a job; what is in the base by now stays there."""
        return self._jobs.cancel(base, id)

    def run_once(self) -> bool:
        """Work on one item; returns whether there was one.

        Raises:
            Unavailable: the store cannot be written; the item is tried again later.
        """
        worker = secrets.token_urlsafe(12)
        work = self._jobs.claim(worker, self._lease, self._attempts)
        if work is None:
            return False
        with self._held(work):
            try:
                self._work(work)
            except Lost:
                _log.info("%s was cancelled or taken over", work.job)
        self._tidy(work.item)
        return True

    def run(self, stop: threading.Event, idle: float = 1.0) -> None:
        """Work until the event is set; look for new jobs every `idle` seconds."""
        while not stop.is_set():
            try:
                worked = self.run_once()
            except Unavailable as error:
                _log.warning("%s", error)
                worked = False
            if not worked:
                stop.wait(idle)

    def _work(self, work: Work) -> None:
        try:
            self._ingest(work)
        except Unavailable:
            self._jobs.release(work)
            raise
        except Lost:
            raise
        except UserError as error:
            self._jobs.fail(work, str(error), self._attempts)
        except Exception as error:  # whatever a file does to its reader, the others are read
            _log.exception("an item of job %s failed", work.job)
            self._jobs.fail(work, f"{type(error).__name__}: {error}", self._attempts)

    def _ingest(self, work: Work) -> None:
        item, base = work.item, work.base
        loaded = self._load(item)
        digest = hashlib.sha256(loaded.data).hexdigest()
        known = self._store.document_named(base, item.name)
        if known and (known.digest, known.topic) == (digest, item.topic):
            self._jobs.end(work, "unchanged")
            return
        document = self._read(item, loaded)
        chunks = self._cut(document)
        vectors = self._encode(chunks)
        is_known = known or self._store.document_named(base, document.name)
        outcome: Outcome = "replaced" if is_known else "added"
        self._store.put_document(
            base,
            document,
            digest,
            chunks,
            topic=item.topic,
            original=loaded.data,
            vectors=vectors,
            encoder=self._encoder.name if self._encoder else "",
            within=lambda: self._jobs.end(work, outcome, warnings=document.warnings),
        )

    def _encode(self, chunks: Sequence[Chunk]) -> Vectors | None:
        if self._encoder is None or not chunks:
            return None
        texts = [chunk.searched for chunk in chunks]
        starts = range(0, len(texts), _ENCODED_AT_ONCE)
        return np.concatenate(
            [self._encoder.encode(texts[start : start + _ENCODED_AT_ONCE]) for start in starts]
        )

    @contextmanager
    def _held(self, work: Work) -> Iterator[None]:
        """Renew the lease, from a thread of its own, as long as this process lives."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self._lease / 3):
                try:
                    if not self._jobs.renew(work, self._lease):
                        return
                except Unavailable as error:
                    _log.warning("%s", error)

        thread = threading.Thread(target=renew, name="qingtan-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _tidy(self, item: Item) -> None:
        """Remove scratch that no other item needs."""
        if item.scratch and item.scratch not in self._jobs.scratch():
            path = Path(item.scratch)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
