"""LoRA adapters and P-Tuning v2 prefixes as the native model takes them, read without torch."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import UserError
from qingtan.glm.adapter_tensors import map_adapter
from qingtan.glm.config import GLMConfig
from qingtan.glm.lora_tensors import read_stored_lora
from qingtan.glm.prefix_tensors import read_stored_prefix
from qingtan.native import Matrix, Model, Pool

Floats = NDArray[np.float32]


def read_lora(config: GLMConfig, folder: str | Path) -> list[dict[str, tuple[Floats, Floats]]]:
    """Read a LoRA adapter of the model's layers (arXiv:2106.09685).

    Args:
        config: the model's that it is for.
        folder: what PEFT or `save_lora` wrote, in safetensors.

    Returns:
        For each layer, by "qkv", "out", "gate_up" and "down" as far as it adds to them, float32
        down (r, inputs) and up (outputs, r); the scale is in `up`.

    Raises:
        UserError: see `read_stored_lora`; or the adapter is of the head, or holds tensors of its
            base.
    """
    stored = read_stored_lora(config, Path(folder), map_adapter)
    if "head" in stored.additions:
        raise UserError(
            f"{folder}: adds to the head, which the native engine cannot: use the torch engine, or "
            "train the adapter without it"
        )
    for tensor in stored.beside.values():
        raise UserError(
            f"{tensor.file}: tensor {tensor.name} is of the base, which the native engine cannot "
            "compare with its own: use the torch engine, or let PEFT save the adapter with "
            "save_embedding_layers=False"
        )
    layers: list[dict[str, tuple[Floats, Floats]]] = [{} for _ in range(config.num_hidden_layers)]
    for path, addition in stored.additions.items():
        _, number, *_, kind = path.split(".")
        with np.errstate(over="ignore"):  # what is not finite is refused when it is packed
            up = addition.up * np.float32(addition.scale)
        layers[int(number)][kind] = addition.down, up
    return layers


def add_lora(model: Model, config: GLMConfig, folder: str | Path) -> int:
    """Add a LoRA adapter to a model, and return its number there.

    Args:
        config: the model's.
        folder: see `read_lora`.

    Raises:
        UserError: see `read_lora`; or a number is not finite.
    """
    pool = Pool(1)
    layers: list[dict[str, tuple[Matrix, Matrix] | None]] = []
    for number, pairs in enumerate(read_lora(config, folder)):
        try:
            layers.append(
                {
                    kind: (Matrix(down, "f32", pool), Matrix(up, "f32", pool))
                    for kind, (down, up) in pairs.items()
                }
            )
        except ValueError as error:
            raise UserError(f"{folder}: LoRA of layer {number}: {error}") from None
    return model.add_adapter(layers)


def read_prefix(config: GLMConfig, folder: str | Path) -> Floats:
    """Read a prefix (arXiv:2110.07602): the keys and values that stand before every layer's own.

    Args:
        config: the model's that it is for.
        folder: see `load_prefix`; in safetensors. A projection is computed.

    Returns:
        float32 (layers, 2, groups, tokens, head_dim), keys before values.

    Raises:
        UserError: see `read_stored_prefix`; or a number is beyond float16, the cache's own type.
    """
    rows = read_stored_prefix(config, Path(folder), map_adapter).rows()
    # False for what is no number too.
    if not (np.abs(rows) <= np.finfo(np.float16).max).all():
        raise UserError(
            f"{folder}: the prefix holds keys or values that float16 cannot, in which the cache "
            "has them"
        )
    groups = config.num_key_value_heads
    shape = (len(rows), config.num_hidden_layers, 2, groups, config.head_dim)
    return np.ascontiguousarray(rows.reshape(shape).transpose(1, 2, 3, 0, 4))
