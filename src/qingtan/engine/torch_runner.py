"""The runner on PyTorch: the reference, and the way to a GPU."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qingtan.engine.runner import Chunk
from qingtan.errors import UserError
from qingtan.glm.adapters import adapter_kind
from qingtan.glm.cache import KVCache
from qingtan.glm.config import GLMConfig
from qingtan.glm.lora import activate
from qingtan.glm.lora_files import load_lora
from qingtan.glm.model import GLM, LAST
from qingtan.glm.prefix import load_prefix

DEFAULT_SLOTS = 8
DEFAULT_CACHE_BYTES = 2 * 1024**3
# The cache starts with room for so many tokens a slot, and doubles when one needs more.
FIRST_CAPACITY = 256
_DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}


class TorchRunner:
    """Runs a `GLM` on its own device and in its own numeric type.

    Sequences of different adapters run side by side: each LoRA adapter takes a pass of its own in
    a step, while the base model and the prefixes, which only fill the cache, share one.

    Args:
        model: the model; it is put into evaluation mode, and LoRA adapters are put into it.
        slots: the most sequences at once; fewer when full contexts of so many would not fit.
        context: the most tokens of a sequence; the model's own context by default.
        cache_bytes: the most memory for keys and values. One slot is always given.
        adapters: folders of LoRA adapters and of P-Tuning v2 prefixes, by the names that they get.

    Raises:
        UserError: an adapter cannot be read, or does not fit the model.
    """

    def __init__(
        self,
        model: GLM,
        *,
        slots: int = DEFAULT_SLOTS,
        context: int | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        adapters: Mapping[str, Path] | None = None,
    ) -> None:
        self.model = model
        self.config: GLMConfig = model.config
        longest = self.config.max_position_embeddings
        self.context = min(context or longest, longest)
        parameter = next(model.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        self.adapters = tuple(adapters or ())
        self._loras: dict[str, str] = {}
        self._prefixes: dict[str, Tensor] = {}
        self._active: str | None = None
        for name, folder in (adapters or {}).items():
            self._load_adapter(name, folder)
        model.eval()
        # A prefix takes places of the cache, and none of the context.
        self._full_capacity = self.context + max(map(_length, self._prefixes.values()), default=0)
        affordable = cache_bytes // (self._full_capacity * self._bytes_per_token())
        self.slots = max(1, min(slots, affordable))
        capacity = min(FIRST_CAPACITY, self._full_capacity)
        self._cache = KVCache(self.config, self.slots, capacity, self._dtype, self._device)

    def forward(self, batch: Sequence[Chunk]) -> NDArray[np.floating[Any]]:
        """Compute a step, see `Runner`: single tokens together, longer chunks one by one."""
        logits = np.empty((len(batch), self.config.vocab_size), np.float32)
        passes = [self._pass_of(chunk) for chunk in batch]
        # In the order of slots: the cache hands out its rows in that order when all take part.
        order = sorted(range(len(batch)), key=lambda i: (passes[i], batch[i].slot))
        with torch.inference_mode():
            self._make_room(max(map(self._room_of, batch)))
            for _, group in groupby(order, passes.__getitem__):
                indices = list(group)
                logits[indices] = self._run([batch[i] for i in indices])
        return logits

    def release(self, slot: int) -> None:
        """Do nothing: the next sequence's first chunk starts at 0, which empties the slot."""

    def _pass_of(self, chunk: Chunk) -> tuple[bool, str, int]:
        """Name the pass of a step that a chunk takes part in: its LoRA's; a longer chunk's own.

        The passes run in the order of their names, those of the LoRA that is active first.
        """
        lora = self._lora_of(chunk)
        return lora != self._active, lora or "", chunk.slot if len(chunk.tokens) > 1 else -1

    def _run(self, chunks: list[Chunk]) -> NDArray[np.floating[Any]]:
        lora = self._lora_of(chunks[0])
        if lora != self._active:
            activate(self.model, lora)
            self._active = lora
        for chunk in chunks:
            if chunk.start == 0:
                self._cache.set_prefix(chunk.slot, self._prefix_of(chunk))
        rows = torch.tensor([chunk.slot for chunk in chunks], device=self._device)
        starts = torch.tensor([chunk.start for chunk in chunks], device=self._device)
        self._cache.rewind(rows, starts)
        output = self.model(
            torch.tensor([chunk.tokens for chunk in chunks], device=self._device),
            cache=self._cache,
            rows=rows,
            logits_at=LAST,
        )
        logits: NDArray[np.floating[Any]] = output.logits[:, -1].float().cpu().numpy()
        return logits

    def _load_adapter(self, name: str, folder: Path) -> None:
        if adapter_kind(folder) == "lora":
            # The model cannot take every name, such as one with dots.
            self._loras[name] = f"lora{len(self._loras)}"
            load_lora(self.model, self._loras[name], folder)
            activate(self.model, None)
            return
        encoder = load_prefix(self.config, folder)
        with torch.inference_mode():
            self._prefixes[name] = encoder().to(self._device, self._dtype)

    def _lora_of(self, chunk: Chunk) -> str | None:
        return None if chunk.adapter is None else self._loras.get(chunk.adapter)

    def _prefix_of(self, chunk: Chunk) -> Tensor | None:
        return None if chunk.adapter is None else self._prefixes.get(chunk.adapter)

    def _room_of(self, chunk: Chunk) -> int:
        """Return the places that a chunk's sequence takes in the cache, this chunk included."""
        return _length(self._prefix_of(chunk)) + chunk.start + len(chunk.tokens)

    def _make_room(self, tokens: int) -> None:
        if tokens > self._cache.capacity:
            self._cache.grow(min(self._full_capacity, max(tokens, 2 * self._cache.capacity)))

    def _bytes_per_token(self) -> int:
        config = self.config
        numbers = config.num_hidden_layers * config.num_key_value_heads * config.head_dim
        return 2 * numbers * self._dtype.itemsize


def _length(prefix: Tensor | None) -> int:
    return 0 if prefix is None else prefix.shape[3]


def parse_dtype(name: str | None) -> torch.dtype | None:
    """Return the numeric type of that name; None stays None.

    Raises:
        UserError: the name is none of float32, bfloat16, float16.
    """
    if name is not None and name not in _DTYPES:
        raise UserError(f"dtype {name!r} is none of {', '.join(_DTYPES)}")
    return None if name is None else _DTYPES[name]
