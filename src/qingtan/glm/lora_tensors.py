"""LoRA adapters (2106.09685) as PEFT stores them, read with numpy: the way of both engines.

A stored adapter calls the layers by the names of its base, transformers' or ChatGLM3's. Where
transformers has three layers for our one QKV, three that share lora_A are read as the one that they
are; three with a lora_A each are read as one of the ranks' sum, whose `up` is block-diagonal.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import UserError
from qingtan.glm.adapter_tensors import AdapterTensor, Opener
from qingtan.glm.config import GLMConfig
from qingtan.glm.layouts import LAYOUTS, stored_names, stored_shapes, tensor_shapes
from qingtan.glm.peft_config import ADAPTER_CONFIG_FILE, ADAPTER_STEMS, StoredConfig

Floats = NDArray[np.float32]
_PREFIX = "base_model.model."
# The adapter's name is there where its parameters were stored without PEFT's help.
_KEY = re.compile(re.escape(_PREFIX) + r"(.+)\.lora_([AB])\.(?:[^.]+\.)?weight")


@dataclass(frozen=True)
class LowRank:
    """What an adapter adds to a layer: (alpha / rank) · up · down.

    Attributes:
        down: lora_A (rank, inputs).
        up: lora_B (outputs, rank).
    """

    down: Floats
    up: Floats
    alpha: float

    @property
    def scale(self) -> float:
        """The factor alpha / rank."""
        return self.alpha / len(self.down)


@dataclass(frozen=True)
class StoredLoRA:
    """A stored adapter.

    Attributes:
        dropout: of the additions' inputs, in training.
        additions: by the paths of our linear layers, such as `layers.0.attention.qkv` or `head`.
        beside: tensors that must be the base's own, by its names of them, to be compared with it.
            PEFT stores the head, and the embedding, of a base beside an adapter of the head.
    """

    dropout: float
    additions: dict[str, LowRank]
    beside: dict[str, AdapterTensor]


@dataclass(frozen=True)
class StoredLayer:
    """A linear layer of a base as it is stored: the path of ours that has its rows, its shape."""

    path: str
    rows: int
    inputs: int


def read_stored_lora(config: GLMConfig, folder: Path, open_tensors: Opener) -> StoredLoRA:
    """Read an adapter.

    Args:
        config: the model's that it is for.
        folder: what PEFT or `save_lora` wrote, with transformers' names or ChatGLM3's.

    Raises:
        UserError: a field asks for what would change the mathematics and is not supported; or a
            tensor is missing, unknown, or of another shape. The message names the file and the
            field or tensor.
    """
    settings = StoredConfig(folder / ADAPTER_CONFIG_FILE)
    stored = open_tensors(folder, ADAPTER_STEMS)
    layers = _stored_layers(config, stored)
    matrices, beside = _sort(config, layers, stored.values())
    if not matrices:
        raise UserError(f"{folder}: holds no tensor of LoRA")
    settings.check_layers(layers, matrices)
    parts = {
        module: _part(settings, module, layers[module], found, folder)
        for module, found in matrices.items()
    }
    return StoredLoRA(settings.dropout, _join_parts(layers, parts), beside)


def layers_in(config: GLMConfig, layout: str) -> dict[str, StoredLayer]:
    """Return the linear layers by the names that a layout has for them, block by block."""
    matrices = {name: shape for name, shape in tensor_shapes(config).items() if len(shape) == 2}
    # A head that is tied has no tensor of its own, and may have an addition all the same.
    matrices["head.weight"] = matrices.pop("embedding.weight")
    return {
        stored.removesuffix(".weight"): StoredLayer(name.removesuffix(".weight"), rows, inputs)
        for name, shape in matrices.items()
        for stored, (rows, inputs) in stored_shapes(config, layout, name, shape).items()
    }


def lora_key(module: str, matrix: str) -> str:
    """Return PEFT's name of a stored layer's matrix, A or B."""
    return f"{_PREFIX}{module}.lora_{matrix}.weight"


def _stored_layers(config: GLMConfig, stored: Iterable[str]) -> dict[str, StoredLayer]:
    """Return the linear layers by the names of the layout that an adapter's tensors have."""
    modules = [match[1] for key in stored if (match := _KEY.fullmatch(key))]
    layouts = [layers_in(config, layout) for layout in LAYOUTS]
    return max(layouts, key=lambda layers: sum(module in layers for module in modules))


