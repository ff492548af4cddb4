"""Searches of a store: by words, in memory where that holds, and by vectors."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import NotFound, UserError
from qingtan.i18n import tr
from qingtan.knowledge.store.bases import current
from qingtan.knowledge.store.database import Database
from qingtan.knowledge.store.index import Index, Scored
from qingtan.knowledge.store.interface import EVERYTHING, Base, Filter, Found, StoredChunk
from qingtan.knowledge.store.recent import Key, Recent
from qingtan.knowledge.store.records import DOCUMENT, stored_chunk_of
from qingtan.knowledge.store.snapshots import Snapshots
from qingtan.knowledge.words import Terms, segmenter

CHUNK = (
    f"SELECT chunks.number, chunks.id, bases.name, chunks.chunk, {DOCUMENT} FROM chunks "
    "JOIN documents ON documents.number = chunks.document "
    "JOIN bases ON bases.number = documents.base "
)


class Searching:
    """Finds chunks of bases as they are at one moment."""

    def __init__(self, database: Database, index: Index, snapshots: Snapshots) -> None:
        self._database, self._index, self._snapshots = database, index, snapshots
        self._recent = Recent()

    def words(self, bases: Sequence[Base], query: str, limit: int, where: Filter) -> list[Found]:
        """See `Store.search_words`."""
        found: dict[Key, float] = {}
        with self._database.snapshot():
            for base in map(self._current, bases):
                terms = segmenter(base.words).terms(query)
                if terms and limit > 0:
                    scored = self._words(base, terms, limit, where)
                    found |= {(number, base.revision): score for number, score in scored}
            return self._best(found, limit)

    def _words(self, base: Base, terms: Terms, limit: int, where: Filter) -> list[Scored]:
        postings = self._snapshots.find(base.id, base.revision)
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
        found: dict[Key, float] = {}
        with self._database.snapshot():
            for base in map(self._current, bases):
                if not base.encoder or limit < 1:
                    continue
                if vector.shape != (base.dimensions,):
                    raise _other_encoder(base, vector)
                scored = self._index.search_vectors(base.id, vector, limit, where)
                found |= {(number, base.revision): score for number, score in scored}
            return self._best(found, limit)

    def close(self) -> None:
        """Free the memory."""
        self._recent.clear()

    def _current(self, base: Base) -> Base:
        try:
            return current(self._database, base)
        except NotFound:
            self._snapshots.forget(base.id)  # another process may have removed it
            raise

    def _best(self, scores: dict[Key, float], limit: int) -> list[Found]:
        best = sorted(scores.items(), key=lambda each: (-each[1], each[0]))[:limit]
        chunks = self._chunks([key for key, _ in best])
        return [Found(chunks[key], score) for key, score in best if key in chunks]

    def _chunks(self, keys: Sequence[Key]) -> dict[Key, StoredChunk]:
        """Return chunks, which a base of that revision is known to hold."""
        known = self._recent.find(keys)
        revisions = dict(key for key in keys if key not in known)
        if not revisions:
            return known
        rows = self._database.rows(
            f"{CHUNK} WHERE chunks.number IN ({', '.join('?' * len(revisions))})",
            [*revisions],
        )
        made = {(row[0], revisions[row[0]]): stored_chunk_of(row[1:]) for row in rows}
        self._recent.keep(made)
        return known | made


def _other_encoder(base: Base, vector: NDArray[np.float32]) -> UserError:
    return UserError(
        tr(
            f"{base.name}: its vectors have {base.dimensions} dimensions, "
            f"the question's {vector.shape}; use its encoder, {base.encoder}",
            f"{base.name}：向量为{base.dimensions}维，问题向量为{vector.shape}，"
            f"请使用编码器{base.encoder}",
        )
    )
