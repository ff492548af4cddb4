"""The key-value cache: what the model has computed of the tokens already seen.

Shapes as in `model.py`: B sequences, T new tokens, S tokens seen, G key-value heads, W head width,
L layers, P tokens of a prefix.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from qingtan.errors import UserError
from qingtan.glm.config import GLMConfig


@dataclass(frozen=True)
class Step:
    """Where a pass stands in the cache: rows (B,), slots (B, T), and the longest S.

    `reading` is the rows again, as a slice where they follow one another: a view, no copy.
    """

    rows: Tensor
    reading: Tensor | slice
    slots: Tensor
    seen: int


class KVCache:
    """Keys and values of the tokens already seen, for `batch` sequences of different lengths.

    Args:
        capacity: the most tokens that a sequence may have, prefix included.
        prefix: a P-Tuning v2 prefix (L, 2, G, P, W) that every sequence starts with, until
            `set_prefix` says otherwise. It takes P places of the cache, and none of the rotary
            positions.

    Attributes:
        keys, values: (L, B, G, capacity, W).
        lengths: (B,) int64, places taken in each row, its prefix's included.
        prefix_lengths: (B,) int64, places that a row's prefix takes, 0 where there is none.
    """

    def __init__(
        self,
        config: GLMConfig,
        batch: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        prefix: Tensor | None = None,
    ) -> None:
        shape = (
            config.num_hidden_layers,
            batch,
            config.num_key_value_heads,
            capacity,
            config.head_dim,
        )
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.lengths = torch.zeros(batch, dtype=torch.int64, device=device)
        self.prefix_lengths = torch.zeros_like(self.lengths)
        if prefix is not None:
            for row in range(batch):
                self.set_prefix(row, prefix)

    @property
    def capacity(self) -> int:
        """The most tokens that a sequence may have, prefix included."""
        return self.keys.shape[3]

    def set_prefix(self, row: int, prefix: Tensor | None) -> None:
        """Empty a row, whose next sequences start with this prefix (L, 2, G, P, W), or with none.

        Raises:
            UserError: the prefix does not fit.
        """
        length = 0 if prefix is None else prefix.shape[3]
        if length > self.capacity:
            raise UserError(f"the cache holds {self.capacity} tokens; this prefix has {length}")
        if prefix is not None:
            self.keys[:, row, :, :length] = prefix[:, 0].to(self.keys)
            self.values[:, row, :, :length] = prefix[:, 1].to(self.values)
        self.lengths[row] = self.prefix_lengths[row] = length

    def rewind(self, rows: int | Tensor, tokens: int | Tensor) -> None:
        """Keep only the first tokens of a sequence, or of several; 0 empties it for the next one.

        Args:
            rows: a row, or (N,) of them.
            tokens: how many to keep, of each or (N,).
        """
        self.lengths[rows] = self.prefix_lengths[rows] + tokens

    def grow(self, capacity: int) -> None:
        """Make room for so many tokens a sequence; what the cache holds stays."""
        more = (0, 0, 0, capacity - self.capacity)
        self.keys = F.pad(self.keys, more)
        self.values = F.pad(self.values, more)

    def write(self, layer: int, step: Step, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, G, T, W) keys and values; return all (B, G, S, W) of these sequences."""
        rows = step.rows[:, None]
        self.keys[layer][rows, :, step.slots] = key.transpose(1, 2).to(self.keys.dtype)
        self.values[layer][rows, :, step.slots] = value.transpose(1, 2).to(self.values.dtype)
        place = (step.reading, slice(None), slice(step.seen))
        return self.keys[layer][place], self.values[layer][place]


def place(tokens: Tensor, cache: KVCache, rows: Tensor | None) -> tuple[Step, Tensor]:
    """Return where new tokens (B, T) go in the cache, and their rotary positions (B, T).

    Raises:
        UserError: they do not fit.
    """
    if rows is None:
        rows = torch.arange(len(cache.lengths), device=tokens.device)
    slots = cache.lengths[rows][:, None] + torch.arange(tokens.shape[1], device=tokens.device)
    seen = int(slots.max()) + 1
    if seen > cache.capacity:
        raise UserError(f"the cache holds {cache.capacity} tokens; this needs {seen}")
    return Step(rows, _as_slice(rows), slots, seen), slots - cache.prefix_lengths[rows][:, None]


def _as_slice(rows: Tensor) -> Tensor | slice:
    first, last = int(rows[0]), int(rows[0]) + len(rows)
    consecutive = torch.equal(rows, torch.arange(first, last, device=rows.device))
    return slice(first, last) if consecutive else rows


def cached_mask(step: Step) -> Tensor:
    """(B, 1, T, S): a token sees whatever stands in a slot up to its own."""
    return torch.arange(step.seen, device=step.slots.device) <= step.slots[:, None, :, None]
