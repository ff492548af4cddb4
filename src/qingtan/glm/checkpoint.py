"""Checkpoints: folders in Hugging Face's layout, with ChatGLM3's tensor names or transformers'.

Loading maps the files into memory and hands the mapped tensors to the model as they are, so a
model takes about its own size. Only where one of our tensors stands in several of theirs
(transformers splits QKV in three) is that one copied, from mappings of their own that end with
the copy.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qingtan.errors import UserError
from qingtan.files import new_folder, read_json, write_json
from qingtan.glm.config import GLMConfig
from qingtan.glm.conversation import stop_ids
from qingtan.glm.model import GLM
from qingtan.glm.tensor_files import join_tensors, open_tensors, save_shards
from qingtan.glm.tokenizer import TOKENIZER_FILE, GLMTokenizer

# Our name → theirs, in the order in which ours joins them. `{}` is the layer's number.
LAYOUTS: dict[str, dict[str, tuple[str, ...]]] = {
    "chatglm": {
        "embedding.weight": ("transformer.embedding.word_embeddings.weight",),
        "layers.{}.attention_norm.weight": (
            "transformer.encoder.layers.{}.input_layernorm.weight",
        ),
        "layers.{}.attention.qkv.weight": (
            "transformer.encoder.layers.{}.self_attention.query_key_value.weight",
        ),
        "layers.{}.attention.qkv.bias": (
            "transformer.encoder.layers.{}.self_attention.query_key_value.bias",
        ),
        "layers.{}.attention.out.weight": (
            "transformer.encoder.layers.{}.self_attention.dense.weight",
        ),
        "layers.{}.mlp_norm.weight": (
            "transformer.encoder.layers.{}.post_attention_layernorm.weight",
        ),
        "layers.{}.mlp.gate_up.weight": ("transformer.encoder.layers.{}.mlp.dense_h_to_4h.weight",),
        "layers.{}.mlp.down.weight": ("transformer.encoder.layers.{}.mlp.dense_4h_to_h.weight",),
        "final_norm.weight": ("transformer.encoder.final_layernorm.weight",),
        "head.weight": ("transformer.output_layer.weight",),
    },
    "glm": {
        "embedding.weight": ("model.embed_tokens.weight",),
        "layers.{}.attention_norm.weight": ("model.layers.{}.input_layernorm.weight",),
        "layers.{}.attention.qkv.weight": tuple(
            f"model.layers.{{}}.self_attn.{part}_proj.weight" for part in "qkv"
        ),
        "layers.{}.attention.qkv.bias": tuple(
            f"model.layers.{{}}.self_attn.{part}_proj.bias" for part in "qkv"
        ),
        "layers.{}.attention.out.weight": ("model.layers.{}.self_attn.o_proj.weight",),
        "layers.{}.mlp_norm.weight": ("model.layers.{}.post_attention_layernorm.weight",),
        "layers.{}.mlp.gate_up.weight": ("model.layers.{}.mlp.gate_up_proj.weight",),
        "layers.{}.mlp.down.weight": ("model.layers.{}.mlp.down_proj.weight",),
        "final_norm.weight": ("model.norm.weight",),
        "head.weight": ("lm_head.weight",),
    },
}
CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
# Recomputed from the configuration.
_IGNORED_SUFFIX = "inv_freq"
_FLOATS = (torch.float32, torch.float16, torch.bfloat16)
# From so many parameters on, the speed of float32 on a CPU is not worth twice the memory.
_LARGE = 1_000_000_000


def load_config(folder: str | Path) -> GLMConfig:
    """Read a checkpoint's `config.json`, of either form."""
    path = Path(folder) / CONFIG_FILE
    return GLMConfig.from_json(read_json(path), str(path))


