import numpy as np
import pytest

from qingtan.engine.sampling import SamplingParams, new_sampler
from qingtan.errors import UserError
from qingtan.native import Sampler

NO_DRAFTS = np.zeros(0, np.int32)


def draw(sampler: Sampler, logits: np.ndarray, count: int = 1) -> list[int]:
    return [sampler.draw(logits[None], NO_DRAFTS)[0] for _ in range(count)]


def likeliest(prompt: list[int], **given: object) -> list[int]:
    """The first four tokens of the same logits, at temperature 0."""
    logits = np.array([2.0, 1.9, -1.0, -1.1], np.float32)
    params = SamplingParams(temperature=0, **given)
    return draw(new_sampler(params, 4, prompt), logits, 4)


def test_every_field_reaches_the_sampler() -> None:
    assert likeliest([]) == [0, 0, 0, 0]
    assert likeliest([], presence_penalty=0.2) == [0, 1, 0, 0]
    assert likeliest([], frequency_penalty=0.04) == [0, 0, 0, 1]
    # Neither counts the prompt, the repetition penalty does: 2.0 / 1.1 < 1.9.
    assert likeliest([0], presence_penalty=0.2) == [0, 1, 0, 0]
    assert likeliest([0], repetition_penalty=1.1) == [1, 0, 0, 0]
    # A negative logit is multiplied.
    assert likeliest([2], repetition_penalty=2, logit_bias=((0, -9), (1, -9))) == [3, 2, 2, 2]
    # The prompt does not count, a token that would come again does.
    assert likeliest([0, 1, 2, 3], no_repeat_ngram_size=1) == [0, 1, 2, 3]
    assert likeliest([0], no_repeat_ngram_size=2) == [0, 0, 1, 0]
    assert likeliest([], logit_bias=((2, 3.1), (3, 3.1))) == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, 10),
        ({"top_k": 3}, 3),
        ({"top_k": 10**30}, 10),
        ({"top_p": 0.5}, 3),
        ({"min_p": 0.6}, 3),
        ({"min_p": 0.6, "temperature": 2}, 5),
    ],
)
def test_only_what_the_filters_leave_is_drawn(given: dict[str, float], kept: int) -> None:
    """Probabilities fall by a fifth from token to token; three have 0.55 of the whole."""
    logits = np.float32(np.log(0.8)) * np.arange(10, dtype=np.float32)
    params = SamplingParams(**{"temperature": 1, "top_p": 1, "seed": 1, **given})
    assert set(draw(new_sampler(params, 10, []), logits, 500)) == set(range(kept))


def test_a_seed_decides_and_its_absence_does_not() -> None:
    logits = np.zeros(1000, np.float32)

    def text(seed: int | None) -> list[int]:
        return draw(new_sampler(SamplingParams(top_p=1, seed=seed), 1000, []), logits, 20)

    assert text(-5) == text(-5) == text(2**64 - 5)
    assert text(-5) != text(5)
    assert text(None) != text(None)


def test_a_tiny_temperature_does_not_overflow() -> None:
    logits = np.array([0, 700, 699], np.float32)
    sampler = new_sampler(SamplingParams(temperature=1e-300), 3, [])
    assert draw(sampler, logits, 10) == [1] * 10


def test_a_bias_for_no_token_is_refused() -> None:
    with pytest.raises(UserError, match=r"^logit_bias: there is no token 4; the vocabulary has"):
        likeliest([], logit_bias=((4, 1.0),))


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
        ("no_repeat_ngram_size", -1),
        ("min_p", 1.1),
        ("min_p", float("nan")),
        ("logprobs", 21),
        ("logprobs", -1),
        ("logit_bias", ((1, 100.5),)),
        ("logit_bias", ((1, float("nan")),)),
        ("logit_bias", ((1, 1.0), (1, 2.0))),
        ("stop", ("",)),
        ("stop", ("x",) * 17),
    ],
)
def test_values_out_of_range_are_named(field: str, value: object) -> None:
    with pytest.raises(UserError, match=f"^{field}: "):
        SamplingParams(**{field: value})
