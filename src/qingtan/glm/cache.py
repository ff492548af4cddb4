"""The key-value cache: what the model has computed of the tokens already seen.

`PagedCache` keeps keys and values in blocks, and a sequence is a table of them (PagedAttention,
2309.06180). `KVCache` is one whose sequences have a block each, and keeps count of their tokens.

Shapes as in `model.py`: B sequences, T new tokens, S tokens seen, G key-value heads, W head width,
L layers, P tokens of a prefix; N blocks of a sequence.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from qingtan.errors import UserError
from qingtan.glm.config import GLMConfig


@dataclass(frozen=True)
class Step:
    """Where the tokens of one pass stand in a cache. `PagedCache.place` makes it.

    Attributes:
        positions: (B, T) int64, the tokens' rotary positions.
        places: (B, T) int64, their places in their sequences, prefixes included.
        seen: S, the places that the pass looks at, the same number of each sequence.
        blocks, offsets: (B, T) int64, where the places are in the cache.
        reading: what holds the S places. For sequences of one block (B,) int64 blocks, or a slice
            where they follow one another; otherwise (B·G·N,) int64 pages, each a block's part of
            one head.
    """

    cache: "PagedCache"
    positions: Tensor
    places: Tensor
    seen: int
    blocks: Tensor
    offsets: Tensor
    reading: Tensor | slice

    @property
    def mask(self) -> Tensor:
        """(B, 1, T, S): a token sees whatever stands in a place up to its own."""
        places = torch.arange(self.seen, device=self.places.device)
        return places <= self.places[:, None, :, None]

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, G, T, W) keys and values; return all (B, G, S, W) of these sequences."""
        # A number would be a view, and code that is compiled would copy the whole cache to write
        # into one.
        layers = torch.full_like(self.blocks, layer)
        for pages, new in ((self.cache.keys, key), (self.cache.values, value)):
            new = _storable(new.transpose(1, 2), pages.dtype)
            pages[layers, self.blocks, :, self.offsets] = new
        return self._read(self.cache.keys[layer]), self._read(self.cache.values[layer])

    def _read(self, pages: Tensor) -> Tensor:
        _, groups, block_tokens, width = pages.shape
        if isinstance(self.reading, slice) or len(self.reading) == len(self.places):
            return pages[self.reading, :, : self.seen]
        # Of whole pages, one after another in memory: indexing would copy number by number.
        found = pages.view(-1, block_tokens * width).index_select(0, self.reading)
        return found.view(len(self.places), groups, -1, width)[:, :, : self.seen]


