"""Distillation from a teacher that runs beside the student (1503.02531, GKD 2306.13649)."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.layouts import load_config
from qingtan.glm.model import GLM
from qingtan.glm.tokenizer import GLMTokenizer, load_tokenizer
from qingtan.training.batches import Batch
from qingtan.training.distillation.divergences import grade
from qingtan.training.distillation.hidden import HiddenMatching
from qingtan.training.distillation.on_policy import answer_batch, is_on_policy
from qingtan.training.head import Score, chunk_size, score_head, score_likelihood
from qingtan.training.objective import NONE, Loss, Objective
from qingtan.training.subject import Subject
from qingtan.training.tables import DistillationTable


class TeacherDistillation(Objective):
    """ce_weight·CE + (1−ce_weight)·divergence + hidden_weight·hidden, in nats.

    Where the student wrote the batch itself (GKD) its words are not to be imitated: there ce_weight
    is 0. With a ce_weight of 1 and no hidden states the teacher does not run.

    Args:
        teacher: frozen here. It has the student's device, and the same rule of which documents a
            token sees.
        student: the model that is trained.
        seed: for the projections of hidden states, and for what the student writes.

    Raises:
        UserError: the teacher knows fewer tokens than the tokenizer, or `hidden_layers` names a
            layer that is not there.
    """

    def __init__(
        self,
        table: DistillationTable,
        teacher: Subject,
        student: GLM,
        tokenizer: GLMTokenizer,
        seed: int,
    ) -> None:
        _check_rows("distillation.teacher", teacher.model.config, tokenizer)
        self._table = table
        self._teacher = teacher.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._seed = seed
        self._hidden: HiddenMatching | None = None
        if table.hidden_weight:
            configs = teacher.model.config, student.config
            self.learned = self._hidden = HiddenMatching(table, *configs, seed)

    def prepare(self, subject: Subject, batch: Batch, step: int) -> Batch:
        """Return the batch itself, or with probability `on_policy_share` the student's answers.

        Both depend on the seed, the step and the weights alone, so a run can go on anywhere.
        """
        rng = np.random.default_rng([self._seed, step])
        if rng.random() >= self._table.on_policy_share:
            return batch
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        return answer_batch(subject, batch, self._tokenizer, self._table.answer_tokens, generator)

    def loss(self, subject: Subject, batch: Batch) -> Loss:
        """Return the sum over the labelled tokens.

        `parts` always has "cross_entropy", and "divergence" and "hidden" where they are learnt
        from.
        """
        ce_weight = 0.0 if is_on_policy(batch) else self._table.ce_weight
        kept, matches = batch.kept, self._hidden is not None
        student = subject(batch, logits_at=NONE, want_layers=matches)
        score, teacher = score_likelihood(batch.labels[kept]), None
        if ce_weight < 1 or matches:
            with torch.no_grad():
                teacher = self._teacher(batch, logits_at=NONE, want_layers=matches)
        if teacher is not None and ce_weight < 1:
            score = self._score_both(score, teacher.hidden[kept], ce_weight)
        sums = score_head(subject.model.head, student.hidden[kept], score)
        total = sums[0].float()
        # The likelihood's own score has one sum, that of both has three.
        parts = {"cross_entropy": sums[-1]}
        if len(sums) == 3:
            parts["divergence"] = sums[1]
        if teacher is not None and self._hidden is not None:
            parts["hidden"] = self._hidden(student, teacher, kept)
            total = total + self._table.hidden_weight * parts["hidden"]
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def _score_both(self, likelihood: Score, hidden: Tensor, ce_weight: float) -> Score:
        """Return the score whose sums are the loss, the divergence and the cross-entropy.

        Args:
            hidden: (N, D) the teacher's, at the labelled tokens.
        """
        # The rows of padding differ between the two, and mean nothing.
        known = slice(self._tokenizer.vocab_size)
        teacher = _Logits(self._teacher.model.head, hidden)

        def score(logits: Tensor, here: slice) -> Tensor:
            theirs = teacher.at(here)
            ours = logits[:, known].clone()
            values, gradient = grade(self._table, theirs[:, known].float(), ours)
            apart = values.sum(dtype=torch.float64)
            ce = likelihood(logits, here)[0]
            logits *= ce_weight
            logits[:, known] += gradient.mul_(1 - ce_weight)
            return torch.stack([ce_weight * ce + (1 - ce_weight) * apart, apart, ce])

        return score


class _Logits:
    """A head's logits, made of many tokens at once, and given a few at a time, in their order.

    A product of few rows costs nearly as much as one of many: each packs the head's weights anew.
    """

    def __init__(self, head: nn.Module, hidden: Tensor) -> None:
        self._head, self._hidden = head, hidden
        self._start = 0
        self._made: Tensor | None = None

    def at(self, here: slice) -> Tensor:
        """Return the logits (n, V) of the tokens in a slice, which comes after the last one."""
        if self._made is None or here.stop > self._start + len(self._made):
            size = max(chunk_size(self._hidden.device.type), here.stop - here.start)
            self._start = here.start
            with torch.no_grad():
                self._made = self._head(self._hidden[here.start : here.start + size])
        return self._made[here.start - self._start : here.stop - self._start]


def open_teacher(
    folder: Path,
    tokenizer: GLMTokenizer,
    dtype: torch.dtype | None,
    device: torch.device | str,
    sequence_length: int,
    field: str = "distillation.teacher",
) -> GLM:
    """Load a teacher.

    Args:
        tokenizer: the corpus's.
        dtype: None as it is stored.
        sequence_length: the tokens of a row.
        field: where the folder was named, for messages.

    Raises:
        UserError: it is no checkpoint, has another tokenizer, or too short a context.
    """
    field = f"{field}: {folder}"
    config = load_config(folder)
    if load_tokenizer(folder).model != tokenizer.model:
        raise UserError(
            f"{field}: has another tokenizer than the corpus, so its distributions are over other "
            "tokens; distil from its answers instead (qingtan distill answers)"
        )
    _check_rows(field, config, tokenizer)
    if config.max_position_embeddings < sequence_length:
        raise UserError(
            f"{field}: its context of {config.max_position_embeddings} tokens is less than "
            f"the sequence length {sequence_length}; make that no longer"
        )
    return load_model(folder, dtype=dtype, device=device)


def _check_rows(field: str, config: GLMConfig, tokenizer: GLMTokenizer) -> None:
    if config.vocab_size < tokenizer.vocab_size:
        raise UserError(
            f"{field}: has rows for {config.vocab_size} tokens, and the corpus's tokenizer knows "
            f"{tokenizer.vocab_size}; choose a teacher that was trained with it"
        )
