"""Intervals for any metric, by resampling the items (Efron & Tibshirani 1993, chapter 13)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qingtan.evaluation.metrics.metric import Metric

_PERCENTILES = (2.5, 97.5)
# Weights of a block: 16 MiB of them.
_BLOCK_WEIGHTS = 1 << 21


def bootstrap(
    metric: Metric, statistics: NDArray[np.float64], *, samples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Return a metric's figure and its percentile interval of 95%: (value, low, high).

    Args:
        statistics: (items, k), what each answer added to the sums.
        samples: how often the items are drawn anew, with replacement.
        seed: equal seeds give equal intervals; and samples of equally many items are the same.

    Returns:
        All nan where the figure is; samples whose figure is nan are left out of the interval.
    """
    value = metric.combine(statistics.sum(axis=0))
    figures = [metric.combine(sums) for sums in _resample(statistics, samples, seed)]
    return _with_interval(value, figures)


def paired_gain(
    metric: Metric,
    model: NDArray[np.float64],
    baseline: NDArray[np.float64],
    *,
    samples: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return how much better a model is than a baseline, with the interval of 95%.

    Every sample takes the same items of both (the paired bootstrap; Koehn 2004), so that what makes
    items hard for both does not widen the interval. Above 0 the model is better, whichever way the
    metric points.

    Args:
        model, baseline: (items, k) each, of the same items in the same order.

    Raises:
        ValueError: the two are not of equal shapes.
    """
    if model.shape != baseline.shape:
        raise ValueError(f"statistics of {model.shape} and {baseline.shape} cannot be paired")
    k = model.shape[1]
    sign = 1.0 if metric.higher_is_better else -1.0
    both = np.concatenate([model, baseline], axis=1)

    def gain(sums: NDArray[np.float64]) -> float:
        return sign * (metric.combine(sums[:k]) - metric.combine(sums[k:]))

    figures = [gain(sums) for sums in _resample(both, samples, seed)]
    return _with_interval(gain(both.sum(axis=0)), figures)


def _resample(
    statistics: NDArray[np.float64], samples: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Yield the sums of each sample, (k,).

    How often each item is drawn is multinomial, so that a block of samples is one product.
    """
    items = len(statistics)
    if not items:
        return
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_WEIGHTS // items)
    for start in range(0, samples, block):
        size = min(block, samples - start)
        weights = rng.multinomial(items, np.full(items, 1 / items), size=size)
        yield from weights.astype(np.float64) @ statistics


def _with_interval(value: float, figures: list[float]) -> tuple[float, float, float]:
    finite = np.array([figure for figure in figures if not np.isnan(figure)])
    if np.isnan(value) or not len(finite):
        return value, float("nan"), float("nan")
    low, high = np.percentile(finite, _PERCENTILES)
    return value, float(low), float(high)
