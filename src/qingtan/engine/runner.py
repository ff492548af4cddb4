"""What the engine asks of whatever computes the model: one step is one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qingtan.glm.config import GLMConfig


@dataclass(frozen=True)
class Chunk:
    """The part that one sequence has in a step.

    Attributes:
        slot: the place of the sequence in the runner's cache.
        start: how many of its tokens the cache holds; 0 begins a new sequence in the slot.
        tokens: the tokens to compute, at positions start, start + 1, …; at least one.
        adapter: one of the runner's adapters, which computes them; None for the base model. All
            chunks of a sequence name the same one.
    """

    slot: int
    start: int
    tokens: list[int]
    adapter: str | None = None


class Runner(Protocol):
    """Computes steps of the model, and keeps what it has seen of each sequence in a slot."""

    @property
    def config(self) -> GLMConfig:
        """The model's shape."""

    @property
    def slots(self) -> int:
        """How many sequences it holds at once."""

    @property
    def context(self) -> int:
        """The most tokens that a sequence may have, prompt and answer together."""

    @property
    def adapters(self) -> Sequence[str]:
        """The names of the adapters that a sequence may ask for."""

    def forward(self, batch: Sequence[Chunk]) -> NDArray[np.floating[Any]]:
        """Compute a step.

        Args:
            batch: chunks of different slots.

        Returns:
            float32 logits (len(batch), vocab_size), after the last token of each chunk.
        """

    def release(self, slot: int) -> None:
        """Forget the sequence in a slot."""
