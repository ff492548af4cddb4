"""On-policy batches: the student answers, and the teacher marks what it wrote (GKD, 2306.13649)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qingtan.glm.conversation import stop_ids
from qingtan.glm.generation import generate
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.batches import Batch, Piece, Written, make_batch
from qingtan.training.evaluation import evaluating
from qingtan.training.subject import Subject

# Of a plain text, what the student goes on from.
PROMPT_SHARE = 0.25
LEAST_PROMPT = 2


@dataclass(frozen=True)
class OnPolicy(Written):
    """A prompt and the student's own answer, which is marked and not imitated."""


@dataclass(frozen=True)
class _Question:
    """A prompt, the row that its answer goes into, and the most tokens of that."""

    name: str
    prompt: NDArray[np.int64]
    row: int
    room: int


def is_on_policy(batch: Batch) -> bool:
    """Return whether the student wrote this batch."""
    return any(isinstance(piece, OnPolicy) for row in batch.pieces for piece in row)


def answer_batch(
    subject: Subject,
    batch: Batch,
    tokenizer: GLMTokenizer,
    answer_tokens: int,
    generator: torch.Generator,
) -> Batch:
    """Return a batch of the same shape, in which the student answers this batch's prompts.

    A conversation's prompt ends where its first answer begins; a text's is its first quarter.
    Pieces are taken in order as long as a row has room for their longest possible answer, so
    nothing is written in vain. The answers are sampled at temperature 1.

    Args:
        batch: on any device; the new one is on the same.
        answer_tokens: the most tokens of an answer.
        generator: what the samples are drawn from.

    Returns:
        Rows of OnPolicy pieces; the batch itself where nothing in it can be answered.
    """
    rows, length = batch.tokens.shape
    pieces = [piece for row in batch.pieces for piece in row]
    questions = list(_questions(pieces, rows, length + 1, answer_tokens))
    if not questions:
        return batch
    with evaluating(subject), torch.no_grad():
        answers = generate(
            subject.model,
            [question.prompt.tolist() for question in questions],
            max_tokens=max(question.room for question in questions),
            stop_ids=stop_ids(tokenizer),
            vocab_size=tokenizer.vocab_size,
            temperature=1.0,
            generator=generator,
            prefix=_prefix(subject),
        )
    answered: list[list[Piece]] = [[] for _ in range(rows)]
    for question, answer in zip(questions, answers, strict=True):
        answered[question.row].append(_answered(question, answer[: question.room]))
    return make_batch(answered, length).to(batch.tokens.device)


def _questions(
    pieces: Sequence[Piece], rows: int, capacity: int, answer_tokens: int
) -> Iterator[_Question]:
    """Yield the questions that fit rows of a capacity, each in the row with the most room."""
    left = [capacity] * rows
    for piece in pieces:
        prompt = prompt_of(piece)
        row = max(range(rows), key=left.__getitem__)
        room = min(answer_tokens, capacity - len(prompt))
        if room > 0 and len(prompt) and len(prompt) + room <= left[row]:
            left[row] -= len(prompt) + room
            yield _Question(piece.name, prompt, row, room)


def prompt_of(piece: Piece) -> NDArray[np.int64]:
    """Return the tokens that the student is given of a piece, (n,); none if it has no answer."""
    tokens, trained = piece.tokens(), piece.trained()
    if not trained.any():
        return tokens[:0]
    if trained[1:].all():
        return tokens[: max(LEAST_PROMPT, int(PROMPT_SHARE * len(tokens)))]
    return tokens[: int(trained.argmax())]


def _answered(question: _Question, answer: Sequence[int]) -> OnPolicy:
    ids = np.concatenate([question.prompt, np.asarray(answer, np.int64)])
    return OnPolicy(question.name, ids, np.arange(len(ids)) >= len(question.prompt))


def _prefix(subject: Subject) -> Tensor | None:
    prefix: Tensor | None = None if subject.prefix is None else subject.prefix()
    return prefix
