"""Intervals, against scipy's bootstrap and by simulation."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from qingtan.evaluation.interval import bootstrap, paired_gain
from qingtan.evaluation.metrics.metric import Answer, Item, MeanMetric, Metric
from qingtan.evaluation.metrics.text import Distinct2, Length, Repeats


def scored(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a mean's answers add to its sums."""
    return np.stack([values, np.ones(len(values))], axis=1)


class LowerMean(Length):
    higher_is_better = False


def test_a_mean_has_scipys_percentile_interval() -> None:
    values = np.random.default_rng(1).exponential(size=200)
    value, low, high = bootstrap(Length(), scored(values), samples=4000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert value == pytest.approx(values.mean())
    error = values.std() / np.sqrt(len(values))
    assert low == pytest.approx(theirs.low, abs=0.15 * error)
    assert high == pytest.approx(theirs.high, abs=0.15 * error)


def test_a_ratio_of_sums_is_resampled_by_item() -> None:
    rng = np.random.default_rng(3)
    bigrams = rng.integers(1, 50, size=150).astype(float)
    statistics = np.stack([np.floor(bigrams * rng.random(150)), bigrams], axis=1)
    value, low, high = bootstrap(Distinct2(), statistics, samples=4000)
    theirs = stats.bootstrap(
        tuple(statistics.T),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        n_resamples=4000,
        method="percentile",
        paired=True,
        rng=np.random.default_rng(4),
    ).confidence_interval
    assert value == statistics[:, 0].sum() / statistics[:, 1].sum()
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.015)


def test_the_interval_covers_the_truth_nineteen_times_of_twenty() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(300):
        _, low, high = bootstrap(
            Length(), scored((rng.random(100) < 0.3).astype(float)), samples=400, seed=seed
        )
        covered += low <= 0.3 <= high
    assert 0.90 <= covered / 300 <= 0.98


def test_a_seed_gives_the_same_interval_whatever_the_block() -> None:
    values = scored(np.random.default_rng(6).random(5000))
    first = bootstrap(Length(), values, samples=500, seed=7)
    assert bootstrap(Length(), values, samples=500, seed=7) == first
    assert bootstrap(Length(), values, samples=500, seed=8) != first


def test_pairing_takes_away_what_both_share() -> None:
    rng = np.random.default_rng(8)
    hardness = rng.normal(size=300) * 10
    model = scored(hardness + 1 + rng.normal(size=300))
    baseline = scored(hardness + rng.normal(size=300))
    gain, low, high = paired_gain(Length(), model, baseline)
    assert gain == pytest.approx(model[:, 0].mean() - baseline[:, 0].mean())
    assert 0 < low < gain < high < 2
    _, alone_low, alone_high = bootstrap(Length(), model)
    assert high - low < (alone_high - alone_low) / 4


def test_a_gain_is_above_zero_where_the_model_is_better() -> None:
    rng = np.random.default_rng(9)
    model, baseline = scored(rng.random(100) + 1), scored(rng.random(100))
    more = paired_gain(Length(), model, baseline)
    fewer = paired_gain(LowerMean(), model, baseline)
    assert more[0] > 0
    assert fewer == pytest.approx((-more[0], -more[2], -more[1]))


def test_a_model_gains_nothing_over_itself() -> None:
    values = scored(np.random.default_rng(10).random(50))
    assert paired_gain(Repeats(), values, values) == (0, 0, 0)


class First(MeanMetric):
    """Counts the items that have a number."""

    name, english, chinese = "first", "first", "首项"

    def score(self, item: Item, answer: Answer) -> float | None:
        number: float | None = item.get("number")
        return number


def measured(metric: Metric, numbers: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([metric.measure({"number": n}, Answer("")) for n in numbers])


def test_samples_that_say_nothing_are_left_out() -> None:
    # Of three items one has a number: of 27 samples 8 hold it not once.
    assert bootstrap(First(), measured(First(), [None, 0.5, None])) == (0.5, 0.5, 0.5)


def test_nothing_measured_is_nan() -> None:
    assert np.isnan(bootstrap(First(), measured(First(), [None, None]))).all()
    assert np.isnan(bootstrap(First(), np.zeros((0, 2)))).all()
    some, none = measured(First(), [1.0, 0.0]), measured(First(), [None, None])
    assert np.isnan(paired_gain(First(), some, none)).all()


def test_unlike_items_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="paired"):
        paired_gain(Length(), np.ones((3, 2)), np.ones((4, 2)))
