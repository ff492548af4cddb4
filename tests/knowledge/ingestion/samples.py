"""A reader and a cutter that are as simple as can be: a chunk for each line."""

from pathlib import Path

from qingtan.errors import UserError
from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.documents import Block, Document
from qingtan.knowledge.ingestion import Ingestion, Item, Loaded
from qingtan.knowledge.store.interface import Store


def read(item: Item, loaded: Loaded) -> Document:
    try:
        lines = loaded.data.decode().splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{item.name}: is not UTF-8") from None
    blocks = tuple(Block("paragraph", line) for line in lines)
    warnings = ("a picture was not read",) if "[picture]" in lines else ()
    return Document(item.name, item.name, "text/plain", blocks, warnings=warnings)


def cut(document: Document) -> list[Chunk]:
    return [Chunk("text", block.text) for block in document.blocks]


def ingestion(store: Store, **options: float) -> Ingestion:
    return Ingestion(store, read, cut, **options)  # type: ignore[arg-type]


def files(folder: Path, texts: dict[str, str | bytes], topic: str = "") -> list[Item]:
    items = []
    for name, text in texts.items():
        path = folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        items.append(Item("file", name, str(path), topic))
    return items


def run_all(work: Ingestion) -> int:
    count = 0
    while work.run_once():
        count += 1
    return count
