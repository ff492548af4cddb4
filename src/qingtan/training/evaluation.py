"""Bits per byte on held-out documents: the loss that can be compared across vocabularies."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from qingtan.corpus.shards import Shard
from qingtan.training.batches import Piece, cut, make_batch
from qingtan.training.subject import Subject

# Tokens of a forward pass that only measures.
PASS_TOKENS = 4096


@dataclass(frozen=True)
class HeldOut:
    """What was measured on one source.

    Attributes:
        bits: Σ −log₂ p of the trained tokens.
        bytes: UTF-8 bytes of the text that they encode.
        tokens: how many were predicted.
    """

    bits: float
    bytes: int
    tokens: int

    @property
    def bits_per_byte(self) -> float:
        """bits / bytes."""
        return self.bits / self.bytes


def evaluate(
    subject: Subject, shards: Sequence[Shard], length: int, max_tokens: int
) -> dict[str, HeldOut]:
    """Measure bits per byte by source.

    Each document stands in rows of its own, read from its start; one longer than a row goes on in
    further rows, without what came before. Conversations longer than a row are passed over. For
    conversations only the answers count, bits and bytes.

    Args:
        length: tokens of a row.
        max_tokens: a source's evaluation ends with the document that reaches so many.
    """
    results = {}
    for source in dict.fromkeys(shard.source for shard in shards):
        pieces, size = _choose([s for s in shards if s.source == source], length, max_tokens)
        if pieces:
            nats = float(measure_nats(subject, pieces).sum())
            tokens = sum(int(piece.trained().sum()) for piece in pieces)
            results[source] = HeldOut(nats / math.log(2), size, tokens)
    return results


def measure_nats(subject: Subject, pieces: Sequence[Piece]) -> NDArray[np.float64]:
    """Return each piece's Σ −ln p of its trained tokens, (pieces,), each in a row of its own.

    Args:
        pieces: of at least two tokens each.
    """
    nats = np.zeros(len(pieces))
    # Pieces of like length go together, so that little is padded.
    by_length = sorted(range(len(pieces)), key=lambda i: pieces[i].length)
    with evaluating(subject):
        while by_length:
            longest = pieces[by_length[-1]].length - 1
            count = max(1, PASS_TOKENS // longest)
            chosen = by_length[-count:]
            del by_length[-count:]
            nats[chosen] = _row_nats(subject, [pieces[i] for i in chosen], longest)
    return nats


@contextmanager
def evaluating(subject: Subject) -> Iterator[None]:
    """Within it the subject is in evaluation mode; then in the mode that it was in before."""
    was_training = subject.training
    subject.eval()
    try:
        yield
    finally:
        subject.train(was_training)


@torch.no_grad()
def _row_nats(subject: Subject, pieces: Sequence[Piece], length: int) -> NDArray[np.float64]:
    device = next(subject.parameters()).device
    batch = make_batch([[piece] for piece in pieces], length).to(device)
    logits = subject(batch).logits.float()
    losses = F.cross_entropy(logits, batch.labels[batch.kept], reduction="none").cpu().double()
    rows = batch.kept.nonzero()[:, 0].cpu()
    sums: NDArray[np.float64] = torch.zeros(len(pieces)).double().index_add(0, rows, losses).numpy()
    return sums


def _choose(shards: Sequence[Shard], length: int, max_tokens: int) -> tuple[list[Piece], int]:
    """Return the pieces of the first documents, and the bytes of these documents."""
    pieces: list[Piece] = []
    size = tokens = 0
    for shard in shards:
        for document in range(len(shard)):
            new = list(cut(shard, document, length))
            if new:
                pieces += new
                size += int(shard.bytes[document])
                tokens += sum(piece.length for piece in new)
            if tokens >= max_tokens:
                return pieces, size
    return pieces, size
