"""P-Tuning v2's prefixes (2110.07602) in their stored forms, read with numpy.

Sizes as in `prefix.py`: P virtual tokens, K = L · 2 · G · W numbers each, D the model's width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import UserError
from qingtan.files import read_json
from qingtan.glm.adapter_tensors import MODEL_STEMS, AdapterTensor, Opener
from qingtan.glm.config import GLMConfig
from qingtan.glm.layouts import CONFIG_FILE
from qingtan.glm.peft_config import ADAPTER_CONFIG_FILE, ADAPTER_STEMS

Floats = NDArray[np.float32]
# What PEFT calls the rows (P, K).
PEFT_TENSOR = "prompt_embeddings"
_STEM = "prefix_encoder."


@dataclass(frozen=True)
class StoredPrefix:
    """A stored prefix.

    Attributes:
        length: P, the number of virtual tokens.
        has_projection: whether the rows are made by two linear layers.
        tensors: float32, by the names and of the shapes of `prefix_shapes`.
    """

    length: int
    has_projection: bool
    tensors: dict[str, Floats]

    def rows(self) -> Floats:
        """Return the keys and values by virtual token, (P, K)."""
        rows = self.tensors["embedding.weight"]
        if not self.has_projection:
            return rows
        hidden = np.tanh(self._linear("projection.0", rows))
        return self._linear("projection.2", hidden)

    def _linear(self, name: str, x: Floats) -> Floats:
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]


def read_stored_prefix(config: GLMConfig, folder: Path, open_tensors: Opener) -> StoredPrefix:
    """Read a prefix; see `load_prefix`.

    Raises:
        UserError: the prefix is of a model with another shape, or a file or tensor is missing,
            damaged, or unknown; the message names the file and the field or tensor.
    """
    if (folder / ADAPTER_CONFIG_FILE).exists():
        length, projection = _read_peft_config(config, folder / ADAPTER_CONFIG_FILE), False
        stored = open_tensors(folder, ADAPTER_STEMS)
        names = {"embedding.weight": PEFT_TENSOR}
    else:
        length, projection = _read_chatglm_config(config, folder / CONFIG_FILE)
        every = open_tensors(folder, MODEL_STEMS)
        short = {name.removeprefix("transformer."): tensor for name, tensor in every.items()}
        stored = {name: tensor for name, tensor in short.items() if name.startswith(_STEM)}
        names = {name: chatglm_name(name) for name in prefix_shapes(config, length, projection)}
    shapes = prefix_shapes(config, length, projection)
    _check(folder, {names[name]: shape for name, shape in shapes.items()}, stored)
    tensors = {name: stored[names[name]].floats() for name in shapes}
    return StoredPrefix(length, projection, tensors)


def prefix_shapes(config: GLMConfig, length: int, projection: bool) -> dict[str, tuple[int, ...]]:
    """Return the shapes of `PrefixEncoder`'s parameters: matrices (out, in), biases (out,).

    Args:
        length: P, the number of virtual tokens.
        projection: whether the rows are made by two linear layers.
    """
    width = config.num_hidden_layers * 2 * config.num_key_value_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (length, width)}
    if projection:
        shapes |= {
            "projection.0.weight": (config.hidden_size, width),
            "projection.0.bias": (config.hidden_size,),
            "projection.2.weight": (width, config.hidden_size),
            "projection.2.bias": (width,),
        }
    return shapes


def chatglm_name(name: str) -> str:
    """Return ChatGLM's name of one of our parameters, without `transformer.`."""
    return _STEM + name.replace("projection.", "trans.")


def peft_shape(config: GLMConfig) -> dict[str, int]:
    """Return a model's shape as PEFT sees it: of a token's keys in a layer."""
    return {
        "token_dim": config.num_key_value_heads * config.head_dim,
        "num_attention_heads": config.num_key_value_heads,
        "num_layers": config.num_hidden_layers,
    }


def _read_peft_config(config: GLMConfig, path: Path) -> int:
    """Return the number of virtual tokens; a projection's result is what PEFT stores."""
    values = read_json(path)
    if values.get("peft_type") != "PREFIX_TUNING":
        raise UserError(f"{path}: peft_type is {values.get('peft_type')!r}, not 'PREFIX_TUNING'")
    if values.get("num_transformer_submodules") not in (None, 1):
        raise UserError(
            f"{path}: num_transformer_submodules is {values['num_transformer_submodules']!r}; "
            "the model has 1"
        )
    _check_shape(values, peft_shape(config), path)
    return _read_length(values, "num_virtual_tokens", path)


def _read_chatglm_config(config: GLMConfig, path: Path) -> tuple[int, bool]:
    """Return the number of virtual tokens, and whether there is a projection."""
    values = read_json(path)
    length = _read_length(values, "pre_seq_len", path)
    if not values.get("multi_query_attention"):
        values["multi_query_group_num"] = values.get("num_attention_heads")
    ours = config.to_chatglm()
    fields = ("num_layers", "hidden_size", "multi_query_group_num", "kv_channels")
    _check_shape(values, {field: ours[field] for field in fields}, path)
    return length, bool(values.get("prefix_projection"))


def _read_length(values: Mapping[str, Any], field: str, path: Path) -> int:
    length = values.get(field)
    if type(length) is not int or length < 1:
        raise UserError(f"{path}: {field} is {length!r}; a prefix has 1 token or more")
    return length


def _check_shape(values: Mapping[str, Any], ours: Mapping[str, int], path: Path) -> None:
    for field, value in ours.items():
        if values.get(field) != value:
            raise UserError(
                f"{path}: {field} is {values.get(field)!r}, and the model's is {value}; the "
                "prefix belongs to another model"
            )


def _check(
    folder: Path, expected: Mapping[str, tuple[int, ...]], stored: Mapping[str, AdapterTensor]
) -> None:
    """Check that the stored tensors are just those that are expected, by name and shape."""
    if extra := sorted(stored.keys() - expected.keys()):
        raise UserError(f"{folder}: tensor {extra[0]} is not known")
    for name, shape in expected.items():
        if name not in stored:
            raise UserError(f"{folder}: tensor {name} is missing")
        tensor = stored[name]
        if tensor.shape != shape:
            raise UserError(
                f"{folder}: tensor {name} has shape {list(tensor.shape)}, and the model asks for "
                f"{list(shape)}"
            )
        if not tensor.is_float:
            raise UserError(f"{folder}: tensor {name} is {tensor.dtype}; a prefix is of floats")
