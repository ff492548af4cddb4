"""From what a person names to the items of a job, and from an item to its bytes."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qingtan.errors import UserError
from qingtan.i18n import tr
from qingtan.knowledge import web
from qingtan.knowledge.documents import Document
from qingtan.knowledge.ingestion import Item, Loaded
from qingtan.knowledge.reading import Limits, Reader, Source, Unreadable, sources
from qingtan.knowledge.store.job_records import ItemKind

_ADDRESSES = ("http://", "https://")
# Folders and archives whose lists are remembered while their files are read.
_LISTED = 4


def items_of(
    source: str | Path, *, topic: str = "", scratch: str = "", limits: Limits | None = None
) -> list[Item]:
    """Return an item for an address, a file, or each file of a folder or of an archive.

    What cannot be read is an item, too, and becomes a line of the job's report.

    Args:
        scratch: what is removed when all of it has been read.

    Raises:
        UserError: there is no such file, or nothing in the folder.
    """
    if isinstance(source, str) and source.lower().startswith(_ADDRESSES):
        return [address_item(source, topic)]
    path = Path(source).absolute()
    if not path.exists():
        raise UserError(tr(f"{source}: no such file or folder", f"{source}：没有这个文件或文件夹"))
    try:
        found = list(sources(path, limits))
    except Unreadable:
        # An archive that cannot be opened; whoever reads it says why.
        return [Item("member", path.name, str(path), topic, scratch)]
    if not found:
        raise UserError(tr(f"{source}: holds no files", f"{source}：其中没有文件"))
    kind: ItemKind = "file" if path.is_file() and not _is_archive(path) else "member"
    return [Item(kind, each.name, str(path), topic, scratch) for each in found]


def address_item(url: str, topic: str = "") -> Item:
    """Return an item for an address; what is none, and a path never is, becomes a failed line."""
    try:
        name = web.name_of(url)
    except Unreadable:
        name = web.shown(url)
    return Item("address", name, url, topic)


class Loading:
    """Gets the bytes of items, and reads them."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lists: OrderedDict[tuple[str, int], dict[str, Source]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def limits(self) -> Limits:
        """What reading a file may cost."""
        return self._reader.limits

    def load(self, item: Item) -> Loaded:
        """Return an item's bytes.

        Raises:
            UserError: it cannot be read, with the reason alone.
        """
        with _reasons():
            if item.kind == "address":
                fetched = web.fetch(item.place)
                return Loaded(fetched.data, fetched.media_type)
            source = self._source(item)
            return Loaded(source.read(self.limits), source.media_type)

    def read(self, item: Item, loaded: Loaded) -> Document:
        """Return what an item says, read by the reading process.

        Raises:
            UserError: as of `load`.
        """
        with _reasons():
            source = Source.of_bytes(item.name, loaded.data, loaded.media_type)
            return self._reader.read(source)

    def close(self) -> None:
        """End the reading process."""
        self._reader.close()

    def _source(self, item: Item) -> Source:
        for listed in self._listings(item.place):
            if item.name in listed:
                return listed[item.name]
        raise UserError(tr("is not there any more", "文件已不存在"))

    def _listings(self, place: str) -> Iterator[dict[str, Source]]:
        """Yield what is remembered of a place, and then what is there now."""
        path = Path(place)
        try:
            key = place, path.stat().st_mtime_ns
        except OSError:
            return
        with self._lock:
            if known := self._lists.get(key):
                self._lists.move_to_end(key)
        if known:
            yield known
        listed = {each.name: each for each in sources(path, self.limits)}
        with self._lock:
            self._lists[key] = listed
            while len(self._lists) > _LISTED:
                self._lists.popitem(last=False)
        yield listed


@contextmanager
def _reasons() -> Iterator[None]:
    """Within it, what cannot be read raises its reason alone: the report names the file itself."""
    try:
        yield
    except Unreadable as error:
        raise UserError(error.reason) from None


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == ".zip"
