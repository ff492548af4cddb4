"""The runner on PyTorch: the reference, and the way to a GPU."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qingtan.engine.runner import DEFAULT_CACHE_BYTES, Chunk, StepResult
from qingtan.errors import UserError
from qingtan.glm.adapters import adapter_kind
from qingtan.glm.cache import PagedCache
from qingtan.glm.config import GLMConfig
from qingtan.glm.lora import activate
from qingtan.glm.lora_files import load_lora
from qingtan.glm.model import GLM, LAST
from qingtan.glm.prefix import load_prefix

BLOCK_TOKENS = 16
# Chunks of so many tokens at most, such as a token and drafts after it, share a pass.
DECODING_TOKENS = 8
_DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}
# Of one chunk: logits (chunk.logits, V), and the sum of hidden states (D,) where it is wanted.
_Found = tuple[Tensor, Tensor | None]


class TorchRunner:
    """Runs a `GLM` on any device and in any numeric type that torch knows.

    In a step the short chunks share a pass, in which every token is a row of its own that looks at
    its sequence's blocks; longer chunks take one each. Sequences of different adapters run side by
    side: each LoRA adapter takes passes of its own, while the base model and the prefixes, which
    only fill the cache, share theirs.

    Args:
        model: the model; it is put into evaluation mode, and LoRA adapters are put into it.
        device: where it is moved; by default it stays where it is.
        dtype: what its weights and the cache are converted to; by default the weights' own.
        context: the most tokens of a sequence; the model's own context by default.
        cache_bytes: the most memory for keys and values, but for a cache that holds no full
            context: it becomes as large as one.
        block_tokens: how many tokens a block of the cache holds.
        adapters: folders of LoRA adapters and of P-Tuning v2 prefixes, by the names that they get.
        compile: let `torch.compile` make code of the shared pass, on a GPU as CUDA graphs. Its
            first steps take seconds or minutes.

    Raises:
        UserError: an adapter cannot be read, or does not fit the model; or a number is below 1.
    """

    def __init__(
        self,
        model: GLM,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        context: int | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        block_tokens: int = BLOCK_TOKENS,
        adapters: Mapping[str, Path] | None = None,
        compile: bool = False,
    ) -> None:
        self.model = model.to(device=device, dtype=dtype).eval()
        self.config: GLMConfig = model.config
        longest = self.config.max_position_embeddings
        self.context = longest if context is None else min(context, longest)
        if self.context < 1 or block_tokens < 1:
            raise UserError(f"context {context}, block_tokens {block_tokens}: give at least 1")
        self.block_tokens = block_tokens
        parameter = next(model.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        self.adapters = tuple(adapters or ())
        self._loras: dict[str, str] = {}
        self._prefixes: dict[str | None, Tensor] = {}
        self._active: str | None = None
        for name, folder in (adapters or {}).items():
            self._load_adapter(name, folder)
        self.blocks = self._affordable_blocks(cache_bytes)
        # One more than it names: what rows of padding write goes there.
        self._cache = PagedCache(
            self.config, self.blocks + 1, block_tokens, self._dtype, self._device
        )
        self._compiled, self._closed = compile, False
        self._decode = self._compile() if compile else _decode

    def prefix_tokens(self, adapter: str | None) -> int:
        """Return how many places of the cache an adapter's prefix takes before a sequence."""
        prefix = self._prefixes.get(adapter)
        return 0 if prefix is None else prefix.shape[3]

    def forward(
        self, chunks: Sequence[Chunk], copies: Sequence[tuple[int, int]] = ()
    ) -> StepResult:
        """Compute a step, see `Runner`.

        Raises:
            UserError: the runner is closed; or a chunk is empty, longer than the context, without
                blocks for all its tokens, or names a block, a token or an adapter that is none.
        """
        self._check(chunks, copies)
        passes = [self._pass_of(chunk, i) for i, chunk in enumerate(chunks)]
        order = sorted(range(len(chunks)), key=passes.__getitem__)
        found: dict[int, _Found] = {}
        with torch.inference_mode():
            for source, target in copies:
                self._cache.copy(source, target)
            for _, group in groupby(order, passes.__getitem__):
                indices = list(group)
                found |= zip(indices, self._run([chunks[i] for i in indices]), strict=True)
            logits = torch.cat([found[i][0] for i in range(len(chunks))])
            sums = [of_one[1] for _, of_one in sorted(found.items()) if of_one[1] is not None]
            hidden = torch.stack(sums) if sums else logits.new_empty(0, self.config.hidden_size)
            return StepResult(logits.cpu().numpy(), hidden.cpu().numpy())

    def close(self) -> None:
        """Free the model and the cache; the model's owner may still hold it."""
        if not self._closed:
            self._closed = True
            del self.model, self._cache, self._decode

    def _pass_of(self, chunk: Chunk, index: int) -> tuple[bool, str, int]:
        """Name the pass of a step that a chunk takes part in: its LoRA's; a longer chunk's own.

        The passes run in the order of their names, those of the LoRA that is active first.
        """
        lora = self._lora_of(chunk)
        return lora != self._active, lora or "", index if _is_long(chunk) else -1

    def _run(self, chunks: list[Chunk]) -> list[_Found]:
        lora = self._lora_of(chunks[0])
        if lora != self._active:
            activate(self.model, lora)
            self._active = lora
        for chunk in chunks:
            if chunk.start == 0 and chunk.adapter in self._prefixes:
                blocks = torch.tensor(chunk.blocks, device=self._device)
                self._cache.put_prefix(blocks, self._prefixes[chunk.adapter])
        return [self._run_long(chunks[0])] if _is_long(chunks[0]) else self._run_short(chunks)

    def _run_long(self, chunk: Chunk) -> _Found:
        count, first = len(chunk.tokens), self.prefix_tokens(chunk.adapter)
        table = torch.tensor([chunk.blocks[: self._blocks_of(chunk)]], device=self._device)
        positions = torch.arange(chunk.start, chunk.start + count, device=self._device)[None]
        seen = first + chunk.start + count
        step = self._cache.place(table, first + positions, positions, seen)
        tokens = torch.tensor([chunk.tokens], device=self._device)
        output = self.model(tokens, cache=step, logits_at=slice(count - chunk.logits, None))
        hidden = output.hidden[0].float().sum(0) if chunk.hidden else None
        return output.logits[0].float(), hidden

    def _run_short(self, chunks: list[Chunk]) -> list[_Found]:
        """Compute chunks together: first all keys and values are written, then each row looks."""
        numbers, tables = self._rows(chunks)
        tokens, places, positions = torch.from_numpy(numbers).to(self._device)
        logits, hidden = self._decode(
            self.model,
            self._cache,
            tokens,
            places,
            positions,
            torch.from_numpy(tables).to(self._device),
        )
        ends = np.cumsum([len(chunk.tokens) for chunk in chunks]).tolist()
        wanted = [
            row
            for chunk, end in zip(chunks, ends, strict=True)
            for row in range(end - chunk.logits, end)
        ]
        # Picked means copied: a CUDA graph's next run writes over what it gave.
        picked = logits[torch.tensor(wanted, dtype=torch.int64, device=self._device)].float()
        sums = [
            hidden[end - len(chunk.tokens) : end].float().sum(0) if chunk.hidden else None
            for chunk, end in zip(chunks, ends, strict=True)
        ]
        return list(zip(picked.split([c.logits for c in chunks]), sums, strict=True))

    def _rows(self, chunks: list[Chunk]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return tokens, places and positions (3, R, 1), and tables (R, N), a row for each token.

        Compiled code sees few shapes: R and N are powers of two then. Rows of padding stand in the
        block that is nobody's.
        """
        rows = sum(len(chunk.tokens) for chunk in chunks)
        blocks = max(map(self._blocks_of, chunks))
        if self._compiled:
            rows, blocks = _power_of_two(rows), _power_of_two(blocks)
        numbers = np.zeros((3, rows, 1), np.int64)
        tables = np.full((rows, blocks), self.blocks)
        end = 0
        for chunk in chunks:
            part, needed = slice(end, end + len(chunk.tokens)), self._blocks_of(chunk)
            positions = np.arange(chunk.start, chunk.start + len(chunk.tokens))
            places = positions + self.prefix_tokens(chunk.adapter)
            numbers[:, part, 0] = chunk.tokens, places, positions
            tables[part, :needed] = chunk.blocks[:needed]
            end = part.stop
        return numbers, tables

    def _compile(self) -> "_Decode":
        for pages in (self._cache.keys, self._cache.values):
            # Of one shape, and a CUDA graph that writes into it must know that it never moves.
            torch._dynamo.mark_static(pages)
            torch._dynamo.mark_static_address(pages)
        settings: dict[str, Any] = {
            # The code is made once, for any R and N; a CUDA graph of it is recorded for each.
            "dynamic": True,
            "mode": "reduce-overhead" if self._device.type == "cuda" else None,
            # It is made anew for each LoRA, and once more where R and N were equal at first.
            "recompile_limit": 8 + 2 * len(self._loras),
            "isolate_recompiles": True,
        }
        decode: _Decode = torch.compile(_decode, **settings)
        return decode

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

    def _blocks_of(self, chunk: Chunk) -> int:
        """Return how many blocks hold a chunk's sequence, its prefix and this chunk included."""
        tokens = self.prefix_tokens(chunk.adapter) + chunk.start + len(chunk.tokens)
        return -(-tokens // self.block_tokens)

    def _affordable_blocks(self, cache_bytes: int) -> int:
        config = self.config
        numbers = config.num_hidden_layers * config.num_key_value_heads * config.head_dim
        block_bytes = 2 * numbers * self._dtype.itemsize * self.block_tokens
        # A prefix takes places of the cache, and none of the context.
        longest = self.context + max(map(self.prefix_tokens, self.adapters), default=0)
        return max(cache_bytes // block_bytes - 1, -(-longest // self.block_tokens))

    def _check(self, chunks: Sequence[Chunk], copies: Sequence[tuple[int, int]]) -> None:
        if self._closed:
            raise UserError("the runner is closed; make another")
        if not chunks:
            raise UserError("chunks: a step has at least one")
        _check_range("copies: block", chain.from_iterable(copies), self.blocks)
        for chunk in chunks:
            self._check_chunk(chunk)

    def _check_chunk(self, chunk: Chunk) -> None:
        count = len(chunk.tokens)
        if chunk.adapter is not None and chunk.adapter not in self.adapters:
            raise UserError(f"adapter {chunk.adapter!r} is none of {list(self.adapters)}")
        if not 0 <= chunk.start < chunk.start + count <= self.context:
            raise UserError(
                f"a chunk of {count} tokens from {chunk.start}: give at least one, and none "
                f"beyond the context of {self.context}"
            )
        if not 0 <= chunk.logits <= count:
            raise UserError(f"logits of {chunk.logits} tokens; the chunk has {count}")
        if len(chunk.blocks) < self._blocks_of(chunk):
            raise UserError(
                f"{len(chunk.blocks)} blocks of {self.block_tokens} tokens; the chunk needs "
                f"{self._blocks_of(chunk)}"
            )
        _check_range("blocks: block", chunk.blocks, self.blocks)
        _check_range("tokens: token", chunk.tokens, self.config.vocab_size)


# Of rows (R, 1) and tables (R, N): logits (R, V) and hidden states (R, D).
_Decode = Callable[[GLM, PagedCache, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _decode(
    model: GLM, cache: PagedCache, tokens: Tensor, places: Tensor, positions: Tensor, tables: Tensor
) -> tuple[Tensor, Tensor]:
    output = model(tokens, cache=cache.place(tables, places, positions), logits_at=LAST)
    return output.logits[:, -1], output.hidden[:, -1]


def _is_long(chunk: Chunk) -> bool:
    return len(chunk.tokens) > DECODING_TOKENS


def _power_of_two(count: int) -> int:
    """Return the first from `count` up; at least 2, because code for 1 is compiled apart."""
    return max(2, 1 << (count - 1).bit_length())


def _check_range(what: str, numbers: Iterable[int], end: int) -> None:
    for number in numbers:
        if not 0 <= number < end:
            raise UserError(f"{what} {number} is none of 0 to {end - 1}")


def parse_dtype(name: str | None) -> torch.dtype | None:
    """Return the numeric type of that name; None stays None.

    Raises:
        UserError: the name is none of float32, bfloat16, float16.
    """
    if name is not None and name not in _DTYPES:
        raise UserError(f"dtype {name!r} is none of {', '.join(_DTYPES)}")
    return None if name is None else _DTYPES[name]
