"""The store, in SQL that SQLite and PostgreSQL share."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import NotFound, UserError
from qingtan.i18n import tr
from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.documents import Block, Document
from qingtan.knowledge.store.bases import count, current, no_base
from qingtan.knowledge.store.checking import damage
from qingtan.knowledge.store.database import Database
from qingtan.knowledge.store.feedback import FeedbackTable
from qingtan.knowledge.store.index import Index
from qingtan.knowledge.store.interface import (
    EVERYTHING,
    Base,
    Filter,
    Found,
    StoredChunk,
    StoredDocument,
)
from qingtan.knowledge.store.jobs import Jobs
from qingtan.knowledge.store.records import (
    BASE,
    DOCUMENT,
    base_of,
    clean,
    document_of,
    load_blocks,
    load_chunk,
    new_revision,
    now,
    stored_chunk_of,
)
from qingtan.knowledge.store.searching import CHUNK, Searching
from qingtan.knowledge.store.snapshots import MEMORY
from qingtan.knowledge.store.writing import (
    check_vectors,
    dump_words,
    insert_chunks,
    insert_document,
)
from qingtan.knowledge.words import segmenter

_AT_ONCE = 500  # chunks that are held in memory while a base is indexed anew
_LONGEST_NAME = 200


class SqlStore:
    """See `Store`.

    Args:
        memory: bytes that bases' words may take in memory, about; 0 leaves all to the database.
    """

    def __init__(self, database: Database, index: Index, memory: int = MEMORY) -> None:
        self.database = database
        self._index = index
        self._searching = Searching(database, index, memory)
        self.jobs = Jobs(database)
        self.feedback = FeedbackTable(database)

    # Bases.

    def create_base(
        self, tenant: str, name: str, *, about: str = "", words: Sequence[str] = ()
    ) -> Base:
        """See `Store.create_base`."""
        tenant, name = clean(tenant), clean(name)
        if not name.strip() or len(name) > _LONGEST_NAME:
            raise UserError(
                tr(
                    f"{name[:20]!r}: a base's name has 1 to {_LONGEST_NAME} characters",
                    f"{name[:20]!r}：知识库名称须为1到{_LONGEST_NAME}个字符",
                )
            )
        with self.transaction():
            made = self.database.rows(
                "INSERT INTO bases (tenant, name, about, words, created, revision) "
                "VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (tenant, name) DO NOTHING RETURNING number",
                (tenant, name, clean(about), dump_words(words), now(), new_revision()),
            )
            if not made:
                raise UserError(
                    tr(f"{name}: there is such a base already", f"{name}：同名知识库已存在")
                )
            self._index.create(made[0][0])
        return self.base(tenant, name)

    def bases(self, tenant: str) -> list[Base]:
        """See `Store.bases`."""
        rows = self.database.rows(
            f"SELECT {BASE} FROM bases WHERE tenant = ? ORDER BY name", (clean(tenant),)
        )
        return [base_of(row) for row in rows]

    def base(self, tenant: str, name: str) -> Base:
        """See `Store.base`."""
        rows = self.database.rows(
            f"SELECT {BASE} FROM bases WHERE tenant = ? AND name = ?", (clean(tenant), clean(name))
        )
        if not rows:
            raise no_base(name)
        return base_of(rows[0])

    def remove_base(self, base: Base) -> None:
        """See `Store.remove_base`."""
        with self.transaction():
            self._current(base, hold=True)
            self._index.drop(base.id)
            self.database.rows("DELETE FROM bases WHERE number = ?", (base.id,))
        self._searching.snapshots.forget(base.id)

    def set_words(self, base: Base, words: Sequence[str]) -> Base:
        """See `Store.set_words`."""
        with self.transaction():
            self._current(base, hold=True)
            self.database.rows(
                "UPDATE bases SET words = ?, revision = ? WHERE number = ?",
                (dump_words(words), new_revision(), base.id),
            )
            self._index.clear_words(base.id)
            changed = self._current(base)
            self._index_anew(changed)
        return changed

    def _index_anew(self, base: Base) -> None:
        cut, last = segmenter(base.words), 0
        while rows := self.database.rows(
            "SELECT chunks.number, chunks.chunk FROM chunks "
            "JOIN documents ON documents.number = chunks.document "
            f"WHERE documents.base = ? AND chunks.number > ? "
            f"ORDER BY chunks.number LIMIT {_AT_ONCE}",
            (base.id, last),
        ):
            numbers = [number for number, _ in rows]
            terms = [cut.index(load_chunk(chunk).searched) for _, chunk in rows]
            self._index.add(base.id, numbers, terms)
            last = numbers[-1]

    def _current(self, base: Base, hold: bool = False) -> Base:
        """See `bases.current`."""
        return current(self.database, base, hold)

    # Documents.

    def put_document(
        self,
        base: Base,
        document: Document,
        digest: str,
        chunks: Sequence[Chunk],
        *,
        topic: str = "",
        original: bytes | None = None,
        vectors: NDArray[np.float32] | None = None,
        encoder: str = "",
        within: Callable[[], None] | None = None,
    ) -> StoredDocument:
        """See `Store.put_document`."""
        check_vectors(chunks, vectors, encoder)
        words = self._current(base).words
        # Cutting takes long, and others wait for a transaction.
        terms = [segmenter(words).index(chunk.searched) for chunk in chunks]
        with self.transaction():
            base = self._current(base, hold=True)
            if base.words != words:
                terms = [segmenter(base.words).index(chunk.searched) for chunk in chunks]
            self._drop_document(base, clean(document.name))
            id, number = insert_document(
                self.database, base, document, digest, topic, len(chunks), original
            )
            numbers = insert_chunks(self.database, number, chunks, topic)
            count(self.database, base, 1, len(chunks))
            self._index.add(base.id, numbers, terms)
            if vectors is not None and len(chunks):
                self._insert_vectors(base, numbers, vectors, encoder)
            if within:
                within()
            return self.document(base, id)

    def _insert_vectors(
        self, base: Base, numbers: Sequence[int], vectors: NDArray[np.float32], encoder: str
    ) -> None:
        made_by = encoder, vectors.shape[1]
        if made_by != (base.encoder, base.dimensions):
            self._adopt(base, *made_by)
        self._index.add_vectors(base.id, numbers, vectors)

    def _adopt(self, base: Base, encoder: str, dimensions: int) -> None:
        """Take an encoder for a base that has no vectors of another."""
        if base.encoder and self._current(base).documents > 1:  # more than the one being put in
            raise UserError(
                tr(
                    f"{base.name}: its vectors are of the encoder {base.encoder} "
                    f"({base.dimensions} dimensions), not of {encoder} ({dimensions}); "
                    "make a new base for that one",
                    f"{base.name}：该知识库的向量来自编码器{base.encoder}（{base.dimensions}维），"
                    f"不能混用{encoder}（{dimensions}维），请为其新建知识库",
                )
            )
        self.database.rows(
            "UPDATE bases SET encoder = ?, dimensions = ? WHERE number = ?",
            (clean(encoder), dimensions, base.id),
        )
        self._index.create_vectors(base.id, dimensions)

    def _drop_document(self, base: Base, name: str) -> None:
        """Remove the document of a name, if there is one."""
        rows = self.database.rows(
            "SELECT number, chunks FROM documents WHERE base = ? AND name = ?", (base.id, name)
        )
        for number, chunks in rows:
            self._index.remove(base.id, number, vectors=bool(base.encoder))
            self.database.rows("DELETE FROM documents WHERE number = ?", (number,))
            count(self.database, base, -1, -chunks)

    def documents(self, base: Base) -> list[StoredDocument]:
        """See `Store.documents`."""
        with self.database.snapshot():
            self._current(base)
            rows = self.database.rows(
                f"SELECT {DOCUMENT} FROM documents WHERE base = ? ORDER BY name", (base.id,)
            )
        return [document_of(row) for row in rows]

    def document(self, base: Base, id: str) -> StoredDocument:
        """See `Store.document`."""
        with self.database.snapshot():
            self._current(base)
            rows = self.database.rows(
                f"SELECT {DOCUMENT} FROM documents WHERE base = ? AND id = ?", (base.id, clean(id))
            )
        if not rows:
            raise _no_document(id)
        return document_of(rows[0])

    def document_named(self, base: Base, name: str) -> StoredDocument | None:
        """See `Store.document_named`."""
        with self.database.snapshot():
            self._current(base)
            rows = self.database.rows(
                f"SELECT {DOCUMENT} FROM documents WHERE base = ? AND name = ?",
                (base.id, clean(name)),
            )
        return document_of(rows[0]) if rows else None

    def remove_document(self, base: Base, id: str) -> None:
        """See `Store.remove_document`."""
        with self.transaction():
            base = self._current(base, hold=True)
            self._drop_document(base, self.document(base, id).name)

    def blocks(self, base: Base, document: str) -> tuple[Block, ...]:
        """See `Store.blocks`."""
        return load_blocks(self._content(base, document, "blocks") or b"")

    def original(self, base: Base, document: str) -> bytes | None:
        """See `Store.original`."""
        return self._content(base, document, "original")

    def _content(self, base: Base, document: str, column: str) -> bytes | None:
        with self.database.snapshot():
            self._current(base)
            rows = self.database.rows(
                f"SELECT contents.{column} FROM contents "
                "JOIN documents ON documents.number = contents.document "
                "WHERE documents.base = ? AND documents.id = ?",
                (base.id, clean(document)),
            )
        if not rows:
            raise _no_document(document)
        content: bytes | None = rows[0][0]
        return content

    # Chunks.

    def chunks(self, base: Base, document: str) -> list[StoredChunk]:
        """See `Store.chunks`."""
        with self.database.snapshot():
            self.document(base, document)
            rows = self.database.rows(
                f"{CHUNK} WHERE documents.base = ? AND documents.id = ? ORDER BY chunks.number",
                (base.id, clean(document)),
            )
        return [stored_chunk_of(row[1:]) for row in rows]

    def chunk(self, base: Base, id: str) -> StoredChunk:
        """See `Store.chunk`."""
        with self.database.snapshot():
            self._current(base)
            rows = self.database.rows(
                f"{CHUNK} WHERE documents.base = ? AND chunks.id = ?", (base.id, clean(id))
            )
        if not rows:
            raise NotFound(tr(f"{id[:40]}: no such passage", f"{id[:40]}：没有这个片段"))
        return stored_chunk_of(rows[0][1:])

    def search_words(
        self, bases: Sequence[Base], query: str, limit: int, where: Filter = EVERYTHING
    ) -> list[Found]:
        """See `Store.search_words`."""
        return self._searching.words(bases, query, limit, where)

    def search_vectors(
        self,
        bases: Sequence[Base],
        vector: NDArray[np.float32],
        limit: int,
        where: Filter = EVERYTHING,
    ) -> list[Found]:
        """See `Store.search_vectors`."""
        return self._searching.vectors(bases, vector, limit, where)

    @property
    def memory(self) -> int:
        """How much memory the bases' words take now, in bytes."""
        return self._searching.snapshots.size

    def warm(self, base: Base) -> None:
        """See `Store.warm`."""
        self._searching.snapshots.take(self._current(base).id)

    # All of it.

    def check(self) -> list[str]:
        """See `Store.check`."""
        return damage(self.database, self._index)

    def transaction(self) -> AbstractContextManager[None]:
        """See `Store.transaction`."""
        return self.database.transaction()

    def close(self) -> None:
        """See `Store.close`."""
        self._searching.close()
        self.database.close()


def _no_document(id: str) -> NotFound:
    return NotFound(tr(f"{id[:40]}: no such document", f"{id[:40]}：没有这个文档"))