def load_tokenizer(folder: str | Path) -> GLMTokenizer:
    """Read a checkpoint's `tokenizer.model`."""
    return GLMTokenizer.from_file(Path(folder) / TOKENIZER_FILE)


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
        folder: `config.json` and safetensors, single or sharded with an index.
        dtype: convert to this; by default the tensors stay as they are stored.
        allow_pickle: read `pytorch_model*.bin` where there are no safetensors. They are pickles;
            they are read with `weights_only`.

    Raises:
        UserError: a tensor is missing, unknown, of the wrong shape or dtype, or a file is missing
            or damaged; the message names it.
    """
    folder = Path(folder)
    config = load_config(folder)
    layout = LAYOUTS[read_json(folder / CONFIG_FILE)["model_type"]]
    stored, files = open_tensors(folder, allow_pickle)
    with torch.device("meta"):
        model = GLM(config)
    wanted = model.state_dict()
    if config.tie_word_embeddings:
        del wanted["head.weight"]
    parts = {name: _their_names(layout, name) for name in wanted}
    _check_dtypes(folder, stored)
    _check_names(folder, config, layout, parts, stored)
    state = {}
    for name, names in parts.items():
        for part, like in zip(names, _split(config, names, wanted[name]), strict=True):
            if stored[part].shape != like.shape:
                raise UserError(
                    f"{folder}: tensor {part} has shape {list(stored[part].shape)}, "
                    f"config.json asks for {list(like.shape)}"
                )
        whole = stored[names[0]] if len(names) == 1 else join_tensors(names, stored, files)
        state[name] = whole.to(device=device, dtype=dtype or whole.dtype)
    if config.tie_word_embeddings:
        state["head.weight"] = state["embedding.weight"]
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
    check_layout(layout)
    names = _their_names(LAYOUTS[layout], name)
    return dict(zip(names, _split(config, names, tensor), strict=True))


def check_layout(layout: str) -> None:
    """Check that there is such a layout.

    Raises:
        UserError: there is none.
    """
    if layout not in LAYOUTS:
        raise UserError(f"layout {layout!r} is none of {', '.join(LAYOUTS)}")


def _their_names(layout: Mapping[str, tuple[str, ...]], name: str) -> tuple[str, ...]:
    """Return the stored names of one of our tensors."""
    first, _, rest = name.partition(".")
    if first != "layers":
        return layout[name]
    number, _, rest = rest.partition(".")
    return tuple(part.format(number) for part in layout[f"layers.{{}}.{rest}"])


def _check_names(
    folder: Path,
    config: GLMConfig,
    layout: Mapping[str, tuple[str, ...]],
    parts: Mapping[str, tuple[str, ...]],
    stored: Mapping[str, Tensor],
) -> None:
    expected = {part for names in parts.values() for part in names}
    found = {name for name in stored if not name.endswith(_IGNORED_SUFFIX)}
    head, embedding = layout["head.weight"][0], layout["embedding.weight"][0]
    if config.tie_word_embeddings and head in found and embedding in found:
        if not torch.equal(stored[head], stored[embedding]):
            raise UserError(
                f"{folder}: tensor {head} differs from the embedding that config.json ties it to"
            )
        found.discard(head)
    if missing := sorted(expected - found):
        raise UserError(f"{folder}: tensor {missing[0]} is missing (of {len(missing)} missing)")
    if extra := sorted(found - expected):
        raise UserError(f"{folder}: tensor {extra[0]} is not known (of {len(extra)} such)")


def _check_dtypes(folder: Path, stored: Mapping[str, Tensor]) -> None:
    found = {n: t.dtype for n, t in stored.items() if not n.endswith(_IGNORED_SUFFIX)}
    first = next(iter(found.values()), None)
    for name, dtype in found.items():
        if dtype not in _FLOATS or dtype != first:
            raise UserError(
                f"{folder}: tensor {name} has dtype {dtype}; a checkpoint is all "
                f"float32, all float16 or all bfloat16 (the first tensor is {first})"
            )


def _split(config: GLMConfig, names: Sequence[str], tensor: Tensor) -> Sequence[Tensor]:
    """Return the parts of one of our tensors that stand under these stored names."""
    if len(names) == 1:
        return [tensor]
    groups = config.num_key_value_heads
    rows = [n * config.head_dim for n in (config.num_attention_heads, groups, groups)]
    return torch.split(tensor, rows)


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
