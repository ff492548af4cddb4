"""Geometry of the line plots; what they look like is the style sheet's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

# The drawing in its own units, and the room around the axes.
WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 10, 28
# Points of a line, at most; more would not be seen at this width.
MOST_POINTS = 480
# A dotted line has no more points than these.
DOTTED_POINTS = 60
_STEPS = (1, 2, 5, 10)
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes:
        name: for the legend; None keeps it out of it.
        x, y: finite numbers, equally many and at least one.
        is_faint: drawn lightly, behind one that smooths it.
        is_dotted: each point is marked, unless there are many.
    """

    name: Markup | None
    x: Sequence[float]
    y: Sequence[float]
    is_faint: bool = False
    is_dotted: bool = False


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where it stands in the drawing, and what it says."""

    at: float
    label: str


@dataclass(frozen=True)
class Dot:
    """A point that is marked, with its value."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class DrawnLine:
    """A line in the units of the drawing: `points` of a polyline, and dots where it has few."""

    line: Line
    points: str
    dots: list[Dot]

    @property
    def last(self) -> float:
        """The last value."""
        return self.line.y[-1]


@dataclass(frozen=True)
class Drawing:
    """Lines between two axes."""

    lines: list[DrawnLine]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def draw(lines: Sequence[Line]) -> Drawing:
    """Lay lines out between axes with round ticks; the horizontal one starts at 0."""
    end = max(max(line.x) for line in lines) or 1.0
    across = _Axis([m for m in round_marks(0.0, end) if m <= end], end, LEFT, WIDTH - RIGHT)
    low, high = (f(f(line.y) for line in lines) for f in (min, max))
    y_marks = round_marks(low, high)
    up = _Axis(y_marks, y_marks[-1], HEIGHT - BOTTOM, TOP)
    return Drawing([_draw(line, across, up) for line in lines], across.ticks(), up.ticks())


def round_marks(low: float, high: float, most: int = 6) -> list[float]:
    """Return evenly spaced round numbers, of which the first is ≤ low and the last ≥ high.

    Args:
        most: how many intervals there may be between `low` and `high`.
    """
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        # What is as good as constant stands in the middle.
        half = abs(low) / 2 or 0.5
        low, high = low - half, high + half
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((s for s in _STEPS if s * power >= rough * (1 - 1e-9)), 10) * power
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def mark_labels(marks: Sequence[float]) -> list[str]:
    """Return marks as people write them, all with the same unit and decimals: 0, 2k, 4k."""
    largest = max(map(abs, marks))
    size, unit = next(((s, u) for s, u in _UNITS if largest >= s), (1.0, ""))
    step = (marks[1] - marks[0]) / size
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if decimals > 4:
        return [f"{mark:.3g}" if abs(mark) > step / 2 else "0" for mark in marks]
    return [f"{mark / size:.{decimals}f}{unit}" if abs(mark) > 0 else "0" for mark in marks]


def smooth(values: Sequence[float]) -> list[float]:
    """Return the mean of each value and those around it, of fewer towards the ends.

    The window is a twentieth of the values, and at least 3. It looks both ways, so that the line
    does not lag behind what it smooths.
    """
    half = max(1, len(values) // 40)
    sums = np.cumsum([0.0, *values])
    places = np.arange(len(values))
    first, last = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    means: list[float] = ((sums[last] - sums[first]) / (last - first)).tolist()
    return means


def thin(values: Sequence[float], most: int = MOST_POINTS) -> list[int]:
    """Return the indices of at most so many values, by which the line looks the same.

    Of each stretch the least and the greatest stay, so that no spike is lost, and the ends do.
    """
    if len(values) <= most:
        return list(range(len(values)))
    stretches = (most - 2) // 2
    kept = {0, len(values) - 1}
    for i in range(stretches):
        here = range(i * len(values) // stretches, (i + 1) * len(values) // stretches)
        kept |= {min(here, key=values.__getitem__), max(here, key=values.__getitem__)}
    return sorted(kept)


class _Axis:
    """Turns numbers into places between two ends of the drawing."""

    def __init__(self, marks: Sequence[float], last: float, start: float, end: float) -> None:
        """Place the first mark at `start`, and the number `last` at `end`."""
        self._marks = marks
        self._start = start
        self._scale = (end - start) / (last - marks[0])

    def place(self, value: float) -> float:
        return self._start + (value - self._marks[0]) * self._scale

    def ticks(self) -> list[Tick]:
        labels = mark_labels(self._marks)
        return [
            Tick(round(self.place(m), 1), label)
            for m, label in zip(self._marks, labels, strict=True)
        ]


def _draw(line: Line, across: _Axis, up: _Axis) -> DrawnLine:
    kept = thin(line.y)
    places = [(across.place(line.x[i]), up.place(line.y[i])) for i in kept]
    dots = []
    if line.is_dotted and len(kept) <= DOTTED_POINTS:
        dots = [
            Dot(round(x, 1), round(y, 1), _describe(line, i))
            for i, (x, y) in zip(kept, places, strict=True)
        ]
    return DrawnLine(line, " ".join(f"{x:.1f},{y:.1f}" for x, y in places), dots)


def _describe(line: Line, i: int) -> str:
    return f"{line.x[i]:,.0f}: {line.y[i]:.4g}"
