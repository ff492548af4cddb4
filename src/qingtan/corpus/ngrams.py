"""Hashes of character n-grams, for a whole batch of texts at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

# Odd, so that multiplying loses nothing; the golden ratio of 2**64 (Knuth, TAOCP 3, 6.4).
_MULTIPLIER = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Characters:
    """The characters of a batch of texts, one text after another.

    Attributes:
        codes: (characters,) uint32, Unicode code points.
        starts: (texts + 1,) int64, where each text begins in `codes`, and where the last ends.
    """

    codes: NDArray[np.uint32]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Characters":
        """Lay texts side by side; half a surrogate pair keeps its own code."""
        data = "".join(texts).encode("utf-32-le", "surrogatepass")
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        return cls(np.frombuffer(data, np.uint32), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def select(self, wanted: NDArray[np.bool_]) -> "Characters":
        """Return only some characters of each text; `wanted` is (characters,) bool."""
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(wanted)])
        return Characters(self.codes[wanted], before[self.starts])

    def folded(self) -> "Characters":
        """Return letters, ideographs and digits alone, in lower case.

        Two texts that differ in punctuation, spaces or case fold to the same.
        """
        codes = _folding()[np.minimum(self.codes, _LAST_FOLDED + 1)]
        rare = self.codes > _LAST_FOLDED  # further ideographs, and emoji: kept as they are
        codes = np.where(rare, self.codes, codes)
        return Characters(codes, self.starts).select(codes != 0)


@dataclass(frozen=True)
class Grams:
    """The hashes of the n-grams of a batch of texts.

    Attributes:
        hashes: (n-grams,) uint64, evenly spread; equal for equal n-grams, on every machine.
        starts: (texts + 1,) int64, where each text's begin in `hashes`, and where the last's end.
    """

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]


def hash_grams(characters: Characters, length: int) -> Grams:
    """Hash every run of `length` characters within a text; a shorter text has none."""
    codes, starts = characters.codes, characters.starts
    total = len(codes) - length + 1
    counts = np.maximum(np.diff(starts) - length + 1, 0)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    if total <= 0:
        return Grams(np.zeros(0, np.uint64), ends)
    hashes = _spread(_polynomial(codes.astype(np.uint64), length))
    inside = np.ones(total, np.bool_)
    # The last length - 1 places of a text begin n-grams that would run into the next.
    for before_end in range(1, length):
        places = starts[1:] - before_end
        inside[places[(places >= starts[:-1]) & (places < total)]] = False
    return Grams(hashes[inside], ends)


def _polynomial(codes: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """Return c[i]·m^(length-1) + … + c[i+length-1] modulo 2**64, by doubling the length."""
    if length == 1:
        return codes
    half = length // 2
    left = _polynomial(codes, half)
    power = np.uint64(pow(_MULTIPLIER, half, 1 << 64))
    even = left[: len(left) - half] * power + left[half:]
    if length % 2 == 0:
        return even
    return even[:-1] * np.uint64(_MULTIPLIER) + codes[length - 1 :]


def _spread(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Make every bit depend on all bits (the finalizer of MurmurHash3)."""
    values = values ^ (values >> np.uint64(33))
    values *= np.uint64(0xFF51AFD7ED558CCD)
    values ^= values >> np.uint64(33)
    values *= np.uint64(0xC4CEB9FE1A85EC53)
    values ^= values >> np.uint64(33)
    return values


_LAST_FOLDED = 0xFFFF


@cache
def _folding() -> NDArray[np.uint32]:
    """Return what each code of the basic plane folds to, 0 for nothing; one 0 more at the end."""
    table = np.zeros(_LAST_FOLDED + 2, np.uint32)
    for code in range(_LAST_FOLDED + 1):
        character = chr(code)
        if character.isalnum():
            lower = character.lower()
            table[code] = ord(lower) if len(lower) == 1 else code
    return table
