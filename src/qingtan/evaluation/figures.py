"""From answers to figures: what a metric makes of them, with intervals, beside a baseline."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qingtan.evaluation.interval import bootstrap, paired_gain
from qingtan.evaluation.metrics.metric import Answer, Item, Metric
from qingtan.evaluation.results import Estimate, Figure


def make_figure(
    metric: Metric,
    items: Sequence[Item],
    answers: Sequence[Answer],
    trivial: Sequence[Answer] | None = None,
) -> Figure | None:
    """Measure answers, with the interval, and beside a trivial baseline's answers.

    Returns:
        None where the answers make no figure, such as a mean over no item.
    """
    statistics = _measure(metric, items, answers)
    model = estimate(bootstrap(metric, statistics))
    if model is None:
        return None
    baseline = gain = None
    if trivial is not None:
        others = _measure(metric, items, trivial)
        baseline = estimate(bootstrap(metric, others))
        gain = estimate(paired_gain(metric, statistics, others)) if baseline else None
    return Figure(
        name=metric.name,
        english=metric.english,
        chinese=metric.chinese,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        # Items that a metric leaves out add nothing to any of its sums.
        items=int(np.any(statistics, axis=1).sum()),
        model=model,
        baseline=baseline,
        gain=gain,
    )


def _measure(
    metric: Metric, items: Sequence[Item], answers: Sequence[Answer]
) -> NDArray[np.float64]:
    """Return what each answer adds to a metric's sums, (items, k)."""
    pairs = zip(items, answers, strict=True)
    return np.array([metric.measure(item, answer) for item, answer in pairs], np.float64)


def estimate(values: tuple[float, float, float]) -> Estimate | None:
    """Return an estimate of a value and its bounds; None where one is not finite."""
    value, low, high = values
    if not all(map(math.isfinite, values)):
        return None
    return Estimate(value=value, low=low, high=high)
