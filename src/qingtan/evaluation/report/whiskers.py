"""Geometry of the plot of all tasks; what it looks like is the style sheet's."""

from collections.abc import Iterable
from dataclasses import dataclass

from qingtan.corpus.report.labels import Label
from qingtan.evaluation.report.tables import Shown, has_interval, is_known, show
from qingtan.evaluation.results import Estimate, Figure, TaskResult

# The plot spans from 0 to 1 or to 100; what has no such ends is not in it.
_SPANS = {"share": 1.0, "points": 100.0}


@dataclass(frozen=True)
class Whisker:
    """An estimate in per cent of the width: a dot, and the ends of the line through it."""

    dot: float
    low: float
    high: float
    shown: Shown


@dataclass(frozen=True)
class WhiskerRow:
    """The headline of a task, and its baseline's where there is one."""

    task: Label
    metric: Label
    model: Whisker
    baseline: Whisker | None


def whisker_rows(tasks: Iterable[TaskResult]) -> list[WhiskerRow]:
    """Return the tasks whose headline is known and has its place between 0 and 1, or 100."""
    rows = []
    for task in tasks:
        for figure in task.figures[:1]:
            model = _whisker(figure.model, figure)
            if model:
                names = Label(task.english, task.chinese), Label(figure.english, figure.chinese)
                rows.append(WhiskerRow(*names, model, _whisker(figure.baseline, figure)))
    return rows


def _whisker(estimate: Estimate | None, figure: Figure) -> Whisker | None:
    if estimate is None or not is_known(estimate) or figure.unit not in _SPANS:
        return None
    span = _SPANS[figure.unit]
    ends = (estimate.low, estimate.high) if has_interval(estimate) else (estimate.value,) * 2
    dot, low, high = (_place(value / span) for value in (estimate.value, *ends))
    return Whisker(dot, low, high, show(estimate, figure.unit))


def _place(part: float) -> float:
    return round(100 * min(max(part, 0.0), 1.0), 2)
