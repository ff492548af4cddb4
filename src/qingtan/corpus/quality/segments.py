"""Sums and runs within the segments of an array: texts, lines or words laid side by side.

Segment i is [starts[i], starts[i + 1]); a segment may be empty.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_SALT = np.uint64(0x9E3779B97F4A7C15)


def sums(values: NDArray[np.generic], starts: Ints) -> Ints:
    """Return (segments,) int64: the sum of the values, or the number of true ones, of each."""
    before = running(values)
    return before[starts[1:]] - before[starts[:-1]]


def running(values: NDArray[np.generic]) -> Ints:
    """Return (values + 1,) int64: the sum of all values before each place."""
    total = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=total[1:])
    return total


def maxima(values: Ints, starts: Ints) -> Ints:
    """Return (segments,) int64: the greatest value of each segment, 0 for an empty one."""
    greatest = np.zeros(len(starts) - 1, np.int64)
    filled = starts[1:] > starts[:-1]
    if filled.any():
        greatest[filled] = np.maximum.reduceat(values, starts[:-1][filled])
    return greatest


def runs(wanted: NDArray[np.bool_], starts: Ints) -> tuple[Ints, Ints]:
    """Return where each unbroken run of true values begins and ends; none crosses segments."""
    begins, ends = wanted.copy(), wanted.copy()
    begins[1:] &= ~wanted[:-1]
    ends[:-1] &= ~wanted[1:]
    firsts = starts[:-1][starts[:-1] < len(wanted)]
    lasts = starts[1:][starts[1:] > 0] - 1
    begins[firsts] = wanted[firsts]
    ends[lasts] = wanted[lasts]
    return np.flatnonzero(begins), np.flatnonzero(ends) + 1


def cuts(wanted: NDArray[np.bool_], starts: Ints) -> Ints:
    """Return, in order, the places that are wanted and those where segments begin or end."""
    cut = np.append(wanted, False)
    cut[starts] = True
    return np.flatnonzero(cut)


def owners(places: Ints, starts: Ints) -> Ints:
    """Return the segment that each place lies in."""
    return np.searchsorted(starts, places, "right") - 1


def first_occurrences(values: NDArray[np.uint64], starts: Ints) -> Ints:
    """Return (values,) int64: for each hash, where it first occurs in its segment.

    A hash table that takes all values at once: of those that fall into one slot, the first stays;
    equal ones have found it, the others try another slot in the next round. Several times faster
    than sorting.
    """
    salts = np.arange(1, len(starts), dtype=np.uint64) * _SALT
    keys = values + np.repeat(salts, np.diff(starts))  # equal in other segments: not the same
    bits = max(len(keys), 1).bit_length() + 1
    table = np.empty(1 << bits, np.int32)
    found = np.arange(len(keys))
    pending, wanted, mixed = found.copy(), keys, keys
    while len(pending):
        slots = (mixed >> np.uint64(64 - bits)).view(np.int64)
        table[slots[::-1]] = pending[::-1]  # the last written stays: the first in the text
        first = table[slots]
        same = keys[first] == wanted
        again = np.flatnonzero(same & (first != pending))
        found[pending[again]] = first[again]
        other = np.flatnonzero(~same)
        pending, wanted = pending[other], wanted[other]
        mixed = mixed[other] * _SALT + np.uint64(1)  # other bits of the hash lead to other slots
    return found
