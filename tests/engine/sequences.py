"""Sequences on a runner's blocks, handed out in random order, and the numbers to hold it to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from qingtan.engine.runner import Chunk, Runner, StepResult
from qingtan.engine.torch_runner import DECODING_TOKENS
from qingtan.glm.model import GLM

Floats = NDArray[np.float32]
# Of a chunk: how many tokens, of how many the logits, and whether the sum of hidden states.
Wanted = tuple[int, int, bool]
# The longest sequence of a plan.
LONGEST = 60


class Blocks:
    """The free blocks of a runner."""

    def __init__(self, runner: Runner, seed: int = 0) -> None:
        self.size = runner.block_tokens
        self.free: list[int] = np.random.default_rng(seed).permutation(runner.blocks).tolist()


@dataclass
class Sequence:
    """A sequence on its way through a runner.

    Attributes:
        first: places that its adapter's prefix takes.
        seen: how many of its tokens the runner has computed.
    """

    tokens: list[int]
    free: Blocks
    adapter: str | None = None
    first: int = 0
    seen: int = 0
    blocks: list[int] = field(default_factory=list)

    def chunk(self, count: int, logits: int = 1, hidden: bool = False) -> Chunk:
        """Return its next tokens, counted as seen, with more blocks where they need them."""
        start, self.seen = self.seen, self.seen + count
        while len(self.blocks) * self.free.size < self.first + self.seen:
            self.blocks.append(self.free.free.pop())
        tokens = self.tokens[start : self.seen]
        return Chunk(tokens, start, tuple(self.blocks), logits, hidden, self.adapter)

    def release(self) -> None:
        """Give its blocks back; what they hold stays in them."""
        self.free.free += self.blocks
        self.blocks = []


def tokens(length: int, seed: int, vocabulary: int = 500) -> list[int]:
    return np.random.default_rng(seed).integers(0, vocabulary, length).tolist()


def whole(model: GLM, tokens: list[int]) -> tuple[Floats, Floats]:
    """Return the logits and the hidden states of every token, computed at once."""
    with torch.inference_mode():
        output = model(torch.tensor([tokens]))
    return output.logits[0].numpy(), output.hidden[0].numpy()


@st.composite
def _wanted(draw: st.DrawFn) -> Wanted:
    count = draw(st.integers(1, DECODING_TOKENS) | st.integers(9, 18))
    return count, draw(st.integers(0, count)), draw(st.booleans())


# Steps of up to three sequences: some left out, one token beside many, in any order.
PLANS = st.lists(st.dictionaries(st.integers(0, 2), _wanted(), min_size=1), max_size=5)


def follow(
    runner: Runner,
    plan: list[dict[int, Wanted]],
    seed: int,
    expected: Mapping[int, tuple[Floats, Floats]],
) -> Iterator[tuple[StepResult, StepResult]]:
    """Yield what each step of a plan gives, and what it should give.

    Args:
        seed: of the order in which blocks are taken.
        expected: logits and hidden states of the whole sequences `tokens(LONGEST, i)`.
    """
    free = Blocks(runner, seed)
    sequences = [Sequence(tokens(LONGEST, i), free) for i in range(3)]
    for step in plan:
        step = {i: w for i, w in step.items() if sequences[i].seen + w[0] <= LONGEST}
        if not step:
            continue
        result = runner.forward([sequences[i].chunk(*wanted) for i, wanted in step.items()])
        config = runner.config
        logits, sums = [np.empty((0, config.vocab_size))], [np.empty((0, config.hidden_size))]
        for i, (count, of_last, hidden) in step.items():
            end = sequences[i].seen
            logits.append(expected[i][0][end - of_last : end])
            if hidden:
                sums.append(expected[i][1][end - count : end].sum(0, keepdims=True))
        yield result, StepResult(np.concatenate(logits), np.concatenate(sums))
