"""Histograms of measures, for the report of a corpus."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.quality.measures import Measures

_LENGTHS = tuple(float(round(10 ** (step / 4))) for step in range(4, 25))  # 10 to a million
_TWENTIETHS = tuple(step / 20 for step in range(21))
_SMALL_SHARES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    "length": ("characters", _LENGTHS),
    "symbols": ("symbol_share", _TWENTIETHS),
    "digits": ("digit_share", _TWENTIETHS),
    "broken": ("broken_share", _SMALL_SHARES),
    "function_characters": ("function_share", _TWENTIETHS),
    "stop_words": ("stop_word_share", _TWENTIETHS),
    "short_lines": ("short_line_share", _TWENTIETHS),
    "duplicate_lines": ("duplicate_line_share", _TWENTIETHS),
    "top_gram": ("top_gram_share", _TWENTIETHS),
    "repeated": ("repeated_share", _TWENTIETHS),
}
"""By name: a field of `Measures`, and the n + 1 borders of its n bins in increasing order."""


def histogram(measures: Measures, name: str) -> NDArray[np.int64]:
    """Count documents by one of `HISTOGRAMS`.

    Returns:
        (bins,) int64; a value on a border counts in the bin above it, a value outside in the first
        or last bin, so the sum is the number of documents.
    """
    measure, edges = HISTOGRAMS[name]
    values: NDArray[Any] = getattr(measures, measure)
    bins = np.searchsorted(np.array(edges[1:-1]), values, side="right")
    return np.bincount(bins, minlength=len(edges) - 1)
