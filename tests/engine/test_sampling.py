from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.engine.sampling import SamplingParams, sample
from qingtan.errors import UserError

LOGITS = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=600)


def reference(logits: np.ndarray, params: SamplingParams) -> np.ndarray:
    """The distribution to sample from, written down the plain way."""
    scores = logits.astype(np.float64) / params.temperature
    order = np.argsort(-scores, kind="stable")
    kept = order[: params.top_k] if params.top_k else order
    weights = np.exp(scores[kept] - scores.max())
    weights /= weights.sum()
    size = 1
    while weights[:size].sum() < params.top_p and size < len(weights):
        size += 1
    probabilities = np.zeros(len(logits))
    probabilities[kept[:size]] = weights[:size] / weights[:size].sum()
    return probabilities


def draw(logits: np.ndarray, params: SamplingParams, count: int) -> Counter[int]:
    rng = params.new_rng()
    return Counter(sample(logits, params, rng, [], []) for _ in range(count))


@given(LOGITS)
def test_temperature_zero_takes_the_first_of_the_likeliest(values: list[float]) -> None:
    logits = np.array(values, np.float32)
    params = SamplingParams(temperature=0)
    assert sample(logits, params, params.new_rng(), [], []) == logits.argmax()


@settings(deadline=None, max_examples=50)
@given(LOGITS, st.floats(0.1, 2), st.floats(0, 1), st.integers(0, 20), st.integers(0, 9))
def test_only_what_top_k_and_top_p_leave_is_drawn(
    values: list[float], temperature: float, top_p: float, top_k: int, seed: int
) -> None:
    logits = np.array(values, np.float32)
    params = SamplingParams(temperature=temperature, top_p=top_p, top_k=top_k, seed=seed)
    probabilities = reference(logits, params)
    # Of equal logits any may stand at the border.
    least = logits[probabilities > 0].min()
    assert all(logits[token] >= least - 1e-5 for token in draw(logits, params, 50))


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=1, top_p=1, seed=1),
        SamplingParams(temperature=0.7, top_p=0.8, seed=2),
        SamplingParams(temperature=1.5, top_p=1, top_k=5, seed=3),
        SamplingParams(temperature=1, top_p=0.9, top_k=8, seed=4),
    ],
)
def test_frequencies_follow_the_distribution(params: SamplingParams) -> None:
    logits = np.random.default_rng(0).normal(0, 2, 1000).astype(np.float32)
    probabilities = reference(logits, params)
    count = 20_000
    counts = draw(logits, params, count)
    found = np.array([counts[i] for i in range(len(logits))]) / count
    # Five standard deviations of a binomial share.
    assert (np.abs(found - probabilities) <= 5 * np.sqrt(probabilities / count) + 1e-4).all()


def test_penalties_follow_their_formulas() -> None:
    logits = np.array([2.0, 1.9, -1.0, -1.1], np.float32)

    def likeliest(output: list[int], prompt: list[int] | None = None, **penalty: float) -> int:
        params = SamplingParams(temperature=0, **penalty)
        return sample(logits, params, params.new_rng(), prompt or [], output)

    assert likeliest([0]) == 0
    assert likeliest([0], presence_penalty=0.2) == 1
    assert likeliest([0], frequency_penalty=0.09) == 0
    assert likeliest([0, 0], frequency_penalty=0.09) == 1
    # Neither counts the prompt, the repetition penalty does: 2.0 / 1.1 < 1.9.
    assert likeliest([], prompt=[0], presence_penalty=2) == 0
    assert likeliest([], prompt=[0], repetition_penalty=1.1) == 1
    # A negative logit is multiplied.
    assert likeliest([0, 1, 2], presence_penalty=0, repetition_penalty=10) == 0
    low = SamplingParams(temperature=0, repetition_penalty=2)
    assert sample(logits[2:], low, low.new_rng(), [0], []) == 1


def test_a_seed_decides_and_its_absence_does_not() -> None:
    logits = np.zeros(1000, np.float32)
    fixed = SamplingParams(top_p=1, seed=-5)
    assert list(draw(logits, fixed, 20)) == list(draw(logits, fixed, 20))
    free = SamplingParams(top_p=1)
    assert list(draw(logits, free, 20)) != list(draw(logits, free, 20))


def test_a_tiny_temperature_does_not_overflow() -> None:
    logits = np.array([0, 700, 699], np.float32)
    assert draw(logits, SamplingParams(temperature=1e-9), 10) == {1: 10}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(bad: float) -> None:
    params = SamplingParams()
    with pytest.raises(FloatingPointError):
        sample(np.array([0, bad], np.float32), params, params.new_rng(), [], [])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("top_p", 1.1),
        ("top_k", -1),
        ("presence_penalty", 2.1),
        ("frequency_penalty", -2.1),
        ("repetition_penalty", 0),
        ("stop", ("",)),
        ("stop", ("x",) * 17),
    ],
)
def test_values_out_of_range_are_named(field: str, value: object) -> None:
    with pytest.raises(UserError, match=f"^{field}: "):
        SamplingParams(**{field: value})
