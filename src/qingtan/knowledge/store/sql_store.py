"""The store, in SQL that SQLite and PostgreSQL share."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import NotFound, UserError
from qingtan.i18n import tr
from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.documents import Block, Document
from qingtan.knowledge.store.database import Database
from qingtan.knowledge.store.feedback import FeedbackTable
from qingtan.knowledge.store.index import Index, Scored
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
    now,
    stored_chunk_of,
)
from qingtan.knowledge.store.writing import (
    check_vectors,
    dump_words,
    insert_chunks,
    insert_document,
)
from qingtan.knowledge.words import segmenter

_AT_ONCE = 500  # chunks that are held in memory while a base is indexed anew
_LONGEST_NAME = 200
_CHUNK = (
    f"SELECT chunks.number, chunks.id, bases.name, chunks.chunk, {DOCUMENT} FROM chunks "
    "JOIN documents ON documents.number = chunks.document "
    "JOIN bases ON bases.number = documents.base "
)


class SqlStore:
    """See `Store`."""

    def __init__(self, database: Database, index: Index) -> None:
        self.database = database
        self._index = index
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
                "INSERT INTO bases (tenant, name, about, words, created) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (tenant, name) DO NOTHING RETURNING number",
                (tenant, name, clean(about), dump_words(words), now()),
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
            raise _no_base(name)
        return base_of(rows[0])

    def remove_base(self, base: Base) -> None:
        """See `Store.remove_base`."""
        with self.transaction():
            self._current(base, hold=True)
            self._index.drop(base.id)
            self.database.rows("DELETE FROM bases WHERE number = ?", (base.id,))

    def set_words(self, base: Base, words: Sequence[str]) -> Base:
        """See `Store.set_words`."""
        with self.transaction():
            self._current(base, hold=True)
            self.database.rows(
                "UPDATE bases SET words = ? WHERE number = ?", (dump_words(words), base.id)
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
        """Return a base as it is now.

        Args:
            hold: let nobody else change it, or what is in it, before the transaction ends.

        Raises:
            NotFound: it was removed, or is not this tenant's.
        """
        rows = self.database.rows(
            f"SELECT {BASE} FROM bases WHERE number = ? AND tenant = ?"
            + (self.database.hold if hold else ""),
            (base.id, base.tenant),
        )
        if not rows:
            raise _no_base(base.name)
        return base_of(rows[0])

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
            self._count(base, 1, len(chunks))
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
            self._count(base, -1, -chunks)

    def _count(self, base: Base, documents: int, chunks: int) -> None:
        """Keep what a base holds: each search asks, and counting would take longer than it."""
        self.database.rows(
            "UPDATE bases SET documents = documents + ?, chunks = chunks + ? WHERE number = ?",
            (documents, chunks, base.id),
        )

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
                f"{_CHUNK} WHERE documents.base = ? AND documents.id = ? ORDER BY chunks.number",
                (base.id, clean(document)),
            )
        return [stored_chunk_of(row[1:]) for row in rows]

    def chunk(self, base: Base, id: str) -> StoredChunk:
        """See `Store.chunk`."""
        with self.database.snapshot():
            self._current(base)
            rows = self.database.rows(
                f"{_CHUNK} WHERE documents.base = ? AND chunks.id = ?", (base.id, clean(id))
            )
        if not rows:
            raise NotFound(tr(f"{id[:40]}: no such passage", f"{id[:40]}：没有这个片段"))
        return stored_chunk_of(rows[0][1:])

    def search_words(
        self, bases: Sequence[Base], query: str, limit: int, where: Filter = EVERYTHING
    ) -> list[Found]:
        """See `Store.search_words`."""
        found: list[Scored] = []
        with self.database.snapshot():
            for base in map(self._current, bases):
                terms = segmenter(base.words).terms(query)
                if terms and limit > 0:
                    found += self._index.search_words(base.id, terms, limit, where, base.chunks)
            return self._found(found, limit)

    def search_vectors(
        self,
        bases: Sequence[Base],
        vector: NDArray[np.float32],
        limit: int,
        where: Filter = EVERYTHING,
    ) -> list[Found]:
        """See `Store.search_vectors`."""
        found: list[Scored] = []
        with self.database.snapshot():
            for base in map(self._current, bases):
                if not base.encoder or limit < 1:
                    continue
                if vector.shape != (base.dimensions,):
                    raise UserError(
                        tr(
                            f"{base.name}: its vectors have {base.dimensions} dimensions, "
                            f"the question's {vector.shape}; use its encoder, {base.encoder}",
                            f"{base.name}：向量为{base.dimensions}维，问题向量为{vector.shape}，"
                            f"请使用编码器{base.encoder}",
                        )
                    )
                found += self._index.search_vectors(base.id, vector, limit, where)
            return self._found(found, limit)

    def _found(self, scored: Sequence[Scored], limit: int) -> list[Found]:
        best = sorted(scored, key=lambda each: (-each[1], each[0]))[:limit]
        if not best:
            return []
        marks = ", ".join("?" * len(best))
        rows = self.database.rows(
            f"{_CHUNK} WHERE chunks.number IN ({marks})", [number for number, _ in best]
        )
        chunks = {row[0]: stored_chunk_of(row[1:]) for row in rows}
        return [Found(chunks[number], score) for number, score in best if number in chunks]

    # All of it.

    def check(self) -> list[str]:
        """See `Store.check`."""
        with self.database.snapshot():
            wrong = [
                tr(f"{name}: {there} of {chunks} chunks", f"{name}：片段{there}/{chunks}")
                for name, chunks, there in self.database.rows(
                    "SELECT name, chunks, there FROM (SELECT documents.name, documents.chunks, "
                    "(SELECT count(*) FROM chunks WHERE document = documents.number) AS there "
                    "FROM documents) AS counted WHERE chunks <> there"
                )
            ]
            wrong += [
                tr(f"{name}: {there} of {documents} documents", f"{name}：文档{there}/{documents}")
                for name, documents, there in self.database.rows(
                    "SELECT name, documents, there FROM (SELECT name, documents, (SELECT count(*) "
                    "FROM documents WHERE base = bases.number) AS there FROM bases) AS counted "
                    "WHERE documents <> there"
                )
            ]
            for number, encoder in self.database.rows("SELECT number, encoder FROM bases"):
                wrong += self._index.check(number, bool(encoder))
        return wrong

    def transaction(self) -> AbstractContextManager[None]:
        """See `Store.transaction`."""
        return self.database.transaction()

    def close(self) -> None:
        """See `Store.close`."""
        self.database.close()


def _no_base(name: str) -> NotFound:
    return NotFound(tr(f"{name}: no such knowledge base", f"{name}：没有这个知识库"))


def _no_document(id: str) -> NotFound:
    return NotFound(tr(f"{id[:40]}: no such document", f"{id[:40]}：没有这个文档"))
