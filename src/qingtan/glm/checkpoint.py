"""Checkpoints: folders in Hugging Face's layout, with ChatGLM3's tensor names or transformers'.

Loading maps the files into memory and hands the mapped tensors to the model as they are, so a
model takes about its own size. Only where one of our tensors stands in several of theirs
(transformers splits QKV in three) is that one copied, from mappings of their own that end with
the copy.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qingtan.errors import UserError
from qingtan.files import new_folder, read_json, write_json
from qingtan.glm.config import GLMConfig
from qingtan.glm.conversation import stop_ids
from qingtan.glm.layouts import (
    CONFIG_FILE,
    GENERATION_FILE,
    IGNORED_SUFFIX,
    check_floats,
    check_layout,
    check_tensors,
    drop_tied_head,
    load_config,
    stored_shapes,
    tensor_shapes,
)
from qingtan.glm.model import GLM
from qingtan.glm.packed import read_unpacked, stored_quantization
from qingtan.glm.quantization import Quantization
from qingtan.glm.tensor_files import join_tensors, open_tensors, save_shards
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.native import Pool, usable_processors

_FLOATS = (torch.float32, torch.float16, torch.bfloat16)
# From so many parameters on, the speed of float32 on a CPU is not worth twice the memory.
_LARGE = 1_000_000_000


def working_dtype(folder: str | Path) -> torch.dtype | None:
    """Return the type to run a checkpoint in where nobody says: float32, or None, as it is stored,
    from a billion parameters on."""
    return None if load_config(folder).num_parameters >= _LARGE else torch.float32


def load_model(
    folder: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    allow_pickle: bool = False,
) -> GLM:
    """Load a model.

    Args:
        folder: `config.json` and safetensors, single or sharded with an index. A packed
            checkpoint is unpacked.
        dtype: convert to this; by default the tensors stay as they are stored, and packed ones
            become float32.
        allow_pickle: read `pytorch_model*.bin` where there are no safetensors. They are pickles;
            they are read with `weights_only`.

    Raises:
        UserError: a tensor is missing, unknown, of the wrong shape or dtype, or a file is missing
            or damaged; the message names it.
    """
    folder = Path(folder)
    config = load_config(folder)
    quantization = stored_quantization(folder)
    if quantization is None:
        tensors = _read_floats(folder, config, allow_pickle)
    elif quantization.packed:
        tensors = _unpack(folder, config, quantization)
    else:
        raise UserError(
            f"{folder}: is quantized as ChatGLM3 does it ({quantization.precision}), which torch "
            "does not run here; pack it with qingtan convert, or load the original"
        )
    state = {
        name: tensor.to(device=device, dtype=dtype or tensor.dtype) for name, tensor in tensors
    }
    if config.tie_word_embeddings:
        state["head.weight"] = state["embedding.weight"]
    with torch.device("meta"):
        model = GLM(config)
    model.load_state_dict(state, assign=True)
    if config.tie_word_embeddings:
        model.head.weight = model.embedding.weight
    return model.eval()


def save_model(
    model: GLM,
    tokenizer: GLMTokenizer,
    folder: str | Path,
    *,
    layout: str = "glm",
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = 4 << 30,
    replace: bool = False,
) -> None:
    """Write a checkpoint that `load_model` and the layout's own programs read, whole or not at all.

    Args:
        layout: "glm" for transformers' `GlmForCausalLM`, "chatglm" for ChatGLM3's names.
        dtype: convert the tensors; None keeps them.
        replace: an existing checkpoint is replaced, once the new one is whole.

    Raises:
        UserError: the folder exists and is not to be replaced, or the layout is unknown.
    """
    with new_folder(folder, CONFIG_FILE, replace) as partial:
        write_model(model, tokenizer, partial, layout, dtype, max_shard_bytes)


def write_model(
    model: GLM,
    tokenizer: GLMTokenizer,
    folder: Path,
    layout: str = "glm",
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = 4 << 30,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint's files into a folder, for a caller who adds to them; see `save_model`.

    Args:
        state: the model's tensors by name, where they are not in itself.
    """
    check_layout(layout)
    config = model.config
    values = config.to_transformers() if layout == "glm" else config.to_chatglm()
    write_json(folder / CONFIG_FILE, values)
    write_json(folder / GENERATION_FILE, _generation_config(config, tokenizer))
    tokenizer.save(folder)
    tensors = dict(_renamed(config, state or model.state_dict(), layout, dtype))
    save_shards(tensors, folder, max_shard_bytes)


def stored_parts(config: GLMConfig, layout: str, name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Return one of our tensors as a layout stores it: by their names, its rows as views.

    Raises:
        UserError: there is no such layout.
    """
    shapes = stored_shapes(config, layout, name, tuple(tensor.shape))
    if len(shapes) == 1:
        return dict.fromkeys(shapes, tensor)
    parts = torch.split(tensor, [shape[0] for shape in shapes.values()])
    return dict(zip(shapes, parts, strict=True))


def _read_floats(
    folder: Path, config: GLMConfig, allow_pickle: bool
) -> Iterator[tuple[str, Tensor]]:
    """Yield our tensors of a checkpoint of plain floats, mapped where none had to be joined."""
    layout = read_json(folder / CONFIG_FILE)["model_type"]
    stored, files = open_tensors(folder, allow_pickle)
    found = {n: tuple(t.shape) for n, t in stored.items() if not n.endswith(IGNORED_SUFFIX)}
    check_floats(folder, {name: stored[name].dtype for name in found}, _FLOATS)
    drop_tied_head(folder, config, layout, found, lambda a, b: torch.equal(stored[a], stored[b]))
    parts = {
        name: stored_shapes(config, layout, name, shape)
        for name, shape in tensor_shapes(config).items()
    }
    check_tensors(folder, {n: s for part in parts.values() for n, s in part.items()}, found)
    for name, (first, *rest) in parts.items():
        yield name, join_tensors([first, *rest], stored, files) if rest else stored[first]


def _unpack(
    folder: Path, config: GLMConfig, quantization: Quantization
) -> Iterator[tuple[str, Tensor]]:
    """Yield our tensors of a packed checkpoint, in float32 as they are after rounding."""
    pool = Pool(usable_processors())
    for name, tensor in read_unpacked(folder, config, quantization, pool):
        yield name, torch.from_numpy(tensor)


def _renamed(
    config: GLMConfig, state: Mapping[str, Tensor], layout: str, dtype: torch.dtype | None
) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in state.items():
        if name == "head.weight" and config.tie_word_embeddings:
            continue
        for theirs, piece in stored_parts(config, layout, name, tensor).items():
            yield theirs, piece.detach().to(dtype or piece.dtype).contiguous().cpu()


def _generation_config(config: GLMConfig, tokenizer: GLMTokenizer) -> dict[str, Any]:
    """ChatGLM3's published sampling defaults, and the tokens that end an answer."""
    return {
        "eos_token_id": list(stop_ids(tokenizer)),
        "pad_token_id": config.pad_token_id,
        "do_sample": True,
        "temperature": 0.8,
        "top_p": 0.8,
    }
