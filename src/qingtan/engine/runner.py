"""What the engine asks of whatever computes the model: one step is one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qingtan.glm.config import GLMConfig

# The most memory for keys and values, where nobody says otherwise.
DEFAULT_CACHE_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Chunk:
    """The part that one sequence has in a step.

    Attributes:
        tokens: the tokens to compute, at positions start, start + 1, …; at least one.
        start: how many of the sequence's tokens the cache holds already.
        blocks: the cache's blocks that hold the sequence, in its order. They have room for the
            adapter's prefix, the `start` tokens and these. No other chunk of the step writes into
            the blocks from the first new token on.
        logits: for how many of its last tokens logits are wanted; 0 while a prompt is read.
        hidden: whether the sum of its tokens' hidden states is wanted.
        adapter: one of the runner's adapters, which computes them; None for the base model. All
            chunks of a sequence name the same one.
    """

    tokens: Sequence[int]
    start: int
    blocks: Sequence[int]
    logits: int = 1
    hidden: bool = False
    adapter: str | None = None


@dataclass(frozen=True)
class StepResult:
    """What a step gives; the arrays are the runner's own, and hold until its next step.

    Attributes:
        logits: float32 (Σ chunk.logits, vocab_size), in the order of the chunks and their tokens.
        hidden: float32 (chunks that asked for it, hidden_size), the sum over the chunk's tokens of
            the last layer's output after the final norm.
    """

    logits: NDArray[np.float32]
    hidden: NDArray[np.float32]


class Runner(Protocol):
    """Computes steps of the model, and keeps the keys and values of tokens in blocks."""

    @property
    def config(self) -> GLMConfig:
        """The model's shape."""

    @property
    def context(self) -> int:
        """The most tokens that a sequence may have, prompt and answer together."""

    @property
    def blocks(self) -> int:
        """How many blocks the cache has; they are numbered from 0."""

    @property
    def block_tokens(self) -> int:
        """How many tokens a block holds."""

    @property
    def adapters(self) -> Sequence[str]:
        """The names of the adapters that a sequence may ask for."""

    def prefix_tokens(self, adapter: str | None) -> int:
        """Return how many places of the cache an adapter's prefix takes before a sequence.

        The runner writes them itself with a sequence's first chunk (start 0).
        """

    def forward(
        self, chunks: Sequence[Chunk], copies: Sequence[tuple[int, int]] = ()
    ) -> StepResult:
        """Compute a step.

        Args:
            chunks: of different sequences; at least one.
            copies: blocks (from, to) to copy before anything is computed, in this order.
        """

    def close(self) -> None:
        """Free the model and the cache."""
