"""Words of a batch of texts, and the hashes of spans of characters."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.ngrams import Characters
from qingtan.corpus.quality import segments
from qingtan.corpus.quality.classes import Kind
from qingtan.corpus.quality.segments import Ints

# English words that hold sentences together: code and lists of names have few of them.
STOP_WORDS = (
    *("the", "a", "an", "this", "that", "these", "those", "it", "its", "we", "you", "your", "he"),
    *("she", "they", "i", "his", "her", "their", "our", "and", "or", "but", "if", "when", "as"),
    *("to", "of", "in", "on", "for", "with", "by", "from", "at", "into", "about", "than", "then"),
    *("is", "are", "was", "were", "be", "been", "has", "have", "had", "do", "does", "not", "no"),
    *("can", "will", "would", "should", "may", "must", "which", "who", "what", "there", "all"),
)
_BASE = 0xD1342543DE82EF95  # odd, so that its powers have inverses modulo 2**64
_MIXER = np.uint64(0x9E3779B97F4A7C15)
_WORD = np.uint32(1 << 31)  # set in a word's number; no character has it


@dataclass(frozen=True)
class Units:
    """What texts are made of: Han characters, and words in other scripts.

    A word is an unbroken run of letters, marks and digits other than Han characters.

    Attributes:
        codes: (units,) uint32: a Han character's code, a word's hash with the highest bit set;
            words that differ only in the case of ASCII letters have the same.
        starts: (texts + 1,) int64, where each text's units begin, and where the last's end.
        before: (characters + 1,) int64, how many units begin before each character.
        word_lengths: (words,) int64, in characters.
        word_starts: (texts + 1,) int64, where each text's words begin.
    """

    codes: NDArray[np.uint32]
    starts: Ints
    before: Ints
    word_lengths: Ints
    word_starts: Ints

    @classmethod
    def of(cls, characters: Characters, kinds: NDArray[np.uint8], hasher: "SpanHasher") -> "Units":
        """Find the units; `kinds` is (characters,) uint8, the `Kind` of each character."""
        in_word = (kinds >= Kind.DIGIT) & (kinds <= Kind.LEAD)
        begins, ends = segments.runs(in_word, characters.starts)
        unit = kinds >= Kind.HAN
        unit[begins] = True
        places = np.flatnonzero(unit)
        codes = characters.codes[places]
        codes[kinds[places] < Kind.HAN] = _word_numbers(hasher.hashes(begins, ends))
        before = segments.running(unit)
        word_starts = np.searchsorted(begins, characters.starts)
        return cls(codes, before[characters.starts], before, ends - begins, word_starts)

    def stop_words(self) -> NDArray[np.bool_]:
        """Return (words,) bool: whether each word is one of `STOP_WORDS`."""
        table, shift = _stop_table()
        numbers = self.codes[self.codes >= _WORD]
        found: NDArray[np.bool_] = table[(numbers >> shift) & np.uint32(0xFFFF)] == numbers
        return found


class SpanHasher:
    """Hashes of spans of one array of characters, whatever their lengths, by prefix sums."""

    def __init__(self, codes: NDArray[np.uint32]) -> None:
        """Prepare (characters,) uint32 codes; the case of ASCII letters is left out."""
        capitals = (codes - np.uint32(ord("A"))) < np.uint32(26)
        # One more, so that a character of code 0 makes a difference, too.
        lower = codes + np.uint32(32) * capitals + np.uint32(1)
        self._powers, self._inverses = _power_tables(1 << len(codes).bit_length())
        self._before = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(lower * self._powers[: len(codes)], out=self._before[1:])

    def hashes(self, begins: Ints, ends: Ints) -> NDArray[np.uint64]:
        """Return (spans,) uint64: equal for equal spans, wherever they stand."""
        values = (self._before[ends] - self._before[begins]) * self._inverses[begins]
        values *= _MIXER
        values ^= values >> np.uint64(32)
        values *= _MIXER
        return values


@cache
def _power_tables(size: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the powers of the base and of its inverse modulo 2**64, from 0 to size - 1."""
    tables = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        factors = np.full(size, base, np.uint64)
        factors[0] = 1
        tables.append(np.cumprod(factors))
    return tables[0], tables[1]


def _word_numbers(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    return (hashes >> np.uint64(32)).astype(np.uint32) | _WORD


@cache
def _stop_table() -> tuple[NDArray[np.uint32], np.uint32]:
    """Return (65536,) uint32, each stop word's number where 16 bits of it say, and which bits."""
    text = " ".join(STOP_WORDS)
    ends = np.cumsum([len(word) + 1 for word in STOP_WORDS]) - 1
    begins = ends - [len(word) for word in STOP_WORDS]
    numbers = _word_numbers(SpanHasher(Characters.of([text]).codes).hashes(begins, ends))
    for shift in map(np.uint32, range(16)):
        slots = (numbers >> shift) & np.uint32(0xFFFF)
        if len(set(slots.tolist())) == len(slots):  # no two in one place
            break
    table = np.zeros(1 << 16, np.uint32)
    table[slots] = numbers
    return table, shift
