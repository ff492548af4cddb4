"""What a checkpoint's folder holds: its files, and the names and shapes of its tensors.

Two layouts are read and written: transformers' (`glm`) and that of ChatGLM3's own code (`chatglm`).
"""

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path

from qingtan.errors import UserError
from qingtan.files import read_json
from qingtan.glm.config import GLMConfig

CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
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
# Recomputed from the configuration.
IGNORED_SUFFIX = "inv_freq"


def load_config(folder: str | Path) -> GLMConfig:
    """Read a checkpoint's `config.json`, of either form."""
    path = Path(folder) / CONFIG_FILE
    return GLMConfig.from_json(read_json(path), str(path))


def check_layout(layout: str) -> None:
    """Check that there is such a layout.

    Raises:
        UserError: there is none.
    """
    if layout not in LAYOUTS:
        raise UserError(f"layout {layout!r} is none of {', '.join(LAYOUTS)}")


def tensor_shapes(config: GLMConfig) -> dict[str, tuple[int, ...]]:
    """Return our tensors' names with their shapes: matrices (out, in), norms and biases (out,).

    A tied head is not among them.
    """
    hidden, ffn = config.hidden_size, config.intermediate_size
    heads = config.num_attention_heads * config.head_dim
    layer: dict[str, tuple[int, ...]] = {
        "attention_norm.weight": (hidden,),
        "attention.qkv.weight": (config.qkv_size, hidden),
        "attention.qkv.bias": (config.qkv_size,),
        "attention.out.weight": (hidden, heads),
        "mlp_norm.weight": (hidden,),
        "mlp.gate_up.weight": (2 * ffn, hidden),
        "mlp.down.weight": (hidden, ffn),
    }
    if not config.attention_bias:
        del layer["attention.qkv.bias"]
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (config.vocab_size, hidden)}
    for number in range(config.num_hidden_layers):
        shapes |= {f"layers.{number}.{name}": shape for name, shape in layer.items()}
    shapes["final_norm.weight"] = (hidden,)
    if not config.tie_word_embeddings:
        shapes["head.weight"] = (config.vocab_size, hidden)
    return shapes


def stored_names(layout: str, name: str) -> tuple[str, ...]:
    """Return the names under which a layout stores one of our tensors, in the order of its rows.

    Raises:
        UserError: there is no such layout.
    """
    check_layout(layout)
    first, _, rest = name.partition(".")
    if first != "layers":
        return LAYOUTS[layout][name]
    number, _, rest = rest.partition(".")
    return tuple(part.format(number) for part in LAYOUTS[layout][f"layers.{{}}.{rest}"])


def stored_shapes(
    config: GLMConfig, layout: str, name: str, shape: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    """Return the stored names of one of our tensors of this shape, each with its own shape."""
    names = stored_names(layout, name)
    if len(names) == 1:
        return {names[0]: shape}
    groups = config.num_key_value_heads
    rows = [n * config.head_dim for n in (config.num_attention_heads, groups, groups)]
    return {part: (count, *shape[1:]) for part, count in zip(names, rows, strict=True)}


def check_tensors(
    folder: Path,
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
) -> None:
    """Check that a checkpoint has the tensors that its configuration asks for, and no others.

    Args:
        expected, found: stored names with shapes.

    Raises:
        UserError: a tensor is missing, unknown or of another shape; the message names it.
    """
    if missing := sorted(expected.keys() - found.keys()):
        raise UserError(f"{folder}: tensor {missing[0]} is missing (of {len(missing)} missing)")
    if extra := sorted(found.keys() - expected.keys()):
        raise UserError(f"{folder}: tensor {extra[0]} is not known (of {len(extra)} such)")
    for name, shape in expected.items():
        if found[name] != shape:
            raise UserError(
                f"{folder}: tensor {name} has shape {list(found[name])}, "
                f"config.json asks for {list(shape)}"
            )


def drop_tied_head(
    folder: Path,
    config: GLMConfig,
    layout: str,
    found: dict[str, tuple[int, ...]],
    equal: Callable[[str, str], bool],
) -> None:
    """Take the head out of the tensors found where it is but the embedding stored twice.

    Args:
        equal: whether two stored tensors hold the same.

    Raises:
        UserError: the configuration ties the two, and they differ.
    """
    head, embedding = LAYOUTS[layout]["head.weight"][0], LAYOUTS[layout]["embedding.weight"][0]
    if not config.tie_word_embeddings or head not in found or embedding not in found:
        return
    if not equal(head, embedding):
        raise UserError(
            f"{folder}: tensor {head} differs from the embedding that config.json ties it to"
        )
    del found[head]


def check_floats(
    folder: Path, dtypes: Mapping[str, Hashable], floats: tuple[Hashable, ...]
) -> None:
    """Check that all tensors are of one type of float.

    Args:
        dtypes: of the tensors, by their stored names.
        floats: the types that a checkpoint may have.

    Raises:
        UserError: they are not; the message names the first.
    """
    first = next(iter(dtypes.values()), None)
    for name, dtype in dtypes.items():
        if dtype not in floats or dtype != first:
            raise UserError(
                f"{folder}: tensor {name} has dtype {dtype}; a checkpoint is all "
                f"float32, all float16 or all bfloat16 (the first tensor is {first})"
            )
