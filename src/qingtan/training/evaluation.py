"""Bits per byte on held-out documents: the loss that can be compared across vocabularies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from qingtan.corpus.shards import Shard
from qingtan.glm.model import GLM
from qingtan.training.batches import IGNORED, Piece, cut, make_batch


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


@torch.inference_mode()
def evaluate(
    model: GLM, shards: Sequence[Shard], length: int, max_tokens: int
) -> dict[str, HeldOut]:
    """Measure bits per byte by source.

    Each document stands in rows of its own, read from its start; one longer than a row goes on in
    further rows, without what came before. Conversations longer than a row are passed over. For
    conversations only the answers count, bits and bytes.

    Args:
        length: tokens of a row.
        max_tokens: a source's evaluation ends with the document that reaches so many.
    """
    was_training = model.training
    model.eval()
    results = {}
    for source in dict.fromkeys(shard.source for shard in shards):
        pieces, size = _choose([s for s in shards if s.source == source], length, max_tokens)
        if pieces:
            bits, tokens = _measure(model, pieces)
            results[source] = HeldOut(bits, size, tokens)
    model.train(was_training)
    return results


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


def _measure(model: GLM, pieces: Sequence[Piece]) -> tuple[float, int]:
    device = model.embedding.weight.device
    nats, tokens = 0.0, 0
    # Pieces of like length go together, so that little is padded.
    by_length = sorted(pieces, key=lambda piece: piece.length)
    while by_length:
        longest = by_length[-1].length - 1
        count = max(1, 4096 // longest)
        batch = make_batch([[piece] for piece in by_length[-count:]], longest)
        del by_length[-count:]
        labels = batch.labels.to(device)
        logits = model(batch.tokens.to(device), logits_at=labels != IGNORED).logits
        kept = labels[labels != IGNORED]
        nats += float(F.cross_entropy(logits.float(), kept, reduction="sum"))
        tokens += len(kept)
    return nats / math.log(2), tokens
