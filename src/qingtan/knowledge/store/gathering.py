"""Making `Postings` of what an index says of each term, term by term."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from qingtan.knowledge.store.postings import PAIR_BITS, Postings

# An occurrence is one number: the chunk's, and how many terms stand before it in the chunk.
OFFSET_BITS = 20
LONGEST = (1 << OFFSET_BITS) - 1  # terms of a chunk
_TOGETHER = 1 << 18  # occurrences that are counted in one go
_EACH = 6  # bytes for each chunk that holds a term; of these there are fewer than occurrences

# A term and its occurrences, ascending: int64, number << OFFSET_BITS | offset.
Term = tuple[str, NDArray[np.int64]]
Given = TypeVar("Given")
# Of some rows, one after another: how many chunks each has, which, and how often they hold it.
_Counted = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[Any]]


class Stopped(Exception):  # noqa: N818
    """The postings are not wanted any more."""


def estimate(lengths: NDArray[np.int64]) -> int:
    """Return about how many bytes the postings of chunks of such lengths take, rather too many."""
    return _EACH * int(lengths.sum())


def gather(
    numbers: NDArray[np.int64],
    lengths: NDArray[np.int64],
    terms: Iterable[Term],
    stopped: Callable[[], bool],
) -> Postings:
    """Return the postings of a base.

    Args:
        numbers: (chunks,) ascending.
        lengths: (chunks,) in terms, at most LONGEST.
        terms: each once. Those of one character are the chunks' text, in which "." is a gap.
        stopped: asked from time to time.

    Raises:
        Stopped: it was.
    """
    terms = _until(stopped, terms)
    text = _Text(numbers, lengths)
    words: dict[str, int] = {}
    counted = [
        _counted(numbers, occurrences) for occurrences in _together(_without(terms, words, text))
    ]
    codes, of_pairs = text.pairs(stopped)
    parts = zip(*counted, *of_pairs, strict=True)
    counts, places, times = (np.concatenate(part) for part in parts)
    bounds = np.concatenate(([0], np.cumsum(counts)))
    return Postings(numbers, lengths, words, text.characters, codes, bounds, places, times)


def _until(stopped: Callable[[], bool], given: Iterable[Given]) -> Iterator[Given]:
    for each in given:
        if stopped():
            raise Stopped
        yield each


def _without(
    terms: Iterable[Term], words: dict[str, int], text: "_Text"
) -> Iterator[NDArray[np.int64]]:
    """Give the occurrences of each word, which gets a row; characters are put into the text."""
    for term, occurrences in terms:
        if len(term) > 1:
            words[term] = len(words)
            yield occurrences
        elif term != ".":
            text.put(term, occurrences)


def _together(rows: Iterable[NDArray[np.int64]]) -> Iterator[list[NDArray[np.int64]]]:
    """Give rows in lists that are worth a call of numpy's."""
    waiting: list[NDArray[np.int64]] = []
    total = 0
    for row in rows:
        waiting.append(row)
        total += len(row)
        if total > _TOGETHER:
            yield waiting
            waiting, total = [], 0
    yield waiting


def _counted(numbers: NDArray[np.int64], occurrences: Sequence[NDArray[np.int64]]) -> _Counted:
    sizes = np.array([len(each) for each in occurrences], np.int64)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    holders = np.concatenate([*occurrences, np.empty(0, np.int64)]) >> OFFSET_BITS
    return _grouped(rows, np.searchsorted(numbers, holders), len(sizes))


def _grouped(rows: NDArray[Any], places: NDArray[Any], count: int) -> _Counted:
    """Count equal places of equal rows, which follow one another."""
    starts = np.ones(len(rows), bool)
    starts[1:] = (rows[1:] != rows[:-1]) | (places[1:] != places[:-1])
    first = np.flatnonzero(starts)
    times = np.diff(first, append=len(rows))
    small = times.astype(np.min_scalar_type(int(times.max(initial=0))))
    return np.bincount(rows[first], minlength=count), places[first].astype(np.int32), small


class _Text:
    """The characters of all chunks, one chunk after another, as they stand side by side."""

    def __init__(self, numbers: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        self.characters: dict[str, int] = {}
        self._numbers = numbers
        self._starts = np.concatenate(([0], np.cumsum(lengths)))
        # 0 where a word stands or a gap is; one more at the end, so that each has a next one.
        self._text: NDArray[Any] = np.zeros(int(self._starts[-1]) + 1, np.uint16)
        self._found: list[NDArray[Any]] = []  # where each character stands

    def put(self, character: str, occurrences: NDArray[np.int64]) -> None:
        """Put a character where it stands."""
        code = self.characters[character] = len(self.characters) + 1
        if code == 1 << 16:
            self._text = self._text.astype(np.uint32)
        chunks = np.searchsorted(self._numbers, occurrences >> OFFSET_BITS)
        at = self._starts[chunks] + (occurrences & LONGEST)
        self._text[at] = code
        self._found.append(at.astype(np.min_scalar_type(len(self._text))))

    def pairs(self, stopped: Callable[[], bool]) -> tuple[NDArray[np.int64], list[_Counted]]:
        """Return the code of each pair, ascending, and its chunks."""
        codes, counted = [np.empty(0, np.int64)], list[_Counted]()
        for first, at in enumerate(_until(stopped, self._found), start=1):
            second = self._text[at + 1]
            at, second = at[second > 0], second[second > 0]
            order = np.argsort(second, kind="stable")
            at, second = at[order], second[order]
            places = np.searchsorted(self._starts, at, side="right") - 1
            kinds, rows = np.unique(second, return_inverse=True)
            codes.append(first << PAIR_BITS | kinds.astype(np.int64))
            counted.append(_grouped(rows, places, len(kinds)))
        return np.concatenate(codes), counted
