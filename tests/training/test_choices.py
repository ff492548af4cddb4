"""Four-way questions, against a plain loop and against models that know or do not know."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qingtan.corpus.shards import Shard
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, GLMOutput, initialize
from qingtan.training.batches import Batch
from qingtan.training.choices import Choices, measure_choices
from qingtan.training.subject import Subject

from .samples import talk_shard, text_shard

VOCABULARY = 4000
LENGTH = 127


class Successor(Subject):
    """Expects after each token the one that is `step` more, and notes what it was asked."""

    def __init__(self, step: int) -> None:
        super().__init__(GLM(GLMConfig.named("tiny", vocab_size=64)))
        self.step = step
        self.rows: list[tuple[list[int], list[int]]] = []

    def forward(
        self, batch: Batch, *, logits_at: Tensor | slice | None = None, want_layers: bool = False
    ) -> GLMOutput:
        for tokens, labels, kept in zip(batch.tokens, batch.labels, batch.kept, strict=True):
            context = tokens[: int(kept.nonzero()[0]) + 1].tolist()
            self.rows.append((context, labels[kept].tolist()))
        expected = (batch.tokens[batch.kept] + self.step) % VOCABULARY
        logits = torch.zeros(len(expected), VOCABULARY)
        logits.scatter_(1, expected[:, None], 5.0 if self.step else 0.0)
        return GLMOutput(logits, batch.tokens)


def plain_mean(model: GLM, context: list[int], continuation: list[int]) -> float:
    """Return the mean log-likelihood of a continuation's tokens."""
    with torch.no_grad():
        logits = model(torch.tensor([context + continuation])).logits[0].double().numpy()
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return float(np.mean([logs[len(context) + i - 1, t] for i, t in enumerate(continuation)]))


def count_plainly(model: GLM, parts: list[tuple[list[int], list[int]]]) -> int:
    """Return how often the true one of all continuations is the likeliest."""
    correct = 0
    for i, (context, _) in enumerate(parts):
        means = [plain_mean(model, context, continuation) for _, continuation in parts]
        correct += int(np.argmax(means)) == i
    return correct


@pytest.fixture(scope="module")
def model() -> GLM:
    model = initialize(GLM(GLMConfig.named("tiny", vocab_size=512)), 3)
    with torch.no_grad():
        model.embedding.weight.mul_(20)  # so that its guesses are far from even
    return model


@pytest.mark.parametrize("seed", range(5))
def test_texts_are_scored_as_by_a_plain_loop(model: GLM, seed: int) -> None:
    shard = text_shard([17, 40, 140, 30], first=seed)
    documents = [shard.document(i).tolist()[:128] for i in range(4)]
    parts = [(d[: len(d) * 3 // 4], d[len(d) * 3 // 4 :]) for d in documents]
    # Of four documents every question has all of them, so that nothing is left to chance.
    result = measure_choices(Subject(model), [shard], 10, LENGTH, seed)
    assert result == {"text": Choices(count_plainly(model, parts), 4)}


@pytest.mark.parametrize("seed", range(5))
def test_answers_of_many_lengths_are_scored_as_by_a_plain_loop(model: GLM, seed: int) -> None:
    answers = [2, 5, 9, 80]
    shard = talk_shard([[False] * 6 + [True] * n + [False] * 3 for n in answers], first=seed)
    documents = [shard.document(i).tolist() for i in range(4)]
    # The token that ends an answer is left out, and a long answer is cut.
    parts = [(d[:6], d[6 : 6 + min(n - 1, 64)]) for d, n in zip(documents, answers, strict=True)]
    result = measure_choices(Subject(model), [shard], 10, LENGTH, seed)
    assert result == {"talk": Choices(count_plainly(model, parts), 4)}


def test_who_knows_what_comes_next_is_always_right() -> None:
    shards = [text_shard([130] * 6), text_shard([50] * 6, first=1000)]
    assert measure_choices(Successor(1), shards, 9, LENGTH, 0) == {"text": Choices(9, 9)}


def test_who_cannot_tell_is_never_right() -> None:
    """A tie is no knowledge."""
    result = measure_choices(Successor(0), [text_shard([130] * 6)], 9, LENGTH, 0)
    assert result == {"text": Choices(0, 6)}


def test_a_question_has_one_right_choice_of_four_documents() -> None:
    shards = [text_shard([200] * 12), talk_shard([[False] * 9 + [True] * 70] * 5, first=3000)]
    subject = Successor(1)
    result = measure_choices(subject, shards, 8, LENGTH, 0)
    assert result == {"text": Choices(8, 8), "talk": Choices(5, 5)}
    questions: dict[tuple[int, ...], list[list[int]]] = {}
    for context, continuation in subject.rows:
        questions.setdefault(tuple(context), []).append(continuation)
    assert len(questions) == 13
    for context, choices in questions.items():
        assert len({choice[0] for choice in choices}) == len(choices) == 4
        assert [choice[0] for choice in choices].count(context[-1] + 1) == 1
        lengths = {(len(context), len(choice)) for choice in choices}
        assert lengths in ({(96, 32)}, {(9, 64)})


def test_equal_seeds_ask_the_same_and_others_not() -> None:
    def ask(seed: int) -> list[tuple[list[int], list[int]]]:
        subject = Successor(1)
        measure_choices(subject, [text_shard([60] * 20)], 5, LENGTH, seed)
        return subject.rows

    assert ask(1) == ask(1)
    assert ask(1) != ask(2)


def test_rows_are_never_longer_than_the_run_s() -> None:
    subject = Successor(1)
    fits, too_long = [False] * 40 + [True] * 60, [False] * 41 + [True] * 30
    talks = talk_shard([fits] * 4 + [too_long] * 4)
    result = measure_choices(subject, [text_shard([200] * 4, first=500), talks], 9, 79, 0)
    assert result == {"text": Choices(4, 4), "talk": Choices(4, 4)}
    assert max(len(context) + len(continuation) for context, continuation in subject.rows) == 80


def test_a_source_with_too_few_different_documents_is_left_out() -> None:
    short, few = text_shard([15] * 9, "short"), text_shard([40] * 3, "few")
    one = text_shard([40], "same")
    same = Shard(
        "same",
        "valid",
        np.tile(one.tokens, 5),
        np.arange(6) * 40,
        np.tile(one.bytes, 5),
        None,
    )
    silent = talk_shard([[False] * 20] * 6)
    shards = [short, few, same, silent, text_shard([40] * 4, "enough")]
    assert list(measure_choices(Successor(1), shards, 3, LENGTH, 0)) == ["enough"]
    assert measure_choices(Successor(1), shards, 0, LENGTH, 0) == {}


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_what_a_score_test_does_not_reject(counts: tuple[int, int]) -> None:
    correct, items = counts
    choices = Choices(correct, items)
    low, high = choices.interval
    assert 0 <= low <= choices.accuracy <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            error = math.sqrt(bound * (1 - bound) / items)
            assert abs(choices.accuracy - bound) / error == pytest.approx(1.96, abs=1e-3)
