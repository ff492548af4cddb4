"""Searches of a store: by words, in memory where that holds, and by vectors."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import NotFound, UserError
from qingtan.i18n import tr
from qingtan.knowledge.store.bases import current
from qingtan.knowledge.store.database import Database
from qingtan.knowledge.store.index import Index, Scored
from qingtan.knowledge.store.interface import EVERYTHING, Base, Filter, Found, StoredChunk
from qingtan.knowledge.store.recent import Recent
from qingtan.knowledge.store.records import DOCUMENT, stored_chunk_of
from qingtan.knowledge.store.snapshots import Snapshots
from qingtan.knowledge.words import Terms, segmenter

CHUNK = (
    f"SELECT chunks.number, chunks.id, bases.name, chunks.chunk, {DOCUMENT} FROM chunks "
    "JOIN documents ON documents.number = chunks.document "
    "JOIN bases ON bases.number = documents.base "
)
_AT_ONCE = 500  # chunks that are read ahead
# A score below zero, so that the best comes first; the number of a chunk; its base's revision.
_Scored = tuple[float, int, str]


class Searching:
    """Finds chunks of bases as they are at one moment.

    Args:
        memory: bytes that snapshots of bases' words may take, about.
    """

    def __init__(self, database: Database, index: Index, memory: int) -> None:
        self._database, self._index = database, index
        self._recent = Recent()
        self.snapshots = Snapshots(database, index, self._read_ahead, memory)

    def words(self, bases: Sequence[Base], query: str, limit: int, where: Filter) -> list[Found]:
        """See `Store.search_words`."""
        found: list[_Scored] = []
        with self._database.snapshot():
            for base in map(self._current, bases):
                terms = segmenter(base.words).terms(query)
                if terms and limit > 0:
                    scored = self._words(base, terms, limit, where)
                    found += ((-score, number, base.revision) for number, score in scored)
            return self._best(found, limit)

    def _words(self, base: Base, terms: Terms, limit: int, where: Filter) -> list[Scored]:
        postings = self.snapshots.find(base.id, base.revision)
        # What is filtered by stands in the database alone.
        if postings and where == EVERYTHING:
            scored = postings.search(terms, limit)
            if scored is not None:
                return scored
        return self._index.search_words(base.id, terms, limit, where, base.chunks)

    def vectors(
        self, bases: Sequence[Base], vector: NDArray[np.float32], limit: int, where: Filter
    ) -> list[Found]:
        """See `Store.search_vectors`."""
        found: list[_Scored] = []
        with self._database.snapshot():
            for base in map(self._current, bases):
                if not base.encoder or limit < 1:
                    continue
                if vector.shape != (base.dimensions,):
                    raise _other_encoder(base, vector)
                scored = self._index.search_vectors(base.id, vector, limit, where)
                found += ((-score, number, base.revision) for number, score in scored)
            return self._best(found, limit)

    def close(self) -> None:
        """End what runs beside, and free the memory; it may be called twice."""
        self.snapshots.close()
        self._recent.clear()

    def _current(self, base: Base) -> Base:
        try:
            return current(self._database, base)
        except NotFound:
            self.snapshots.forget(base.id)  # another process may have removed it
            raise

    def _best(self, found: list[_Scored], limit: int) -> list[Found]:
        best = sorted(found)[:limit]
        chunks = self._chunks({number: revision for _, number, revision in best})
        return [Found(chunks[number], -score) for score, number, _ in best if number in chunks]

    def _chunks(self, revisions: Mapping[int, str]) -> dict[int, StoredChunk]:
        """Return chunks that bases of these revisions hold, by number."""
        chunks = self._recent.find(revisions)
        if len(chunks) < len(revisions):
            missing = [number for number in revisions if number not in chunks]
            rows = self._database.rows(
                f"{CHUNK} WHERE chunks.number IN ({', '.join('?' * len(missing))})", missing
            )
            made = {row[0]: stored_chunk_of(row[1:]) for row in rows}
            self._recent.keep((number, revisions[number], made[number]) for number in made)
            chunks |= made
        return chunks

    def _read_ahead(self, revision: str, numbers: Sequence[int]) -> None:
        """Keep a base's newest passages, in so far as they leave room for others'."""
        newest = numbers[-(self._recent.capacity // 2) :]
        for part in range(0, len(newest), _AT_ONCE):
            self._chunks(dict.fromkeys(newest[part : part + _AT_ONCE], revision))


def _other_encoder(base: Base, vector: NDArray[np.float32]) -> UserError:
    return UserError(
        tr(
            f"{base.name}: its vectors have {base.dimensions} dimensions, "
            f"the question's {vector.shape}; use its encoder, {base.encoder}",
            f"{base.name}：向量为{base.dimensions}维，问题向量为{vector.shape}，"
            f"请使用编码器{base.encoder}",
        )
    )
