"""Documents to put into stores."""

from collections.abc import Iterator
from contextlib import contextmanager

from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.documents import Block, Document, Faq
from qingtan.knowledge.store import schema
from qingtan.knowledge.store.interface import Base, Found, Store, StoredDocument
from qingtan.knowledge.store.sql_store import SqlStore


def document(name: str, *texts: str, date: str | None = None) -> Document:
    blocks = tuple(Block("paragraph", text) for text in texts)
    return Document(name, name.upper(), "text/plain", blocks, date=date)


def put(
    store: Store,
    base: Base,
    name: str,
    *texts: str,
    digest: str = "",
    topic: str = "",
    date: str | None = None,
) -> StoredDocument:
    chunks = [Chunk("text", text) for text in texts]
    digest = digest or repr(texts)
    return store.put_document(base, document(name, *texts, date=date), digest, chunks, topic=topic)


@contextmanager
def of_version(store: SqlStore, version: int) -> Iterator[None]:
    """Let this program fill a store of an earlier schema, which lacks columns that it writes."""
    later = version < schema.STEPS.index(schema.revisions) + 1
    if later:
        schema.revisions(store.database)
    yield
    if later:
        store.database.rows("ALTER TABLE bases DROP COLUMN revision")


def texts(found: list[Found]) -> list[str]:
    return [each.chunk.chunk.text for each in found]


RICH_BLOCKS = (
    Block("heading", "第一章", level=1, page=1, box=(0.1, 0.2, 0.9, 0.25)),
    Block(
        "table",
        "名称 | 价格\n甲 | 1",
        rows=(("名称", "价格"), ("甲", "1")),
        header_rows=1,
    ),
    Block("faq", "怎么退\n七天内", faq=Faq("怎么退", "七天内", ("如何退",), "售后")),
)
RICH_CHUNK = Chunk(
    "faq",
    "七天内",
    headings=("手册", "第一章"),
    label="3.2",
    page=2,
    first_block=2,
    last_block=3,
    questions=("怎么退", "如何退"),
    answer="七天内",
    topic="售后",
    tokens=5,
)