def _sort(
    config: GLMConfig, layers: Collection[str], stored: Iterable[AdapterTensor]
) -> tuple[dict[str, dict[str, AdapterTensor]], dict[str, AdapterTensor]]:
    """Return an adapter's tensors by layer and matrix, A or B, and those beside it."""
    matrices: dict[str, dict[str, AdapterTensor]] = {}
    beside: dict[str, AdapterTensor] = {}
    of_base = {f"{module}.weight" for module in layers}
    of_base.update(name for layout in LAYOUTS for name in stored_names(layout, "embedding.weight"))
    for tensor in stored:
        match = _KEY.fullmatch(tensor.name)
        if match is None or match[1] not in layers:
            name = tensor.name.removeprefix(_PREFIX).replace(".base_layer.", ".")
            if name not in of_base:
                raise UserError(
                    f"{tensor.file}: tensor {tensor.name} is not known, or of a layer that the "
                    "model has not"
                )
            beside[name] = tensor
        elif match[2] in matrices.setdefault(match[1], {}):
            raise UserError(f"{tensor.file}: tensor {tensor.name} is there twice, of two adapters")
        else:
            matrices[match[1]][match[2]] = tensor
    return matrices, beside


def _part(
    settings: StoredConfig,
    module: str,
    layer: StoredLayer,
    found: Mapping[str, AdapterTensor],
    folder: Path,
) -> LowRank:
    """Return what an adapter adds to one stored layer, checked."""
    rank = settings.rank(module)
    for matrix, shape in (("A", (rank, layer.inputs)), ("B", (layer.rows, rank))):
        if matrix not in found:
            raise UserError(f"{folder}: tensor {lora_key(module, matrix)} is missing")
        tensor = found[matrix]
        if tensor.shape != shape or not tensor.is_float:
            raise UserError(
                f"{folder}: tensor {lora_key(module, matrix)} is {tensor.dtype} of shape "
                f"{list(tensor.shape)}; the model and {settings.path.name} ask for floats of "
                f"shape {list(shape)}"
            )
    return LowRank(found["A"].floats(), found["B"].floats(), settings.alpha(module))


def _join_parts(
    layers: Mapping[str, StoredLayer], parts: Mapping[str, LowRank]
) -> dict[str, LowRank]:
    """Return the additions by our layers' paths."""
    groups: dict[str, list[tuple[int, LowRank | None]]] = {}
    for module, layer in layers.items():
        groups.setdefault(layer.path, []).append((layer.rows, parts.get(module)))
    return {
        path: _join(group)
        for path, group in groups.items()
        if any(part is not None for _, part in group)
    }


def _join(group: Sequence[tuple[int, LowRank | None]]) -> LowRank:
    """Return one addition for stored layers that are one of ours: their rows, and their parts."""
    parts = [part for _, part in group if part is not None]
    first = parts[0]
    same_scale = all(part.scale == first.scale for part in parts)
    if same_scale and all(np.array_equal(part.down, first.down) for part in parts):
        return LowRank(first.down, _stack(group, len(first.down)), first.alpha)
    down = np.concatenate([part.down for part in parts])
    alpha = (first.scale if same_scale else 1.0) * len(down)
    return LowRank(down, _block_diagonal(group, len(down), not same_scale), alpha)


def _stack(group: Sequence[tuple[int, LowRank | None]], rank: int) -> Floats:
    """Return the parts' `up` one above the other, zeros for a layer without a part."""
    return np.concatenate(
        [np.zeros((rows, rank), np.float32) if part is None else part.up for rows, part in group]
    )


def _block_diagonal(group: Sequence[tuple[int, LowRank | None]], rank: int, scaled: bool) -> Floats:
    """Return the parts' `up`, times their scales if asked for, each in columns of its own."""
    up = np.zeros((sum(rows for rows, _ in group), rank), np.float32)
    row = column = 0
    for rows, part in group:
        if part is not None:
            width = len(part.down)
            block = part.up * np.float32(part.scale) if scaled else part.up
            up[row : row + rows, column : column + width] = block
            column += width
        row += rows
    return up
