"""What the store asks of an index: passages by their words, and by their vectors."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qingtan.knowledge.store.interface import Filter
from qingtan.knowledge.store.records import clean
from qingtan.knowledge.words import Terms

if TYPE_CHECKING:
    from qingtan.knowledge.store.postings import Postings

# The number of a chunk, and its score; a higher one is better.
Scored = tuple[int, float]


class Index(Protocol):
    """Indexes of all bases; each base's is apart, and so are its frequencies of words."""

    def create(self, base: int) -> None:
        """Make a new base's index."""

    def drop(self, base: int) -> None:
        """Remove all of a base's."""

    def add(self, base: int, numbers: Sequence[int], terms: Sequence[str]) -> None:
        """Add chunks by what `Segmenter.index` made of them."""

    def create_vectors(self, base: int, dimensions: int) -> None:
        """Make room for vectors, in the place of what is there."""

    def add_vectors(self, base: int, numbers: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Add (chunks, dimensions) vectors of length 1."""

    def remove(self, base: int, document: int, vectors: bool) -> None:
        """Take a document's chunks out, while they are still in the table of chunks."""

    def clear_words(self, base: int) -> None:
        """Take all chunks out, but for their vectors."""

    def search_words(
        self, base: int, terms: Terms, limit: int, where: Filter, chunks: int
    ) -> list[Scored]:
        """Return the best by bm25, best first.

        Args:
            chunks: how many the base has.
        """

    def search_vectors(
        self, base: int, vector: NDArray[np.float32], limit: int, where: Filter
    ) -> list[Scored]:
        """Return the nearest by cosine, best first."""

    def postings(self, base: int, most: int, stopped: Callable[[], bool]) -> "Postings | None":
        """Return all words in memory, within a snapshot of the database.

        Args:
            most: bytes that it may take, about.
            stopped: asked from time to time.

        Returns:
            None where it would take more, or was stopped.
        """

    def check(self, base: int, vectors: bool) -> list[str]:
        """Return what is damaged, or does not fit the table of chunks."""


def rarest(counted: Mapping[str, int], most: int) -> list[str]:
    """Return the terms that few chunks hold, so many of them that not too many chunks are scored.

    The commonest words are left out: they cost most, and say least.
    A term that no chunk holds is left out: beside it, a common one would look like one too many.

    Args:
        counted: how many chunks hold each.
        most: how many may be scored.
    """
    total = 0
    kept: list[str] = []
    held = ((count, term) for term, count in counted.items() if count)
    for count, term in sorted(held):
        total += count
        if total > most and kept:
            break
        kept.append(term)
    return kept


def condition(where: Filter) -> tuple[str, list[Any]]:
    """Return SQL over `chunks` and `documents` that holds for what may be found, and its values."""
    parts: list[str] = []
    values: list[Any] = []
    for column, wanted in (("chunks.topic", where.topics), ("documents.id", where.documents)):
        if wanted:
            parts.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values += map(clean, wanted)
    if where.since:
        parts.append("documents.date >= ?")
        values.append(clean(where.since))
    if where.until:  # "2024-05" lets all of May through
        parts.append("substr(documents.date, 1, ?) <= ?")
        values += (len(where.until), clean(where.until))
    return " AND ".join(parts), values
