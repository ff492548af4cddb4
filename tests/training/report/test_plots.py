"""Where the marks and the points of a plot stand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.training.report import plots
from qingtan.training.report.plots import Line, draw, mark_labels, round_marks, smooth, thin

numbers = st.floats(-1e12, 1e12).filter(lambda x: x == 0 or abs(x) > 1e-9)


@given(numbers, numbers)
def test_marks_are_round_even_and_reach_around(low: float, high: float) -> None:
    low, high = min(low, high), max(low, high)
    marks = round_marks(low, high)
    step = marks[1] - marks[0]
    slack = 1e-6 * step
    assert len(set(mark_labels(marks))) > 1
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack
    assert np.allclose(np.diff(marks), step)
    digits = f"{step:.6e}".split("e")[0]
    assert float(digits) in (1, 2, 5)
    if high - low > 1e-6 * max(abs(low), abs(high)):
        assert 3 <= len(marks) <= 8


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 10, ["0", "2", "4", "6", "8", "10"]),
        (1.8, 2.6, ["1.8", "2.0", "2.2", "2.4", "2.6"]),
        (0, 0.003, ["0", "0.0005", "0.0010", "0.0015", "0.0020", "0.0025", "0.0030"]),
        (0, 3e-6, ["0", "5e-07", "1e-06", "1.5e-06", "2e-06", "2.5e-06", "3e-06"]),
        (10_200, 10_700, ["10.2k", "10.3k", "10.4k", "10.5k", "10.6k", "10.7k"]),
        (0, 3.2e6, ["0", "1M", "2M", "3M", "4M"]),
        (-1, 1, ["-1.0", "-0.5", "0", "0.5", "1.0"]),
        (5, 5, ["2", "3", "4", "5", "6", "7", "8"]),
    ],
)
def test_marks_are_named_for_people(low: float, high: float, labels: list[str]) -> None:
    assert mark_labels(round_marks(low, high)) == labels


def test_points_stand_between_the_axes() -> None:
    drawing = draw(
        [Line(None, [0, 50, 100], [1.0, 2.0, 3.0]), Line(None, [50], [1.0], is_dotted=True)]
    )
    right, bottom = plots.WIDTH - plots.RIGHT, plots.HEIGHT - plots.BOTTOM
    first, second = drawing.lines
    places = [tuple(map(float, pair.split(","))) for pair in first.points.split()]
    middle = ((plots.LEFT + right) / 2, (plots.TOP + bottom) / 2)
    assert places == [(plots.LEFT, bottom), middle, (right, plots.TOP)]
    # A single point would be no line, but it is a dot.
    assert [(dot.x, dot.y) for dot in second.dots] == [(middle[0], bottom)]
    assert second.dots[0].label == "50: 1"
    assert (drawing.x_ticks[0].at, drawing.x_ticks[0].label) == (plots.LEFT, "0")
    assert (drawing.y_ticks[0].at, drawing.y_ticks[-1].at) == (bottom, plots.TOP)


@settings(max_examples=50)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=300))
def test_smoothing_is_the_mean_around(values: list[float]) -> None:
    half = 1 if len(values) < 80 else len(values) // 40
    expected = [np.mean(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]
    assert smooth(values) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=50)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=400), st.integers(8, 60))
def test_thinning_keeps_ends_and_extremes(values: list[float], most: int) -> None:
    kept = thin(values, most)
    assert len(kept) <= most
    assert kept == sorted(set(kept))
    assert {kept[0], kept[-1]} == {0, len(values) - 1}
    chosen = [values[i] for i in kept]
    assert (min(chosen), max(chosen)) == (min(values), max(values))
    if len(values) <= most:
        assert len(kept) == len(values)