class PagedCache:
    """Keys and values in blocks, which any sequences may share.

    Args:
        blocks: how many there are.
        block_tokens: how many tokens each holds.

    Attributes:
        keys, values: (L, blocks, G, block_tokens, W). They begin as zeros; what no sequence has
            written is read too, and then masked, which only finite numbers survive.
    """

    def __init__(
        self,
        config: GLMConfig,
        blocks: int,
        block_tokens: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        layers, groups = config.num_hidden_layers, config.num_key_value_heads
        shape = (layers, blocks, groups, block_tokens, config.head_dim)
        self.keys, self.values = (_zeros(shape, dtype, torch.device(device)) for _ in range(2))

    @property
    def block_tokens(self) -> int:
        """How many tokens a block holds."""
        return self.keys.shape[3]

    def place(
        self, tables: Tensor, places: Tensor, positions: Tensor, seen: int | None = None
    ) -> Step:
        """Return where the tokens of a pass stand.

        Args:
            tables: (B, N) int64, the blocks that hold each sequence, in its order.
            places: (B, T) int64, the tokens' places in their sequences.
            positions: (B, T) int64, their rotary positions.
            seen: S, more than the largest place; all of the blocks by default.
        """
        block_tokens, groups = self.block_tokens, self.keys.shape[2]
        blocks = tables.gather(1, places // block_tokens)
        if tables.shape[1] == 1:
            reading = tables[:, 0]
        else:
            heads = torch.arange(groups, device=tables.device)[:, None]
            reading = (tables[:, None] * groups + heads).flatten()
        if seen is None:
            seen = tables.shape[1] * block_tokens
        return Step(self, positions, places, seen, blocks, places % block_tokens, reading)

    def put_prefix(self, blocks: Tensor, prefix: Tensor) -> None:
        """Write a P-Tuning v2 prefix (L, 2, G, P, W) into a sequence's first P places.

        Args:
            blocks: (N,) int64, blocks of the sequence, from its first.
        """
        places = torch.arange(prefix.shape[3], device=blocks.device)
        of_place, offsets = blocks[places // self.block_tokens], places % self.block_tokens
        for pages, part in ((self.keys, prefix[:, 0]), (self.values, prefix[:, 1])):
            new = part.permute(2, 0, 1, 3).to(pages.device)
            pages[:, of_place, :, offsets] = _storable(new, pages.dtype)

    def copy(self, source: int, target: int) -> None:
        """Copy one block onto another."""
        for pages in (self.keys, self.values):
            pages[:, target] = pages[:, source]


class KVCache(PagedCache):
    """Keys and values of `batch` sequences of different lengths, a row each.

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
        super().__init__(config, batch, capacity, dtype, device)
        self.lengths = torch.zeros(batch, dtype=torch.int64, device=device)
        self.prefix_lengths = torch.zeros_like(self.lengths)
        if prefix is not None:
            for row in range(batch):
                self.set_prefix(row, prefix)

    @property
    def capacity(self) -> int:
        """The most tokens that a sequence may have, prefix included."""
        return self.block_tokens

    def set_prefix(self, row: int, prefix: Tensor | None) -> None:
        """Empty a row, whose next sequences start with this prefix (L, 2, G, P, W), or with none.

        Raises:
            UserError: the prefix does not fit.
        """
        length = 0 if prefix is None else prefix.shape[3]
        if length > self.capacity:
            raise UserError(f"the cache holds {self.capacity} tokens; this prefix has {length}")
        if prefix is not None:
            self.put_prefix(torch.tensor([row], device=self.keys.device), prefix)
        self.lengths[row] = self.prefix_lengths[row] = length

    def rewind(self, rows: int | Tensor, tokens: int | Tensor) -> None:
        """Keep only the first tokens of a sequence, or of several; 0 empties it for the next one.

        Args:
            rows: a row, or (N,) of them.
            tokens: how many to keep, of each or (N,).
        """
        self.lengths[rows] = self.prefix_lengths[rows] + tokens

    def place_next(self, rows: Tensor | None, count: int) -> Step:
        """Return where the next `count` tokens of some rows (B,) stand; of all rows for None.

        Raises:
            UserError: they do not fit.
        """
        if rows is None:
            rows = torch.arange(len(self.lengths), device=self.lengths.device)
        places = self.lengths[rows][:, None] + torch.arange(count, device=rows.device)
        seen = int(places.max()) + 1
        if seen > self.capacity:
            raise UserError(f"the cache holds {self.capacity} tokens; this needs {seen}")
        positions = places - self.prefix_lengths[rows][:, None]
        blocks = rows[:, None].expand_as(places)
        return Step(self, positions, places, seen, blocks, places, _as_slice(rows))

    def advance(self, step: Step) -> None:
        """Count the tokens of a pass that `place_next` placed, once all layers have written."""
        self.lengths[step.blocks[:, 0]] += step.places.shape[1]


def _as_slice(rows: Tensor) -> Tensor | slice:
    """Return rows that follow one another as a slice: reading them is a view then, no copy."""
    first, last = int(rows[0]), int(rows[0]) + len(rows)
    consecutive = torch.equal(rows, torch.arange(first, last, device=rows.device))
    return slice(first, last) if consecutive else rows


def _storable(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert to the cache's dtype. What float16 cannot hold becomes the largest that it can.

    An infinite number would outlive its sequence: masked, it makes NaN of whoever has its block
    next, for 0 · ∞ is none.
    """
    numbers = numbers.to(dtype)
    return numbers.nan_to_num() if dtype is torch.float16 else numbers


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # NumPy asks the system for pages of zeros, which cost nothing until they are written.
    return (
        torch.from_numpy(np.zeros(prod(shape) * dtype.itemsize, np.uint8)).view(dtype).view(shape)
    )
