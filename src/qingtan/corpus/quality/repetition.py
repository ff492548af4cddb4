"""How much a text repeats itself."""

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.ngrams import Characters, Grams, hash_grams
from qingtan.corpus.quality import segments
from qingtan.corpus.quality.segments import Ints
from qingtan.corpus.quality.words import Units

TOP_GRAM = 4
REPEATED_GRAM = 10
# A gram of ten is known by the grams of four at its beginning, in its middle and at its end.
_PARTS = (0, 4, 6)


def repetitions(units: Units) -> tuple[Ints, Ints]:
    """Measure repeated n-grams of units.

    Returns:
        (texts,) int64: how often the commonest gram of `TOP_GRAM` units comes back after its
        first occurrence; (texts,) int64: how many units lie in a gram of `REPEATED_GRAM` units
        that occurred in the text before.
    """
    grams = hash_grams(Characters(units.codes, units.starts), TOP_GRAM)
    first = segments.first_occurrences(grams.hashes, grams.starts)
    occurrences = np.bincount(first, minlength=len(first))
    top = np.maximum(segments.maxima(occurrences, grams.starts) - 1, 0)
    return top, _repeated_units(units, grams, occurrences[first] > 1)


def _repeated_units(units: Units, grams: Grams, again: NDArray[np.bool_]) -> Ints:
    """Count units in long grams that occurred before; `again`: short grams that occur twice.

    Only where all parts of a long gram occur twice can it occur twice itself: few places.
    """
    last = _PARTS[-1]
    total = max(len(again) - last, 0)
    places = np.flatnonzero(np.logical_and.reduce([again[part : part + total] for part in _PARTS]))
    texts = segments.owners(places, grams.starts)
    inside = places + last < grams.starts[texts + 1]
    places, texts = places[inside], texts[inside]
    hashes = np.zeros(len(places), np.uint64)
    for part in _PARTS:
        hashes = hashes * np.uint64(0xD1342543DE82EF95) + grams.hashes[places + part]
    first = segments.first_occurrences(hashes, np.searchsorted(places, grams.starts))
    later = first != np.arange(len(first))
    begins = (places - grams.starts[texts] + units.starts[texts])[later]
    # Each gram opens at its first unit and closes after its last.
    depth = np.bincount(begins, minlength=len(units.codes) + 1)
    depth -= np.bincount(begins + REPEATED_GRAM, minlength=len(units.codes) + 1)
    return segments.sums(np.cumsum(depth)[:-1] > 0, units.starts)
