"""LoRA adapters as PEFT stores them: `adapter_config.json` and `adapter_model.safetensors`.

A stored adapter calls the layers by the names of its base, transformers' or ChatGLM3's. Where
transformers has three layers for our one QKV, ours is written as three that share lora_A; three
with a lora_A each are read as one of the ranks' sum, whose `up` is block-diagonal.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from qingtan.errors import UserError
from qingtan.files import new_folder, write_json
from qingtan.glm.checkpoint import LAYOUTS, stored_parts
from qingtan.glm.lora import (
    Addition,
    LoRAConfig,
    attach,
    base_weight,
    linear_paths,
    lora_additions,
    lora_config,
)
from qingtan.glm.model import GLM
from qingtan.glm.peft_config import ADAPTER_CONFIG_FILE, ADAPTER_STEMS, StoredConfig, lora_json
from qingtan.glm.tensor_files import open_tensors, save_tensors

_PREFIX = "base_model.model."
# The adapter's name is there where its parameters were stored without PEFT's help.
_KEY = re.compile(re.escape(_PREFIX) + r"(.+)\.lora_([AB])\.(?:[^.]+\.)?weight")


@dataclass(frozen=True)
class _Layer:
    """A layer of a base as it is stored: where its rows are in our model, and they themselves."""

    path: str
    weight: Tensor


@dataclass(frozen=True)
class _Part:
    """What an adapter adds to one stored layer: (alpha / rank) · up · down.

    Attributes:
        down: lora_A (rank, inputs) float32.
        up: lora_B (rows, rank) float32.
    """

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def scale(self) -> float:
        """The factor alpha / rank."""
        return self.alpha / len(self.down)


def save_lora(
    model: GLM,
    name: str,
    folder: str | Path,
    *,
    base: str,
    layout: str = "glm",
    replace: bool = False,
) -> None:
    """Write an adapter in PEFT's format, whole or not at all.

    Args:
        base: the name or the path of the model that it adapts, for people and for PEFT.
        layout: whose names the layers have: "glm" for transformers' `GlmForCausalLM`, "chatglm"
            for ChatGLM3's own.
        replace: an adapter that is there is replaced, once the new one is whole.

    Raises:
        UserError: there is no such adapter or layout, or the folder exists and is not to be
            replaced.
    """
    with new_folder(folder, ADAPTER_CONFIG_FILE, replace) as partial:
        write_lora(model, name, partial, base=base, layout=layout)


def write_lora(model: GLM, name: str, folder: Path, *, base: str, layout: str = "glm") -> None:
    """Write an adapter's files into a folder, for a caller who adds to them; see `save_lora`."""
    tensors: dict[str, Tensor] = {}
    shapes: dict[str, tuple[int, float]] = {}
    for path, addition in lora_additions(model, name).items():
        up = stored_parts(model.config, layout, f"{path}.weight", addition.up.weight)
        for weight, rows in up.items():
            module = weight.removesuffix(".weight")
            shapes[module] = (addition.rank, addition.alpha)
            # Copies, since safetensors refuses tensors that share memory, as lora_A of QKV would.
            tensors[_key(module, "A")] = _copy(addition.down.weight)
            tensors[_key(module, "B")] = _copy(rows)
    targets = _shorten(shapes, _names_in(model, layout))
    values = lora_json(lora_config(model, name), base, targets, shapes)
    write_json(folder / ADAPTER_CONFIG_FILE, values)
    save_tensors(tensors, folder / f"{ADAPTER_STEMS[0]}.safetensors")


def load_lora(
    model: GLM, name: str, folder: str | Path, *, allow_pickle: bool = False
) -> LoRAConfig:
    """Add a stored adapter to a model under a name, and activate it.

    Args:
        folder: what `save_lora` or PEFT wrote, with transformers' names or ChatGLM3's.
        allow_pickle: read `adapter_model.bin` where there are no safetensors, with `weights_only`.

    Returns:
        The adapter's shape; see `lora_config`.

    Raises:
        UserError: a field asks for what would change the mathematics and is not supported; a
            tensor is missing, unknown, or of another shape; the name cannot be used. The message
            names the file and the field or tensor.
    """
    folder = Path(folder)
    config = StoredConfig(folder / ADAPTER_CONFIG_FILE)
    stored, files = open_tensors(folder, allow_pickle, ADAPTER_STEMS)
    layers = _stored_layers(model, stored)
    matrices = _sort(model, layers, stored, files)
    if not matrices:
        raise UserError(f"{folder}: holds no tensor of LoRA")
    config.check_layers(layers, matrices)
    parts = {
        module: _part(config, module, layers[module], found, folder)
        for module, found in matrices.items()
    }
    attach(model, name, _join_parts(layers, parts, config.dropout))
    return lora_config(model, name)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _key(module: str, matrix: str) -> str:
    return f"{_PREFIX}{module}.lora_{matrix}.weight"


def _shorten(modules: Collection[str], layers: Iterable[str]) -> list[str]:
    """Return what names just these of the layers: by the ends of their names where all have it."""
    by_end: dict[str, list[str]] = {}
    for module in layers:
        by_end.setdefault(module.rpartition(".")[2], []).append(module)
    names = []
    for end, same in by_end.items():
        chosen = [module for module in same if module in modules]
        names += [end] if chosen == same else chosen
    return names


