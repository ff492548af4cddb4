"""A model's weights as the kernels read them, from a checkpoint of any kind, without torch."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qingtan.engine.sources import Source
from qingtan.errors import UserError
from qingtan.glm.config import GLMConfig
from qingtan.glm.layouts import load_config
from qingtan.glm.packed import Tensor, check_packable, read_packed, stored_quantization
from qingtan.glm.quantization import PRECISIONS, Precision, Quantization
from qingtan.native import Matrix, Pool, usable_processors

Floats = NDArray[np.float32]
# From so many parameters on, the precision of float32 is not worth four times the memory.
_LARGE = 1_000_000_000


@dataclass(frozen=True)
class LayerWeights:
    """The weights of a block; matrices are (out, in).

    Attributes:
        attention_norm: float32 (hidden_size).
        qkv: (qkv_size, hidden_size): queries, then keys, then values.
        qkv_bias: float32 (qkv_size), None where the model has none.
        out: (hidden_size, heads · head_dim).
        mlp_norm: float32 (hidden_size).
        gate_up: (2 · intermediate_size, hidden_size): gates first.
        down: (hidden_size, intermediate_size).
    """

    attention_norm: Floats
    qkv: Matrix
    qkv_bias: Floats | None
    out: Matrix
    mlp_norm: Floats
    gate_up: Matrix
    down: Matrix


@dataclass(frozen=True)
class Weights:
    """The weights of a model.

    Attributes:
        config: its shape.
        embedding: (vocab_size, hidden_size).
        layers: its blocks, in order.
        final_norm: float32 (hidden_size).
        head: (vocab_size, hidden_size), None where the embedding takes its place.
    """

    config: GLMConfig
    embedding: Matrix
    layers: tuple[LayerWeights, ...]
    final_norm: Floats
    head: Matrix | None


def load_weights(
    folder: str | Path,
    precision: Precision | None = None,
    pool: Pool | None = None,
    *,
    head: Precision | None = None,
) -> Weights:
    """Load a checkpoint's weights.

    Args:
        folder: a checkpoint of safetensors: plain floats in either layout, ChatGLM3's own
            quantization, or packed. A packed one is mapped, the others are packed in memory.
        precision: of the layers' matrices, see `choose_quantization`. Norms and biases are always
            float32.
        pool: the threads that pack; those of all processors by default.
        head: precision of the embedding and head.

    Raises:
        UserError: a file is missing or damaged, does not fit `config.json`, or the precision does
            not fit the checkpoint; the message names the file, tensor or field.
    """
    folder = Path(folder)
    config = load_config(folder)
    stored = stored_quantization(folder)
    target = choose_quantization(folder, config, stored, precision, head)
    if stored is not None and stored.packed:
        return _assemble(config, read_packed(folder, config, stored))
    check_packable(folder, config, target)
    source = Source.open(folder)
    return _assemble(config, dict(source.tensors(target, pool or Pool(usable_processors()))))


def choose_quantization(
    folder: Path,
    config: GLMConfig,
    stored: Quantization | None,
    precision: Precision | None,
    head: Precision | None = None,
) -> Quantization:
    """Return the precisions that a checkpoint is to be used in.

    Args:
        stored: as the checkpoint says. One that is packed stays as it is. One of ChatGLM3's
            quantization keeps the layers' matrices; bf16 then is of its embedding and head alone.
        precision: what was asked for. None is what the checkpoint has; for plain floats float32,
            and int8 from a billion parameters on.
        head: of the embedding and head; by default int8 beside int8 and int4, else the same.

    Raises:
        UserError: the checkpoint cannot be used so, or there is no such precision.
    """
    for name, value in (("precision", precision), ("head", head)):
        if value is not None and value not in PRECISIONS:
            raise UserError(f"{name} {value!r} is none of {', '.join(PRECISIONS)}")
    if stored is None:
        chosen = precision or ("int8" if config.num_parameters >= _LARGE else "float32")
        return Quantization(chosen, head or _head_beside(chosen))
    if precision == "bf16" and not stored.packed:
        return Quantization(stored.precision, head or "bf16")
    target = Quantization(stored.precision, head or stored.head or _head_beside(stored.precision))
    asked_otherwise = precision not in (None, stored.precision)
    if asked_otherwise or (stored.packed and target != stored):
        raise UserError(
            f"{folder}: is quantized already ({stored.precision}) and cannot become "
            f"{precision or stored.precision} with a head in {target.head}; leave the precisions "
            "out, or name the original checkpoint"
        )
    return target


def draft_precision(folder: Path) -> Precision | None:
    """Return the precision for a model whose guesses are checked: rather soon done than exact.

    int8, or None, as stored, where a checkpoint is quantized already or has rows that do not fit.

    Raises:
        UserError: `config.json` cannot be used.
    """
    if stored_quantization(folder) is not None:
        return None
    with suppress(UserError):
        check_packable(folder, load_config(folder), Quantization("int8", "int8"))
        return "int8"
    return None


def _head_beside(precision: Precision) -> Precision:
    return "int8" if precision == "int4" else precision


def _assemble(config: GLMConfig, tensors: Mapping[str, Tensor]) -> Weights:
    def matrix(name: str) -> Matrix:
        tensor = tensors[name]
        assert isinstance(tensor, Matrix)
        return tensor

    def floats(name: str) -> Floats:
        tensor = tensors[name]
        assert not isinstance(tensor, Matrix)
        return tensor

    def layer(stem: str) -> LayerWeights:
        return LayerWeights(
            attention_norm=floats(f"{stem}.attention_norm.weight"),
            qkv=matrix(f"{stem}.attention.qkv.weight"),
            qkv_bias=floats(f"{stem}.attention.qkv.bias") if config.attention_bias else None,
            out=matrix(f"{stem}.attention.out.weight"),
            mlp_norm=floats(f"{stem}.mlp_norm.weight"),
            gate_up=matrix(f"{stem}.mlp.gate_up.weight"),
            down=matrix(f"{stem}.mlp.down.weight"),
        )

    return Weights(
        config=config,
        embedding=matrix("embedding.weight"),
        layers=tuple(layer(f"layers.{i}") for i in range(config.num_hidden_layers)),
        final_norm=floats("final_norm.weight"),
        head=None if config.tie_word_embeddings else matrix("head.weight"),
    )
