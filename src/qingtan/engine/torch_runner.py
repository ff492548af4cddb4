"""The runner on PyTorch: the reference, and the way to a GPU."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qingtan.engine.runner import Chunk
from qingtan.errors import UserError
from qingtan.glm.cache import KVCache
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, LAST

DEFAULT_SLOTS = 8
DEFAULT_CACHE_BYTES = 2 * 1024**3
# The cache starts with room for so many tokens a slot, and doubles when one needs more.
FIRST_CAPACITY = 256
_DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}


class TorchRunner:
    """Runs a `GLM` on its own device and in its own numeric type.

    Args:
        model: the model; it is put into evaluation mode.
        slots: the most sequences at once; fewer when full contexts of so many would not fit.
        context: the most tokens of a sequence; the model's own context by default.
        cache_bytes: the most memory for keys and values. One slot is always given.
    """

    def __init__(
        self,
        model: GLM,
        *,
        slots: int = DEFAULT_SLOTS,
        context: int | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        self.model = model.eval()
        self.config: GLMConfig = model.config
        longest = self.config.max_position_embeddings
        self.context = min(context or longest, longest)
        parameter = next(model.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        affordable = cache_bytes // (self.context * self._bytes_per_token())
        self.slots = max(1, min(slots, affordable))
        self._cache = self._new_cache(min(FIRST_CAPACITY, self.context))

    def forward(self, batch: Sequence[Chunk]) -> NDArray[np.floating[Any]]:
        """Compute a step, see `Runner`: single tokens together, longer chunks one by one."""
        logits = np.empty((len(batch), self.config.vocab_size), np.float32)
        # In the order of slots: the cache hands out its rows in that order when all take part.
        order = sorted(range(len(batch)), key=lambda i: batch[i].slot)
        singles = [i for i in order if len(batch[i].tokens) == 1]
        longer = [[i] for i in order if len(batch[i].tokens) > 1]
        with torch.inference_mode():
            self._make_room(max(chunk.start + len(chunk.tokens) for chunk in batch))
            for group in [singles, *longer] if singles else longer:
                logits[group] = self._run([batch[i] for i in group])
        return logits

    def release(self, slot: int) -> None:
        """Do nothing: the next sequence's first chunk starts at 0, which empties the slot."""

    def _run(self, chunks: list[Chunk]) -> NDArray[np.floating[Any]]:
        for chunk in chunks:
            self._cache.rewind(chunk.slot, chunk.start)
        output = self.model(
            torch.tensor([chunk.tokens for chunk in chunks], device=self._device),
            cache=self._cache,
            rows=torch.tensor([chunk.slot for chunk in chunks], device=self._device),
            logits_at=LAST,
        )
        logits: NDArray[np.floating[Any]] = output.logits[:, -1].float().cpu().numpy()
        return logits

    def _make_room(self, tokens: int) -> None:
        old = self._cache
        if tokens <= old.capacity:
            return
        new = self._new_cache(min(self.context, max(tokens, 2 * old.capacity)))
        new.keys[..., : old.capacity, :] = old.keys
        new.values[..., : old.capacity, :] = old.values
        new.lengths.copy_(old.lengths)
        self._cache = new

    def _new_cache(self, capacity: int) -> KVCache:
        return KVCache(self.config, self.slots, capacity, self._dtype, self._device)

    def _bytes_per_token(self) -> int:
        config = self.config
        numbers = config.num_hidden_layers * config.num_key_value_heads * config.head_dim
        return 2 * numbers * self._dtype.itemsize


def parse_dtype(name: str | None) -> torch.dtype | None:
    """Return the numeric type of that name; None stays None.

    Raises:
        UserError: the name is none of float32, bfloat16, float16.
    """
    if name is not None and name not in _DTYPES:
        raise UserError(f"dtype {name!r} is none of {', '.join(_DTYPES)}")
    return None if name is None else _DTYPES[name]
