"""Geometry of the plots; what they look like is the style sheet's."""

from collections.abc import Sequence
from itertools import pairwise

from qingtan.corpus.report.formats import format_edge
from qingtan.corpus.statistics import Histogram

HEIGHT = 100  # of a histogram in its own units; a bin is 1 wide


def bar_heights(histogram: Histogram) -> list[float]:
    """Return each bin's height, the fullest bin's being HEIGHT."""
    most = max(histogram.counts, default=0) or 1
    return [round(HEIGHT * count / most, 1) for count in histogram.counts]


def outline(histogram: Histogram) -> str:
    """Return all bars as one SVG path, which is much shorter than a rectangle for each."""
    heights = "".join(f"V{HEIGHT - height:g}h1" for height in bar_heights(histogram))
    return f"M0 {HEIGHT}{heights}V{HEIGHT}z"


def ticks(histogram: Histogram, parts: int) -> list[tuple[float, str]]:
    """Return where edges are to be named, in per cent of the width, and the names."""
    bins = len(histogram.counts)
    places = sorted({round(bins * part / parts) for part in range(parts + 1)})
    return [(100 * place / max(bins, 1), format_edge(histogram.edges[place])) for place in places]


def bin_names(histogram: Histogram) -> list[str]:
    """Return each bin's two edges."""
    names = [format_edge(edge) for edge in histogram.edges]
    return [f"{low} – {high}" for low, high in pairwise(names)]


def scale_of(shares: Sequence[float]) -> float:
    """Return the full width of bars that show these shares: a round number not below any."""
    most = max(shares, default=0.0)
    rounds = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    return next((number for number in rounds if most <= number), 1.0)