def _names_in(model: GLM, layout: str) -> list[str]:
    """Return what a layout calls the linear layers, without a look at the weights, which may be
    in several processes."""
    names: list[str] = []
    for path in linear_paths(model.config):
        like = torch.empty(base_weight(model, path).shape, device="meta")
        names += stored_parts(model.config, layout, f"{path}.weight", like)
    return [name.removesuffix(".weight") for name in names]


def _layers_in(model: GLM, layout: str) -> dict[str, _Layer]:
    """Return the linear layers by the names that a layout has for them."""
    return {
        weight.removesuffix(".weight"): _Layer(path, rows)
        for path in linear_paths(model.config)
        for weight, rows in stored_parts(
            model.config, layout, f"{path}.weight", base_weight(model, path)
        ).items()
    }


def _stored_layers(model: GLM, stored: Iterable[str]) -> dict[str, _Layer]:
    """Return the linear layers by the names of the layout that an adapter's tensors have."""
    modules = [match[1] for key in stored if (match := _KEY.fullmatch(key))]
    layouts = [_layers_in(model, layout) for layout in LAYOUTS]
    return max(layouts, key=lambda layers: sum(module in layers for module in modules))


def _sort(
    model: GLM,
    layers: Mapping[str, _Layer],
    stored: Mapping[str, Tensor],
    files: Mapping[str, Path],
) -> dict[str, dict[str, Tensor]]:
    """Return an adapter's tensors by layer and matrix, A or B."""
    matrices: dict[str, dict[str, Tensor]] = {}
    for key, tensor in stored.items():
        match = _KEY.fullmatch(key)
        if match is None or match[1] not in layers:
            _check_same_as_base(model, layers, key, tensor, files[key])
        elif match[2] in matrices.setdefault(match[1], {}):
            raise UserError(f"{files[key]}: tensor {key} is there twice, of two adapters")
        else:
            matrices[match[1]][match[2]] = tensor
    return matrices


def _check_same_as_base(
    model: GLM, layers: Mapping[str, _Layer], key: str, tensor: Tensor, file: Path
) -> None:
    """Check that a tensor which is not the adapter's is one that the model has just the same.

    PEFT stores the head, and the embedding, of a base beside an adapter of the head.
    """
    names = {f"{module}.weight": layer.weight for module, layer in layers.items()}
    for layout in LAYOUTS:
        embedding = model.embedding.weight
        names |= stored_parts(model.config, layout, "embedding.weight", embedding)
    ours = names.get(key.removeprefix(_PREFIX).replace(".base_layer.", "."))
    if ours is None:
        raise UserError(f"{file}: tensor {key} is not known, or of a layer that the model has not")
    if tensor.shape != ours.shape or not torch.equal(tensor.to(ours), ours):
        raise UserError(f"{file}: tensor {key} differs from the model's own; is it another base?")


def _part(
    config: StoredConfig,
    module: str,
    layer: _Layer,
    found: Mapping[str, Tensor],
    folder: Path,
) -> _Part:
    """Return what an adapter adds to one stored layer, checked."""
    rows, inputs = layer.weight.shape
    rank = config.rank(module)
    for matrix, shape in (("A", [rank, inputs]), ("B", [rows, rank])):
        if matrix not in found:
            raise UserError(f"{folder}: tensor {_key(module, matrix)} is missing")
        if list(found[matrix].shape) != shape or not found[matrix].is_floating_point():
            raise UserError(
                f"{folder}: tensor {_key(module, matrix)} is {found[matrix].dtype} of shape "
                f"{list(found[matrix].shape)}; the model and {config.path.name} ask for floats "
                f"of shape {shape}"
            )
    return _Part(found["A"].float(), found["B"].float(), config.alpha(module))


def _join_parts(
    layers: Mapping[str, _Layer], parts: Mapping[str, _Part], dropout: float
) -> dict[str, Addition]:
    """Return the additions by our layers' paths."""
    groups: dict[str, list[tuple[int, _Part | None]]] = {}
    for module, layer in layers.items():
        groups.setdefault(layer.path, []).append((len(layer.weight), parts.get(module)))
    return {
        path: _join(group, dropout)
        for path, group in groups.items()
        if any(part is not None for _, part in group)
    }


def _join(group: Sequence[tuple[int, _Part | None]], dropout: float) -> Addition:
    """Return one addition for stored layers that are one of ours: their rows, and their parts."""
    parts = [part for _, part in group if part is not None]
    first = parts[0]
    same_scale = all(part.scale == first.scale for part in parts)
    if same_scale and all(torch.equal(part.down, first.down) for part in parts):
        down, alpha = first.down, first.alpha
        up = torch.cat(
            [down.new_zeros(rows, len(down)) if part is None else part.up for rows, part in group]
        )
    else:
        down = torch.cat([part.down for part in parts])
        alpha = (first.scale if same_scale else 1.0) * len(down)
        # A layer without a part is a block of no columns: rows of zeros.
        up = torch.block_diag(
            *(
                down.new_zeros(rows, 0)
                if part is None
                else part.up * (1.0 if same_scale else part.scale)
                for rows, part in group
            )
        )
    addition = Addition(down.shape[1], len(up), len(down), alpha, dropout)
    with torch.no_grad():
        addition.down.weight.copy_(down)
        addition.up.weight.copy_(up)
    return addition
