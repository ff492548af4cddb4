"""Distillation from what a teacher said once: samples of its distributions on disk."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qingtan.corpus.shards import Corpus
from qingtan.errors import UserError
from qingtan.training.batches import Batch, Excerpt, Piece
from qingtan.training.distillation.sampled_logits import SampledLogits, Samples, join, pad
from qingtan.training.objective import Loss, Objective
from qingtan.training.subject import Subject
from qingtan.training.tables import DistillationTable


class LogitsDistillation(Objective):
    """Cross-entropy, and the divergence from a teacher whose samples lie in a folder.

    The teacher read each piece in a row of its own; the student reads it as the run packs it.

    Args:
        folder: what `write_logits` made.
        corpus: what it was made of.
        sequence_length: of the run.
        vocab_size: of the tokenizer; the student's rows beyond it are padding.
        sources: which the run reads.

    Raises:
        UserError: the folder is damaged, or was made of another corpus, of other sources or with
            another sequence length.
    """

    def __init__(
        self,
        table: DistillationTable,
        folder: Path,
        corpus: Corpus,
        sequence_length: int,
        vocab_size: int,
        sources: Collection[str] = (),
    ) -> None:
        self._ce_weight = table.ce_weight
        self._vocab_size = vocab_size
        self._logits = SampledLogits(folder)
        _check_fit(self._logits, corpus, sequence_length, sources)

    def loss(self, subject: Subject, batch: Batch) -> Loss:
        """Return the sum over the labelled tokens.

        Its parts are the sums of both terms, unweighted. The divergence is an unbiased estimate
        of KL(teacher‖student), which for a single token may be below 0.

        Raises:
            UserError: a piece of the batch stands in no shard, or in one without samples.
        """
        read = join([self._read(piece) for row in batch.pieces for piece in row])
        logits = subject(batch).logits
        ids, weights = (torch.from_numpy(each).to(logits.device) for each in pad(read))
        labels = batch.labels[batch.kept]
        ce, sampled_ce = sparse_cross_entropies(
            logits.float(), labels, ids, weights, self._vocab_size
        )
        divergence = sampled_ce.sum() - float(read.entropies.sum(dtype=np.float64))
        cross_entropy = ce.sum()
        total = self._ce_weight * cross_entropy + (1 - self._ce_weight) * divergence
        parts = {"cross_entropy": cross_entropy.detach(), "divergence": divergence.detach()}
        return Loss(total, parts)

    def _read(self, piece: Piece) -> Samples:
        if not isinstance(piece, Excerpt):
            raise UserError(
                f"infilling: {piece.name} has blanks, and distillation.logits has samples of the "
                "documents as they are; leave [infilling] out, or name a teacher"
            )
        return self._logits.read(piece)


def sparse_cross_entropies(
    logits: Tensor, labels: Tensor, ids: Tensor, weights: Tensor, vocab_size: int
) -> tuple[Tensor, Tensor]:
    """Return the cross-entropies of labels, and of distributions over a few tokens, in nats.

    Args:
        logits: (N, V).
        labels: (N,) int64.
        ids: (N, k) int64 below vocab_size; a token may stand twice.
        weights: (N, k) of sum 1.
        vocab_size: only so many columns take part in the second, padding being no token.

    Returns:
        (N,) −log softmax(logits)[label], and (N,) −Σ weight · log softmax(logits[:vocab_size])[id].
    """
    apply = cast(Callable[..., tuple[Tensor, Tensor]], _SparseCrossEntropies.apply)
    return apply(logits, labels, ids, weights, vocab_size)


class _SparseCrossEntropies(torch.autograd.Function):
    """One normaliser and one gradient for both: each pass over (N, V) costs as much as a layer."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, labels: Tensor, ids: Tensor, weights: Tensor, vocab_size: int
    ) -> tuple[Tensor, Tensor]:
        normaliser = logits[:, :vocab_size].logsumexp(-1)
        padding = logits[:, vocab_size:].logsumexp(-1)
        with_padding = torch.logaddexp(normaliser, padding)
        ctx.vocab_size = vocab_size
        ctx.save_for_backward(logits, labels, ids, weights, normaliser, with_padding)
        ce = with_padding - logits.gather(1, labels[:, None]).squeeze(1)
        return ce, normaliser - (weights * logits.gather(1, ids)).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_ce: Tensor, of_sampled: Tensor) -> tuple[Tensor | None, ...]:
        logits, labels, ids, weights, normaliser, with_padding = ctx.saved_tensors
        size = ctx.vocab_size
        gradient = torch.empty_like(logits)
        scale = of_sampled + of_ce * (normaliser - with_padding).exp()
        tokens, padding = gradient[:, :size], gradient[:, size:]
        torch.sub(logits[:, :size], normaliser[:, None], out=tokens).exp_().mul_(scale[:, None])
        torch.sub(logits[:, size:], with_padding[:, None], out=padding).exp_().mul_(of_ce[:, None])
        gradient.scatter_add_(1, labels[:, None], -of_ce[:, None])
        gradient.scatter_add_(1, ids, -of_sampled[:, None] * weights)
        return gradient, None, None, None, None


def _check_fit(
    logits: SampledLogits, corpus: Corpus, sequence_length: int, sources: Collection[str]
) -> None:
    settings, place = logits.index.settings, f"distillation.logits: {logits.path}"
    sizes = {entry.name: entry.tokens for entry in corpus.index.shards}
    if settings.tokenizer_sha256 != corpus.index.tokenizer_sha256:
        raise UserError(f"{place}: was made with another tokenizer than the corpus {corpus.path}")
    for shard in logits.index.shards:
        if sizes.get(shard.name) != shard.tokens:
            raise UserError(
                f"{place}: its shard {shard.name} has {shard.tokens} tokens, in the corpus "
                f"{corpus.path} {sizes.get(shard.name, 'there is none')}; draw anew"
            )
    if settings.sequence_length != sequence_length:
        raise UserError(
            f"{place}: was made with sequence_length {settings.sequence_length}, but "
            f"data.sequence_length is {sequence_length}; documents must be cut alike"
        )
    if missing := sorted(set(sources) - set(settings.sources)):
        raise UserError(f"{place}: has no samples of the source {', '.join(missing)}; draw anew")
