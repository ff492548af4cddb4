"""Checkpoints: folders in Hugging Face's layout, with ChatGLM3's tensor names or transformers'.

Loading maps the files into memory and hands the mapped tensors to the model as they are, so a
model takes about its own size. Only where one of our tensors stands in several of theirs
(transformers splits QKV in three) is that one copied, from mappings of their own that end with
the copy.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from qingtan.errors import UserError
from qingtan.files import new_folder, read_json, write_json
from qingtan.glm.config import GLMConfig
from qingtan.glm.conversation import stop_ids
from qingtan.glm.model import GLM
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
        whole = stored[names[0]] if len(names) == 1 else _join(names, stored, files)
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
    _save_shards(tensors, folder, max_shard_bytes)


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


def open_tensors(
    folder: Path, allow_pickle: bool, stems: tuple[str, str] = ("model", "pytorch_model")
) -> tuple[dict[str, Tensor], dict[str, Path]]:
    """Return every tensor of a checkpoint by name, mapped from its file, and the files by name.

    Args:
        stems: how the files are called as safetensors (preferred) and as pickles.

    Raises:
        UserError: a file is missing, damaged, or a pickle that was not asked for.
    """
    for stem, suffix, read in (
        (stems[0], "safetensors", _map_safetensors),
        (stems[1], "bin", _read_pickle),
    ):
        files = _list_files(folder, f"{stem}.{suffix}")
        if files and (suffix == "safetensors" or allow_pickle):
            found = {file: read(file) for file in files}
            stored = {name: tensor for part in found.values() for name, tensor in part.items()}
            return stored, {name: file for file, part in found.items() for name in part}
        if files:
            raise UserError(
                f"{files[0]}: a pickle, which can run code when it is opened; convert it to "
                "safetensors, or ask for it by name with allow_pickle"
            )
    raise UserError(f"{folder}: holds no {stems[0]}.safetensors, whole or with an index")


def digest_weights(folder: str | Path) -> str:
    """Return the SHA-256, in hexadecimal, of a checkpoint's tensors as they are stored.

    It is that of the SHA-256 digests of all `*.safetensors`, in the order of the files' names.

    Raises:
        UserError: the folder has none.
    """
    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder}: holds no safetensors; give a checkpoint's folder")
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file."""
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors writes files that only their owner can read


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


def _join(names: Sequence[str], stored: Mapping[str, Tensor], files: Mapping[str, Path]) -> Tensor:
    """Return the parts of one of our tensors as one."""
    if files[names[0]].suffix != ".safetensors":
        return torch.cat([stored[name] for name in names])
    rows = sum(len(stored[name]) for name in names)
    joined = stored[names[0]].new_empty(rows, *stored[names[0]].shape[1:])
    for name, place in zip(
        names, torch.split(joined, [len(stored[name]) for name in names]), strict=True
    ):
        # A mapping of its own: with it go the pages that were read, which would otherwise stay
        # beside the copy for as long as the file is mapped.
        with safe_open(files[name], framework="pt") as file:
            place.copy_(file.get_tensor(name))
    return joined


def _list_files(folder: Path, name: str) -> list[Path]:
    index = folder / f"{name}.index.json"
    if index.exists():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise UserError(f"{index}: holds no weight_map")
        names = sorted({str(file) for file in weight_map.values()})
        for file in names:
            if Path(file).name != file or Path(file).suffix != Path(name).suffix:
                raise UserError(f"{index}: names {file!r}, which is no such file of this folder")
        return [folder / file for file in names]
    return [folder / name] if (folder / name).exists() else []


def _map_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path}: the index names this file, and it is missing") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged or truncated: {error}") from None


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torch.load(path, weights_only=True, mmap=True)
    except FileNotFoundError:
        raise UserError(f"{path}: the index names this file, and it is missing") from None
    except Exception as error:  # torch raises many kinds for a damaged or hostile pickle
        raise UserError(f"{path}: damaged, or not only weights: {error}") from None
    return state


def _renamed(
    config: GLMConfig, state: Mapping[str, Tensor], layout: str, dtype: torch.dtype | None
) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in state.items():
        if name == "head.weight" and config.tie_word_embeddings:
            continue
        for theirs, piece in stored_parts(config, layout, name, tensor).items():
            yield theirs, piece.detach().to(dtype or piece.dtype).contiguous().cpu()


def _save_shards(tensors: dict[str, Tensor], folder: Path, max_shard_bytes: int) -> None:
    shards: list[dict[str, Tensor]] = [{}]
    size = total = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > max_shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
        total += tensor.nbytes
    if len(shards) == 1:
        save_tensors(shards[0], folder / "model.safetensors")
        return
    weight_map = {}
    for i, shard in enumerate(shards, start=1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        save_tensors(shard, folder / file)
        weight_map.update(dict.fromkeys(shard, file))
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(folder / "model.safetensors.index.json", index)


def _generation_config(config: GLMConfig, tokenizer: GLMTokenizer) -> dict[str, Any]:
    """ChatGLM3's published sampling defaults, and the tokens that end an answer."""
    return {
        "eos_token_id": list(stop_ids(tokenizer)),
        "pad_token_id": config.pad_token_id,
        "do_sample": True,
        "temperature": 0.8,
        "top_p": 0.8,
    }
