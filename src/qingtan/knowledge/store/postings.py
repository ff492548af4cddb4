"""A base's words in memory, as they were at one moment: which chunks hold each, and how often.

Scores are those of FTS5, operation by operation (bm25 with k1 = 1.2 and b = 0.75, and 1e-6 as the
least idf), so that nobody can see which of both answered; but in large bases this counts more of
the common words. Pairs of characters that stand side by
side are kept like words: they are the phrases that queries look for.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qingtan.knowledge.store.index import Scored, rarest
from qingtan.knowledge.words import Terms
from qingtan.native import best_by_bm25

_K1, _B = 1.2, 0.75
_LEAST_IDF = 1e-6
# Of a larger base the commonest words are left out where more would be scored, as `SqliteIndex`
# does; here a chunk that holds a word costs a few ns, not 2 µs.
MOST_SCORED = 100_000
# A pair of characters is one number: the first one's in the table of them, and the second's.
PAIR_BITS = 21
_TOGETHER = 1 << 20  # entries that are counted in one go
_ENTRY = 150  # bytes of a dictionary's entry for a word, its key with it


class Postings:
    """See the module; nothing is changed once it is made. Rows are those of words, then of pairs.

    Args:
        numbers: (chunks,) int64, ascending.
        lengths: (chunks,) int64, in words and characters, as FTS5 counts them.
        words: the row of each word of two characters or more.
        characters: a number for each character that stands in a pair.
        pairs: (pairs,) int64, ascending; the row of one is its place here after all words.
        bounds: (rows + 1,) int64, where in `places` each row begins.
        places: (chunks of all rows,) int32, places in `numbers`, ascending in each row.
        times: like `places`, unsigned; how often each chunk holds it.
    """

    def __init__(
        self,
        numbers: NDArray[np.int64],
        lengths: NDArray[np.int64],
        words: Mapping[str, int],
        characters: Mapping[str, int],
        pairs: NDArray[np.int64],
        bounds: NDArray[np.int64],
        places: NDArray[np.int32],
        times: NDArray[np.unsignedinteger],
    ) -> None:
        self._codes, self._weights = _weighted(lengths, places, times)
        counts = np.diff(bounds)
        idf = np.log((len(numbers) - counts + 0.5) / (counts + 0.5))
        self._idf = np.where(idf > 0, idf, _LEAST_IDF)
        self._numbers = numbers
        self._words, self._characters, self._pairs = words, characters, pairs
        self._bounds, self._places = bounds, places

    @property
    def size(self) -> int:
        """How much memory it takes, in bytes."""
        rows = (self._pairs, self._bounds, self._idf)
        arrays = (self._numbers, *rows, self._places, self._codes, self._weights)
        named = len(self._words) + len(self._characters)
        return sum(each.nbytes for each in arrays) + _ENTRY * named

    @property
    def numbers(self) -> list[int]:
        """The numbers of all chunks, ascending."""
        return list(self._numbers.tolist())

    def search(self, terms: Terms, limit: int) -> list[Scored] | None:
        """Return the best by bm25, best first; None where this cannot tell.

        It cannot for single characters, and for what FTS5 would part in two.
        """
        if not "".join(terms.words).isprintable() or 1 in map(len, (*terms.words, *terms.phrases)):
            return None
        found = {word: self._words.get(word) for word in terms.words}
        for phrase in terms.phrases:
            found[" ".join(phrase)] = self._pair(*phrase)
        rows = {term: row for term, row in found.items() if row is not None}
        if len(self._numbers) > MOST_SCORED:
            rows = self._rarest(rows)
        return self._best([*rows.values()], limit) if rows else []

    def _rarest(self, rows: Mapping[str, int]) -> dict[str, int]:
        counts = {
            term: min(int(self._bounds[row + 1] - self._bounds[row]), MOST_SCORED + 1)
            for term, row in rows.items()
        }
        return {term: rows[term] for term in rarest(counts, MOST_SCORED)}

    def _pair(self, first: str, second: str) -> int | None:
        """Return the row of two characters that stand side by side."""
        codes = self._characters
        if first not in codes or second not in codes:
            return None
        code = codes[first] << PAIR_BITS | codes[second]
        place = int(self._pairs.searchsorted(code))
        there = place < len(self._pairs) and self._pairs[place] == code
        return len(self._words) + place if there else None

    def _best(self, rows: list[int], limit: int) -> list[Scored]:
        lists = [
            (int(self._bounds[row]), int(self._bounds[row + 1]), float(self._idf[row]))
            for row in rows
        ]
        if len(self._numbers) > MOST_SCORED:
            # Of a word that very many chunks hold, the newest are scored.
            most = 2 * MOST_SCORED
            lists = [(max(begin, end - most), end, idf) for begin, end, idf in lists]
        best = best_by_bm25(self._places, self._codes, self._weights, lists, limit)
        return [(int(self._numbers[place]), score) for place, score in best]


def _weighted(
    lengths: NDArray[np.int64], places: NDArray[np.int32], times: NDArray[np.unsignedinteger]
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.float64]]:
    """Return which weight each entry has, and the weights: times * (k1 + 1) / (times + norm).

    Few entries differ in how often and in how long the chunk is, and a search looks at many.
    """
    sizes, size_of = np.unique(lengths, return_inverse=True)
    seen = np.zeros(int(times.max(initial=0)) + 1, bool)
    seen[times] = True
    counts, count_of = np.flatnonzero(seen), np.cumsum(seen) - 1
    parts = [slice(first, first + _TOGETHER) for first in range(0, len(places), _TOGETHER)]

    def pairs(part: slice) -> NDArray[np.int64]:
        found: NDArray[np.int64] = count_of[times[part]] * len(sizes) + size_of[places[part]]
        return found

    used = np.zeros(len(counts) * len(sizes), bool)
    for part in parts:
        used[pairs(part)] = True
    kept, code_of = np.flatnonzero(used), np.cumsum(used) - 1
    codes = np.empty(len(places), np.min_scalar_type(len(kept)))
    for part in parts:
        codes[part] = code_of[pairs(part)]
    often, size = counts[kept // len(sizes)].astype(np.float64), sizes[kept % len(sizes)]
    norms = _K1 * (1 - _B + _B * size / (lengths.sum() / len(lengths)))
    return codes, often * (_K1 + 1) / (often + norms)
