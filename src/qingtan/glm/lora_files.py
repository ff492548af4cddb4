"""LoRA adapters of a model, written and loaded as PEFT stores them; `lora_tensors.py` reads them.

The files are `adapter_config.json` and `adapter_model.safetensors`. Where transformers has three
layers for our one QKV, ours is written as three that share lora_A.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qingtan.errors import UserError
from qingtan.files import new_folder, write_json
from qingtan.glm.adapter_files import torch_opener
from qingtan.glm.adapter_tensors import AdapterTensor
from qingtan.glm.checkpoint import stored_parts
from qingtan.glm.layouts import LAYOUTS
from qingtan.glm.lora import (
    Addition,
    LoRAConfig,
    attach,
    base_weight,
    linear_paths,
    lora_additions,
    lora_config,
)
from qingtan.glm.lora_tensors import LowRank, layers_in, lora_key, read_stored_lora
from qingtan.glm.model import GLM
from qingtan.glm.peft_config import ADAPTER_CONFIG_FILE, ADAPTER_STEMS
from qingtan.glm.tensor_files import save_tensors


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
            tensors[lora_key(module, "A")] = _copy(addition.down.weight)
            tensors[lora_key(module, "B")] = _copy(rows)
    targets = _shorten(shapes, layers_in(model.config, layout))
    values = _lora_json(lora_config(model, name), base, targets, shapes)
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
    stored = read_stored_lora(model.config, Path(folder), torch_opener(allow_pickle))
    _check_beside(model, stored.beside)
    additions = {p: _addition(part, stored.dropout) for p, part in stored.additions.items()}
    attach(model, name, additions)
    return lora_config(model, name)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


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


def _lora_json(
    config: LoRAConfig, base: str, targets: list[str], shapes: Mapping[str, tuple[int, float]]
) -> dict[str, Any]:
    """Return a LoRA adapter's `adapter_config.json`.

    Args:
        config: what is usual in the adapter.
        base: the name or the path of the model that it adapts.
        targets: the names, or ends of names, of the stored layers that it is for.
        shapes: rank and alpha of each of these layers.
    """
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": config.rank,
        "lora_alpha": _plain(config.alpha),
        "lora_dropout": config.dropout,
        "target_modules": targets,
        "rank_pattern": {m: rank for m, (rank, _) in shapes.items() if rank != config.rank},
        "alpha_pattern": {
            m: _plain(alpha) for m, (_, alpha) in shapes.items() if alpha != config.alpha
        },
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
    }


def _plain(number: float) -> float:
    """Return a number as an integer where it is one, as PEFT writes it."""
    return int(number) if number == int(number) else number


def _check_beside(model: GLM, beside: Mapping[str, AdapterTensor]) -> None:
    """Check that tensors which are not the adapter's are ones that the model has just the same."""
    for name, tensor in beside.items():
        ours = _base_tensor(model, name)
        same_shape = tensor.shape == tuple(ours.shape)
        if not same_shape or not torch.equal(torch.from_numpy(tensor.floats()).to(ours), ours):
            raise UserError(
                f"{tensor.file}: tensor {tensor.name} differs from the model's own; is it another "
                "base?"
            )


def _base_tensor(model: GLM, name: str) -> Tensor:
    """Return the rows of the model's own weights that a layout stores under a name."""
    for layout in LAYOUTS:
        for path in ("embedding", *linear_paths(model.config)):
            rows = stored_parts(model.config, layout, f"{path}.weight", base_weight(model, path))
            if name in rows:
                return rows[name]
    raise KeyError(name)


def _addition(part: LowRank, dropout: float) -> Addition:
    (outputs, rank), inputs = part.up.shape, part.down.shape[1]
    addition = Addition(inputs, outputs, rank, part.alpha, dropout)
    with torch.no_grad():
        addition.down.weight.copy_(torch.from_numpy(part.down))
        addition.up.weight.copy_(torch.from_numpy(part.up))
    return addition
