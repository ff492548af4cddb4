"""The sampler against the same draws written with numpy in double precision."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from native.draws import (
    Options,
    Scores,
    UnsureError,
    adjust,
    assert_follows,
    distribution,
    mask_of,
    reference,
)
from qingtan.native import Pool, Sampler, draw_all, logprobs, tables

NO_DRAFTS = np.zeros(0, np.int32)


def draw(sampler: Sampler, logits: Scores, mask: NDArray[np.int32] | None = None) -> int:
    [token] = sampler.draw(logits[None], NO_DRAFTS, None if mask is None else mask[None])
    return token


OPTIONS = st.builds(
    Options,
    temperature=st.sampled_from([0.0, 1e-9, 0.1, 0.7, 1.0, 2.0]),
    top_p=st.just(1.0) | st.floats(0, 1),
    top_k=st.just(0) | st.integers(1, 100),
    min_p=st.just(0.0) | st.floats(0, 1),
    repetition_penalty=st.just(1.0) | st.floats(0.1, 10),
    presence_penalty=st.just(0.0) | st.floats(-2, 2),
    frequency_penalty=st.just(0.0) | st.floats(-2, 2),
    no_repeat_ngram_size=st.sampled_from([0, 0, 1, 2, 3]),
    seed=st.integers(0, 2**64 - 1),
    bias=st.dictionaries(st.integers(0, 0) | st.integers(0, 39), st.floats(-100, 100, width=32)),
    prompt=st.lists(st.integers(0, 60), max_size=20),
)


@settings(max_examples=200)
@given(
    OPTIONS,
    st.integers(40, 1500),
    st.sampled_from([0.0, 0.3, 2.0, 8.0]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_it_draws_what_the_formulas_say(
    options: Options, vocab: int, scale: float, ties: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sampler = options.sampler(vocab)
    output: list[int] = []
    for drawn in range(4):
        logits = rng.normal(0, scale, vocab).astype(np.float32)
        logits = np.round(logits) if ties else logits
        assert sampler.drawn == drawn
        try:
            expected = reference(logits, options, output)
        except UnsureError:
            reject()
        assert draw(sampler, logits) == expected
        output.append(expected)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=200))
def test_temperature_zero_takes_the_first_of_the_likeliest(values: list[int]) -> None:
    logits = np.array(values, np.float32)
    assert draw(Options(temperature=0).sampler(len(values)), logits) == logits.argmax()


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(temperature=0.7, top_p=0.8),
        Options(temperature=1.5, top_k=12),
        Options(temperature=1.3, min_p=0.1),
        Options(temperature=1.2, top_k=40, top_p=0.9, min_p=0.02),
    ],
)
@pytest.mark.parametrize("vocab", [5, 200])
def test_frequencies_follow_the_distribution(options: Options, vocab: int) -> None:
    logits = np.random.default_rng(vocab).normal(0, 2, vocab).astype(np.float32)
    probabilities = distribution(logits, options)
    sampler = replace(options, seed=11).sampler(vocab)
    assert_follows([draw(sampler, logits) for _ in range(10_000)], probabilities)
    # And over seeds that people choose, at the first draw.
    firsts = [draw(replace(options, seed=i).sampler(vocab), logits) for i in range(10_000)]
    assert_follows(firsts, probabilities)


def test_what_is_ruled_out_is_drawn_where_a_mask_leaves_nothing_else() -> None:
    sampler = Options(no_repeat_ngram_size=1).sampler(5)
    logits = np.zeros(5, np.float32)
    only = mask_of([2], 5)
    assert [draw(sampler, logits, only) for _ in range(3)] == [2, 2, 2]
    assert 2 not in {draw(sampler.fork(i), logits) for i in range(100)}


def test_frequencies_follow_the_penalized_distribution() -> None:
    options = Options(
        repetition_penalty=1.3, presence_penalty=0.4, frequency_penalty=-0.3, prompt=[1, 2, 2]
    )
    logits = np.array([2.0, 1.5, -0.5, 1.0, -1.0], np.float32)
    output = [0, 3, 3]
    sampler = options.sampler(5)
    for token in output:
        assert draw(sampler, logits, mask_of([token], 5)) == token
    probabilities = distribution(adjust(logits, options, output), options)
    assert_follows([draw(sampler.fork(i), logits) for i in range(20_000)], probabilities)


def test_neighbouring_draws_are_independent() -> None:
    logits = np.log(np.array([0.4, 0.3, 0.2, 0.1], np.float32))
    sampler = Options(seed=3).sampler(4)
    tokens = [draw(sampler, logits) for _ in range(40_000)]
    pairs = [4 * a + b for a, b in zip(tokens[::2], tokens[1::2], strict=True)]
    assert_follows(pairs, np.outer(np.exp(logits), np.exp(logits)).ravel().astype(np.float64))


PENALTIES = Options(
    temperature=1.1,
    top_p=0.9,
    repetition_penalty=1.2,
    presence_penalty=0.5,
    no_repeat_ngram_size=2,
    seed=4,
    prompt=[1],
)


@pytest.mark.parametrize("skill", [0.0, 0.5, 1.0])
def test_drafts_change_nothing_but_the_number_of_calls(skill: float) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (400, 50)).astype(np.float32)
    masks = np.stack([mask_of(rng.choice(50, 25, replace=False), 50) for _ in logits])
    plain = PENALTIES.sampler(50)
    text = [draw(plain, *row) for row in zip(logits, masks, strict=True)]
    drafted = PENALTIES.sampler(50)
    done: list[int] = []
    calls = 0
    while len(done) < len(text):
        rows = slice(len(done), min(len(done) + 5, len(text)))
        drafts = np.array(text[rows][:-1], np.int32)
        drafts[rng.random(len(drafts)) >= skill] = 50
        done += drafted.draw(logits[rows], drafts, masks[rows])
        calls += 1
    assert done == text
    assert calls == {0.0: 400, 1.0: 80}.get(skill, calls)
    assert 80 <= calls <= 400
    assert drafted.drawn == plain.drawn == 400


def test_a_poor_draft_leaves_the_distribution_as_it_is() -> None:
    first, second = (np.log(np.array(p, np.float32)) for p in ([0.6, 0.3, 0.1], [0.1, 0.2, 0.7]))
    rng = np.random.default_rng(2)
    sampler = Options(seed=9).sampler(3)
    pairs = []
    for _ in range(20_000):
        draft = rng.choice(3, p=[0.1, 0.1, 0.8])
        tokens = sampler.draw(np.stack([first, second]), np.array([draft], np.int32))
        assert len(tokens) == (2 if tokens[0] == draft else 1)
        if len(tokens) == 1:
            tokens += sampler.draw(second[None], NO_DRAFTS)
        pairs.append(3 * tokens[0] + tokens[1])
    assert_follows(pairs, np.outer(np.exp(first), np.exp(second)).ravel().astype(np.float64))


def test_models_that_draw_with_the_same_numbers_often_agree() -> None:
    """At least (1 − d) / (1 + d) of the time, d being the total variation (2408.07978)."""
    rng = np.random.default_rng(3)
    teacher = rng.normal(0, 2, 300).astype(np.float32)
    draft = teacher + rng.normal(0, 0.3, 300).astype(np.float32)
    both = [Options(seed=5).sampler(300) for _ in range(2)]
    agreed = np.mean([draw(both[0], teacher) == draw(both[1], draft) for _ in range(5000)])
    apart = np.abs(distribution(teacher, Options()) - distribution(draft, Options())).sum() / 2
    assert 0.05 < apart < 0.3
    assert agreed > (1 - apart) / (1 + apart) - 0.02


def test_others_in_the_batch_change_nothing() -> None:
    rng = np.random.default_rng(4)
    options = [replace(PENALTIES, seed=i, top_k=i, temperature=i % 3) for i in range(7)]
    alone, together = ([one.sampler(70) for one in options] for _ in range(2))
    pool = Pool(2)
    for _ in range(20):
        rows = rng.integers(1, 4, len(options)).astype(np.int32)
        logits = rng.normal(0, 1, (rows.sum(), 77)).astype(np.float32)
        masks = np.stack([mask_of(rng.choice(70, 50, replace=False), 70) for _ in logits])
        drafts = rng.integers(0, 4, rows.sum() - len(rows)).astype(np.int32)
        found = draw_all(together, logits, rows, drafts, masks, pool)
        for i, sampler in enumerate(alone):
            own = slice(rows[:i].sum(), rows[: i + 1].sum())
            own_drafts = drafts[own.start - i : own.stop - i - 1]
            assert found[i] == sampler.draw(logits[own], own_drafts, masks[own])
    assert [one.drawn for one in together] == [one.drawn for one in alone]


def test_every_instruction_set_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    logits = [rng.normal(0, 3, 3001).astype(np.float32) for _ in range(5)]
    every = [Options(), Options(temperature=0), Options(top_p=0.9), Options(top_k=30, min_p=0.1)]
    texts = []
    for table in tables():
        monkeypatch.setenv("QINGTAN_ISA", table.name)
        samplers = [options.sampler(3001) for options in every]
        tokens = [draw(sampler, row) for sampler in samplers for row in logits]
        texts.append((tokens, [logprobs(row, 3001, 7, 5) for row in logits]))
    assert all(text == texts[0] for text in texts)


def test_a_fork_goes_on_from_the_same_state() -> None:
    logits = np.random.default_rng(6).normal(0, 1, 100).astype(np.float32)
    sampler = PENALTIES.sampler(100)
    output = [draw(sampler, logits) for _ in range(10)]
    same, other = sampler.fork(PENALTIES.seed), sampler.fork(77)
    for _ in range(5):
        expected = reference(logits, replace(PENALTIES, seed=77), output)
        assert draw(other, logits) == expected
        output.append(expected)
    assert [draw(same, logits) for _ in range(5)] == [draw(sampler, logits) for _ in range(5)]


@given(st.integers(1, 200), st.data(), st.sampled_from([0.0, 1.0]))
def test_a_mask_is_like_a_smaller_vocabulary(vocab: int, data: st.DataObject, t: float) -> None:
    allowed = sorted(data.draw(st.sets(st.integers(0, vocab - 1), min_size=1)))
    logits = np.random.default_rng(vocab).normal(0, 1, vocab).astype(np.float32)
    options = Options(temperature=t, seed=vocab)
    without = np.full(vocab, -np.inf, np.float32)
    without[allowed] = logits[allowed]
    token = draw(options.sampler(vocab), logits, mask_of(allowed, vocab))
    assert token in allowed
    assert token == draw(options.sampler(vocab), without)


def test_padding_is_never_drawn() -> None:
    logits = np.zeros(1000, np.float32)
    logits[40:] = 1e6
    for options in (Options(), Options(temperature=0), Options(top_p=0.9), Options(top_k=5)):
        sampler = options.sampler(40)
        everything = mask_of(range(64), 64)
        assert all(draw(sampler, logits, everything) < 40 for _ in range(50))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 70, 99])
def test_logits_that_are_no_numbers_are_refused(bad: float, place: int) -> None:
    logits = np.zeros(100, np.float32)
    logits[place] = bad
    with pytest.raises(FloatingPointError, match="not finite"):
        draw(Options().sampler(100), logits)
    with pytest.raises(FloatingPointError, match="not finite"):
        # Neither a mask nor a penalty hides it.
        draw(PENALTIES.sampler(100), logits, mask_of([5], 100))
    with pytest.raises(FloatingPointError, match="not finite"):
        logprobs(logits, 100, 0, 0)


def test_a_row_of_nothing_is_refused() -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        draw(Options().sampler(3), np.full(3, -np.inf, np.float32))


def test_what_fails_has_drawn_nothing() -> None:
    rng = np.random.default_rng(7)
    options = replace(PENALTIES, frequency_penalty=1.0)
    logits = rng.normal(0, 1, (40, 4)).astype(np.float32)
    plain = options.sampler(4)
    text = [draw(plain, row) for row in logits]
    masks = np.full((3, 1), -1, np.int32)
    broken = masks.copy()
    broken[2] = 16  # bits beyond the vocabulary allow nothing
    sampler, other = options.sampler(4), Options().sampler(4)
    for i, token in enumerate(text[:-1]):
        drafts = np.array(text[i : i + 1], np.int32)
        rows = np.concatenate([logits[i : i + 2], logits[:1]])
        both = [sampler, other], rows, np.array([2, 1], np.int32), drafts
        with pytest.raises(ValueError, match="no token is allowed"):
            draw_all(*both, broken, Pool(2))
        assert (sampler.drawn, other.drawn) == (i, 0)
        with pytest.raises(ValueError, match="no token is allowed"):
            sampler.draw(rows[:2], drafts, broken[1:])
        assert draw(sampler, logits[i]) == token


@given(st.integers(1, 400), st.integers(0, 20), st.booleans(), st.integers(0, 99))
def test_logprobs_are_the_log_softmax(vocab: int, top: int, ties: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, vocab + 9).astype(np.float32)
    logits = np.round(logits) if ties else logits
    top = min(top, vocab)
    scores = logits[:vocab].astype(np.float64)
    expected = scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())
    token = int(rng.integers(vocab))
    value, ids, values = logprobs(logits, vocab, token, top)
    assert value == pytest.approx(expected[token], abs=1e-6)
    assert ids == np.lexsort((np.arange(vocab), -scores))[:top].tolist()
    assert values == pytest.approx(expected[ids].tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": -1.0}, "temperature: must be finite"),
        ({"temperature": np.nan}, "temperature: must be finite"),
        ({"top_p": 1.5}, "top_p: must lie from 0 to 1"),
        ({"top_k": -1}, "top_k: must not be negative"),
        ({"min_p": -0.1}, "min_p: must lie from 0 to 1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty: must be finite and above 0"),
        ({"presence_penalty": np.inf}, "presence_penalty: must be finite"),
        ({"frequency_penalty": np.nan}, "frequency_penalty: must be finite"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size: must not be negative"),
        ({"bias": {10: 1.0}}, "bias_ids: must be tokens"),
        ({"bias": {-1: 1.0}}, "bias_ids: must be tokens"),
        ({"bias": {1: np.inf}}, "bias: must be finite"),
        ({"prompt": [-1]}, "prompt: -1 is no token"),
    ],
)
def test_options_out_of_range_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(Options(), **change).sampler(10)


def test_arrays_that_do_not_fit_are_named() -> None:
    sampler, other = Options().sampler(64), Options().sampler(64)
    rows = np.zeros((2, 64), np.float32)
    one = np.zeros(1, np.int32)
    ones, pool = np.ones(2, np.int32), Pool(1)
    for message, call in {
        "logits: must have a column": lambda: sampler.draw(rows[:, :9].copy(), one),
        "logits: must be float32": lambda: sampler.draw(rows.astype(np.float64), one),
        "logits: must have a row": lambda: sampler.draw(rows[:0], NO_DRAFTS),
        "drafts: must have the shape": lambda: sampler.draw(rows, NO_DRAFTS),
        "masks: must have a bit": lambda: sampler.draw(rows, one, np.zeros((2, 1), np.int32)),
        "masks: must have the shape": lambda: sampler.draw(rows, one, np.zeros((1, 2), np.int32)),
        "samplers: must not name one twice": lambda: draw_all(
            [sampler, sampler], rows, ones, NO_DRAFTS, None, pool
        ),
        "rows: must lie": lambda: draw_all([sampler, other], rows, ones - 1, NO_DRAFTS, None, pool),
        "rows: must add up": lambda: draw_all([sampler], rows, ones[:1], one, None, pool),
        "token: must lie": lambda: logprobs(rows[0], 64, 64, 0),
        "vocab: must lie": lambda: logprobs(rows[0], 65, 0, 0),
        "top: must lie": lambda: logprobs(rows[0], 64, 0, 65),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
    assert sampler.drawn == 0
