"""The runner on the native kernels: the engine of every machine without a GPU."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qingtan import native
from qingtan.engine.native_adapters import add_lora, read_prefix
from qingtan.engine.runner import DEFAULT_CACHE_BYTES, Chunk, StepResult
from qingtan.engine.weights import LayerWeights, Weights, load_weights
from qingtan.errors import UserError
from qingtan.glm.adapters import adapter_kind
from qingtan.glm.quantization import Precision

BLOCK_TOKENS = 16
_BASE = -1  # the number of no adapter
CacheType = Literal["float16", "int8"]
_CACHE_NUMBERS = {"float16": "f16", "int8": "q8"}


class NativeRunner:
    """Runs packed weights on the processor's own instructions, every step in one call.

    Args:
        weights: the model.
        pool: the threads that compute.
        context: the most tokens of a sequence; the model's own context by default.
        cache_bytes: the most memory for keys and values. It is taken as it is used.
        cache_dtype: "float16", or "int8", which holds nearly twice as much and is less exact.
        adapters: folders of LoRA adapters and of P-Tuning v2 prefixes, by the names that they get.

    Raises:
        UserError: an adapter cannot be read, or does not fit the model, or the cache cannot hold
            one context.
    """

    def __init__(
        self,
        weights: Weights,
        pool: native.Pool,
        *,
        context: int | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        cache_dtype: CacheType = "float16",
        adapters: Mapping[str, Path] | None = None,
    ) -> None:
        self.config = config = weights.config
        longest = config.max_position_embeddings
        self.context = min(context or longest, longest)
        self.block_tokens = BLOCK_TOKENS
        self._model = _model(weights, pool, self.context)
        self.adapters = tuple(adapters or ())
        self._numbers: dict[str | None, int] = {None: _BASE}
        self._prefixes: dict[str | None, NDArray[np.float32]] = {}
        for name, folder in (adapters or {}).items():
            self._numbers[name] = _BASE
            if adapter_kind(folder) == "lora":
                self._numbers[name] = add_lora(self._model, config, folder)
            else:
                self._prefixes[name] = read_prefix(config, folder)
        if cache_dtype not in _CACHE_NUMBERS:
            raise UserError(f"cache_dtype {cache_dtype!r} is none of {', '.join(_CACHE_NUMBERS)}")
        self.blocks = self._affordable_blocks(cache_bytes, _CACHE_NUMBERS[cache_dtype])
        self._cache = native.Cache(
            config.num_hidden_layers,
            config.num_key_value_heads,
            config.head_dim,
            self.blocks,
            BLOCK_TOKENS,
            _CACHE_NUMBERS[cache_dtype],
        )
        self._logits = np.zeros((0, config.vocab_size), np.float32)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        precision: Precision | None = None,
        threads: int | None = None,
        context: int | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        cache_dtype: CacheType = "float16",
        adapters: Mapping[str, Path] | None = None,
    ) -> "NativeRunner":
        """Load a checkpoint.

        Args:
            folder: a checkpoint, of floats or packed.
            precision: of the weights; see `load_weights`.
            threads: that compute; by default one for each processor that may be used.

        Raises:
            UserError: see `load_weights` and the class; or QINGTAN_ISA names no kernels of this
                processor.
        """
        _require_kernels()
        pool = native.Pool(threads or native.usable_processors(), pin=threads is None)
        weights = load_weights(Path(folder), precision, pool)
        return cls(
            weights,
            pool,
            context=context,
            cache_bytes=cache_bytes,
            cache_dtype=cache_dtype,
            adapters=adapters,
        )

    def prefix_tokens(self, adapter: str | None) -> int:
        """See `Runner`."""
        prefix = self._prefixes.get(adapter)
        return 0 if prefix is None else prefix.shape[3]

    def forward(
        self, chunks: Sequence[Chunk], copies: Sequence[tuple[int, int]] = ()
    ) -> StepResult:
        """See `Runner`."""
        for source, target in copies:
            self._cache.copy(source, target)
        for chunk in chunks:
            if chunk.start == 0 and chunk.adapter in self._prefixes:
                self._write_prefix(chunk)
        logits = self._logits_for(sum(chunk.logits for chunk in chunks))
        pooled = [i for i, chunk in enumerate(chunks) if chunk.hidden]
        hidden = np.zeros((len(pooled), self.config.hidden_size), np.float32)
        self._model.forward(
            np.array([token for chunk in chunks for token in chunk.tokens], np.int32),
            np.array([self._sequence(chunk) for chunk in chunks], np.int32),
            _tables(chunks),
            _rows(chunks),
            self._cache,
            logits,
            np.array(pooled, np.int32),
            hidden,
        )
        return StepResult(logits, hidden)

    def close(self) -> None:
        """See `Runner`; it may be called again."""
        with suppress(AttributeError):
            del self._model, self._cache

    def _sequence(self, chunk: Chunk) -> tuple[int, int, int, int]:
        prefix = self.prefix_tokens(chunk.adapter)
        return len(chunk.tokens), chunk.start, prefix, self._numbers[chunk.adapter]

    def _write_prefix(self, chunk: Chunk) -> None:
        table = np.array(chunk.blocks, np.int32)
        for layer, (keys, values) in enumerate(self._prefixes[chunk.adapter]):
            self._cache.write(layer, keys, values, table)

    def _logits_for(self, rows: int) -> NDArray[np.float32]:
        """Return room for so many rows, the same memory in every step."""
        if rows > len(self._logits):
            self._logits = np.empty((rows, self.config.vocab_size), np.float32)
        return self._logits[:rows]

    def _affordable_blocks(self, cache_bytes: int, number: str) -> int:
        config = self.config
        shape = config.num_hidden_layers, config.num_key_value_heads, config.head_dim
        block_bytes = native.Cache.block_bytes(*shape, BLOCK_TOKENS, number)
        blocks = cache_bytes // block_bytes
        longest = max(map(self.prefix_tokens, self.adapters), default=0) + self.context
        least = -(-longest // BLOCK_TOKENS)
        if blocks < least:
            needed = least * block_bytes
            raise UserError(
                f"the cache has {cache_bytes:,} bytes, and one context of {self.context} tokens "
                f"takes {needed:,}: give it more, or a shorter context"
            )
        return blocks


def _require_kernels() -> None:
    """Find out before a model is loaded whether there are the kernels that it would run on."""
    try:
        native.best()
    except ValueError as error:
        raise UserError(str(error)) from None


def _model(weights: Weights, pool: native.Pool, context: int) -> native.Model:
    config = weights.config
    return native.Model(
        heads=config.num_attention_heads,
        groups=config.num_key_value_heads,
        head_dim=config.head_dim,
        context=context,
        epsilon=config.rms_norm_eps,
        theta=config.rope_theta,
        embedding=weights.embedding,
        layers=[_layer(layer) for layer in weights.layers],
        final_norm=weights.final_norm,
        head=weights.head,
        pool=pool,
    )


def _layer(weights: LayerWeights) -> native.Layer:
    return native.Layer(**{each.name: getattr(weights, each.name) for each in fields(weights)})


def _tables(chunks: Sequence[Chunk]) -> NDArray[np.int32]:
    """Return the chunks' blocks (chunks, most blocks), filled up with 0."""
    tables = np.zeros((len(chunks), max(len(chunk.blocks) for chunk in chunks)), np.int32)
    for table, chunk in zip(tables, chunks, strict=True):
        table[: len(chunk.blocks)] = chunk.blocks
    return tables


def _rows(chunks: Sequence[Chunk]) -> NDArray[np.int32]:
    """Return the rows of the step whose logits are wanted."""
    rows: list[int] = []
    end = 0
    for chunk in chunks:
        end += len(chunk.tokens)
        rows.extend(range(end - chunk.logits, end))
    return np.array(rows, np.int32)
