"""What rounding costs: how well a model predicts a text before and after."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qingtan import native
from qingtan.engine.native_runner import NativeRunner
from qingtan.engine.runner import Chunk
from qingtan.errors import UserError
from qingtan.glm.layouts import load_config
from qingtan.glm.packed import stored_quantization
from qingtan.glm.quantization import Precision

_CHUNK = 256  # tokens of a step
_LARGE = 1_000_000_000


@dataclass(frozen=True)
class Passage:
    """A text to measure a model on.

    Attributes:
        tokens: ids.
        scored: of each token, whether it counts; None where all but the first do.
        bytes: UTF-8 bytes of what counts.
    """

    tokens: Sequence[int]
    scored: Sequence[bool] | None
    bytes: int


@dataclass(frozen=True)
class Prediction:
    """How well a model predicts passages.

    Attributes:
        nats: Σ −ln p of the tokens that count.
        bytes: UTF-8 bytes that they stand for.
        likeliest: int64, the token that the model finds likeliest at each of their places.
    """

    nats: float
    bytes: int
    likeliest: NDArray[np.int64]

    @property
    def perplexity(self) -> float:
        """exp(nats / tokens)."""
        return math.exp(self.nats / len(self.likeliest))

    @property
    def bits_per_byte(self) -> float:
        """Σ −log₂ p / bytes."""
        return self.nats / math.log(2) / self.bytes

    def agreement(self, other: "Prediction") -> float:
        """Return the share of places at which another model finds the same token likeliest."""
        return float(np.mean(self.likeliest == other.likeliest))


def finest(folder: Path) -> Precision | None:
    """Return the precision in which a checkpoint's numbers are nearest to what they are.

    Float32, but bf16 from a billion parameters on, for the memory; None, which keeps them, where
    they are quantized.
    """
    if stored_quantization(folder) is not None:
        return None
    return "bf16" if load_config(folder).num_parameters >= _LARGE else "float32"


def predict(
    folder: Path, passages: Sequence[Passage], precision: Precision | None = None
) -> Prediction:
    """Let a checkpoint predict passages, with the native engine.

    A passage longer than the model's context goes on without what came before; one of which only
    some tokens count is passed over instead.

    Args:
        precision: see `load_weights`.

    Raises:
        UserError: the checkpoint cannot be used, or no token of the passages counts.
    """
    runner = NativeRunner.open(folder, precision=precision)
    try:
        nats, size = 0.0, 0
        likeliest: list[int] = []
        for passage in passages:
            pieces = _cut(passage, runner.context)
            size += passage.bytes if pieces else 0
            for tokens, scored in pieces:
                nats += _score(runner, tokens, scored, likeliest)
    finally:
        runner.close()
    if not likeliest or not size:
        raise UserError("the text to measure has nothing to predict: name another file of text")
    return Prediction(nats, size, np.array(likeliest, np.int64))


def _cut(passage: Passage, context: int) -> list[tuple[Sequence[int], Sequence[bool]]]:
    """Return pieces that overlap by one token, so that each but the first is predicted once."""
    tokens, scored = passage.tokens, passage.scored
    if scored is not None:
        return [(tokens, scored)] if 1 < len(tokens) <= context + 1 else []
    begins = range(0, len(tokens) - 1, context)
    pieces = [tokens[begin : begin + context + 1] for begin in begins]
    return [(piece, [True] * len(piece)) for piece in pieces]


def _score(
    runner: NativeRunner, tokens: Sequence[int], scored: Sequence[bool], likeliest: list[int]
) -> float:
    """Return Σ −ln p of a piece's tokens that count, and add what was likeliest in their places."""
    nats, vocabulary = 0.0, runner.config.vocab_size
    read = tokens[:-1]
    blocks = range(-(-len(read) // runner.block_tokens))
    for start in range(0, len(read), _CHUNK):
        part = read[start : start + _CHUNK]
        logits = runner.forward([Chunk(part, start, blocks, logits=len(part))]).logits
        for place, row in enumerate(logits, start=start + 1):
            if scored[place]:
                logprob, (best,), _ = native.logprobs(row, vocabulary, tokens[place], 1)
                nats -= logprob
                likeliest.append(best)
    return nats
