"""Batches that the student writes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.glm.config import GLMConfig
from qingtan.glm.conversation import stop_ids
from qingtan.glm.generation import generate
from qingtan.glm.model import GLM, initialize
from qingtan.glm.prefix import PrefixEncoder
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.batches import Batch, Excerpt, Piece, Written, make_batch
from qingtan.training.distillation.on_policy import (
    OnPolicy,
    answer_batch,
    is_on_policy,
    prompt_of,
)
from qingtan.training.distillation.teacher import TeacherDistillation
from qingtan.training.subject import Subject
from qingtan.training.tables import DistillationTable

from ..samples import talk_shard, text_shard

LENGTH = 24


@pytest.fixture(scope="module")
def student() -> GLM:
    return initialize(GLM(GLMConfig.named("tiny", vocab_size=576)), 2)


def conversation(name: str, prompt: int, answer: int) -> Written:
    ids = np.arange(prompt + answer) + 10
    return Written(name, ids, ids >= 10 + prompt)


def talks() -> Batch:
    """Return three rows, the last one empty."""
    rows: list[list[Piece]] = [
        [conversation("a", 5, 4), conversation("b", 9, 1)],
        [conversation("c", 3, 20)],
        [],
    ]
    return make_batch(rows, LENGTH)


def answer(student: GLM, batch: Batch, tokenizer: GLMTokenizer, tokens: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return answer_batch(Subject(student), batch, tokenizer, tokens, generator)


def distil(student: GLM, tokenizer: GLMTokenizer, **values: Any) -> TeacherDistillation:
    table = DistillationTable(teacher=Path("teacher"), answer_tokens=4, **values)
    teacher = initialize(GLM(GLMConfig.named("tiny", vocab_size=576)), 1)
    return TeacherDistillation(table, Subject(teacher), student, tokenizer, seed=7)


def written(batch: Batch) -> dict[str, Piece]:
    return {piece.name: piece for row in batch.pieces for piece in row}


def test_a_prompt_ends_where_the_first_answer_begins() -> None:
    shard = talk_shard([[False, False, False, True, True, False, True]], first=10)
    assert prompt_of(Excerpt(shard, 0, 0, 7)).tolist() == [10, 11, 12]
    assert prompt_of(Excerpt(talk_shard([[False] * 4]), 0, 0, 4)).tolist() == []


@pytest.mark.parametrize(("length", "prompt"), [(40, 10), (9, 2), (4, 2), (2, 2)])
def test_a_texts_prompt_is_its_first_quarter(length: int, prompt: int) -> None:
    piece = Excerpt(text_shard([length], first=10), 0, 0, length)
    assert prompt_of(piece).tolist() == list(range(10, 10 + prompt))


def test_the_student_answers_every_prompt(student: GLM, tiny_tokenizer: GLMTokenizer) -> None:
    batch = talks()
    answered = answer(student, batch, tiny_tokenizer)
    assert is_on_policy(answered)
    assert not is_on_policy(batch)
    assert answered.tokens.shape == batch.tokens.shape
    asked, pieces = written(batch), written(answered)
    assert pieces.keys() == asked.keys()
    for name, piece in pieces.items():
        prompt = prompt_of(asked[name])
        assert isinstance(piece, OnPolicy)
        np.testing.assert_array_equal(piece.tokens()[: len(prompt)], prompt)
        np.testing.assert_array_equal(piece.trained(), np.arange(piece.length) >= len(prompt))
        assert 1 <= piece.length - len(prompt) <= 6
    assert answered.labelled == sum(int(piece.trained().sum()) for piece in pieces.values())


def test_an_answer_ends_with_a_stop_token(student: GLM, tiny_tokenizer: GLMTokenizer) -> None:
    batch = make_batch([[conversation(str(i), 2, 1)] for i in range(60)], 200)
    stops = stop_ids(tiny_tokenizer)
    answers = [
        piece.tokens()[2:].tolist()
        for piece in written(answer(student, batch, tiny_tokenizer, 100)).values()
    ]
    ended = [ids for ids in answers if len(ids) < 100]
    assert len(ended) > 10
    assert all(ids[-1] in stops for ids in ended)
    assert not any(stop in ids[:-1] for ids in answers for stop in stops)


@settings(max_examples=25)
@given(
    shapes=st.lists(
        st.lists(st.tuples(st.integers(1, 20), st.integers(1, 5)), max_size=3),
        min_size=1,
        max_size=4,
    ),
    answer_tokens=st.integers(1, 40),
)
def test_whatever_comes_rows_keep_their_shape(
    student: GLM,
    tiny_tokenizer: GLMTokenizer,
    shapes: list[list[tuple[int, int]]],
    answer_tokens: int,
) -> None:
    rows = [
        [conversation(f"{i} {j}", *shape) for j, shape in enumerate(shapes)]
        for i, shapes in enumerate(shapes)
    ]
    batch = make_batch(rows, 3 * 25)
    answered = answer(student, batch, tiny_tokenizer, answer_tokens)
    assert answered.tokens.shape == batch.tokens.shape
    assert (answered.labelled > 0) == (batch.labelled > 0)
    for row in answered.pieces:
        assert sum(piece.length for piece in row) <= 3 * 25 + 1


def test_where_answers_do_not_fit_fewer_are_written(
    student: GLM, tiny_tokenizer: GLMTokenizer
) -> None:
    batch = make_batch([[conversation(str(i), 6, 2) for i in range(3)]] * 2, LENGTH)
    answered = answer(student, batch, tiny_tokenizer, tokens=10)
    assert [len(row) for row in answered.pieces] == [1, 1]


def test_an_answer_ends_where_its_row_does(student: GLM, tiny_tokenizer: GLMTokenizer) -> None:
    batch = make_batch([[conversation("late", 20, 3)], [conversation("early", 2, 3)]], LENGTH)
    pieces = written(answer(student, batch, tiny_tokenizer, tokens=10))
    assert {name: piece.length for name, piece in pieces.items()} == {"late": 25, "early": 12}


def test_a_batch_without_answers_stays_as_it_is(student: GLM, tiny_tokenizer: GLMTokenizer) -> None:
    nothing = Written("nothing", np.arange(5), np.zeros(5, np.bool_))
    batch = make_batch([[nothing], []], LENGTH)
    assert answer(student, batch, tiny_tokenizer) is batch


def test_the_prefix_takes_part_without_its_dropout(
    student: GLM, tiny_tokenizer: GLMTokenizer
) -> None:
    torch.manual_seed(0)
    encoder = PrefixEncoder(student.config, 4)
    with torch.no_grad():
        encoder.embedding.weight.mul_(5)
    subject = Subject(student, encoder).train()
    batch = make_batch([[conversation("a", 5, 4)]], LENGTH)
    generator = torch.Generator().manual_seed(3)
    answered = answer_batch(subject, batch, tiny_tokenizer, 8, generator)
    assert encoder.training
    assert student.training
    encoder.eval()
    (expected,) = generate(
        student,
        [list(range(10, 15))],
        max_tokens=8,
        stop_ids=stop_ids(tiny_tokenizer),
        vocab_size=tiny_tokenizer.vocab_size,
        temperature=1.0,
        generator=torch.Generator().manual_seed(3),
        prefix=encoder().detach(),
    )
    assert answered.pieces[0][0].tokens()[5:].tolist() == expected


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.3, 6, 24), (1.0, 50, 50)])
def test_a_share_of_the_updates_is_on_policy(
    student: GLM, tiny_tokenizer: GLMTokenizer, share: float, least: int, most: int
) -> None:
    distillation = distil(student, tiny_tokenizer, on_policy_share=share)
    batch = make_batch([[conversation("a", 5, 4)]], LENGTH)
    batches = [distillation.prepare(Subject(student), batch, step) for step in range(50)]
    assert least <= sum(map(is_on_policy, batches)) <= most
    assert all((prepared is batch) != is_on_policy(prepared) for prepared in batches)


def test_what_the_student_writes_depends_on_seed_and_step_alone(
    student: GLM, tiny_tokenizer: GLMTokenizer
) -> None:
    def prepare(step: int) -> list[int]:
        distillation = distil(student, tiny_tokenizer, on_policy_share=1.0)
        tokens: list[int] = distillation.prepare(Subject(student), talks(), step).tokens.tolist()
        return tokens

    first = prepare(3)
    torch.manual_seed(99)
    assert prepare(4) != first
    assert prepare(3) == first


def test_the_students_own_words_are_marked_and_not_imitated(
    student: GLM, tiny_tokenizer: GLMTokenizer
) -> None:
    distillation = distil(student, tiny_tokenizer, on_policy_share=1.0, ce_weight=0.5)
    subject = Subject(student)
    batch = distillation.prepare(subject, talks(), 0)
    loss = distillation.loss(subject, batch)
    assert loss.total.item() == pytest.approx(loss.parts["divergence"].item(), rel=1e-6)
    assert loss.parts["cross_entropy"].item() > 0
    alone = [distillation.loss(subject, part).total for part in batch.split(1)]
    torch.testing.assert_close(torch.stack(alone).sum(), loss.total, rtol=1e-4, atol=0)
