"""Weights without torch: from every kind of checkpoint, held against torch's own reading."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from qingtan.engine.convert import convert
from qingtan.engine.weights import Weights, draft_precision, load_weights
from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.layouts import tensor_shapes
from qingtan.glm.model import GLM, initialize
from qingtan.glm.packed import unpack
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.native import Matrix, Pool

BASE = GLMConfig(
    vocab_size=160,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    intermediate_size=96,
    max_position_embeddings=64,
)
TIED = replace(BASE, tie_word_embeddings=True, attention_bias=False)
WEIGHTS = "model.safetensors"
POOL = Pool(1)


def random_model(config: GLMConfig) -> GLM:
    model = initialize(GLM(config), 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


def numbers(tensor: Any) -> NDArray[np.float32]:
    return unpack(tensor, POOL) if isinstance(tensor, Matrix) else tensor


def by_name(weights: Weights) -> Iterator[tuple[str, Any]]:
    yield "embedding.weight", weights.embedding
    for i, layer in enumerate(weights.layers):
        yield f"layers.{i}.attention_norm.weight", layer.attention_norm
        yield f"layers.{i}.attention.qkv.weight", layer.qkv
        if layer.qkv_bias is not None:
            yield f"layers.{i}.attention.qkv.bias", layer.qkv_bias
        yield f"layers.{i}.attention.out.weight", layer.out
        yield f"layers.{i}.mlp_norm.weight", layer.mlp_norm
        yield f"layers.{i}.mlp.gate_up.weight", layer.gate_up
        yield f"layers.{i}.mlp.down.weight", layer.down
    yield "final_norm.weight", weights.final_norm
    if weights.head is not None:
        yield "head.weight", weights.head


def make_checkpoint(
    folder: Path,
    tokenizer: GLMTokenizer,
    config: GLMConfig = BASE,
    layout: str = "glm",
    dtype: torch.dtype | None = None,
    **options: Any,
) -> Path:
    save_model(random_model(config), tokenizer, folder, layout=layout, dtype=dtype, **options)
    return folder


def nibbles(levels: torch.Tensor) -> torch.Tensor:
    """int4 numbers in bytes as ChatGLM3's CUDA kernel does it: even columns in the high half."""
    return (levels[:, 0::2] << 4) | (levels[:, 1::2] & 15)


def quantize_as_chatglm(folder: Path, bits: int) -> dict[str, torch.Tensor]:
    """Quantize a checkpoint as ChatGLM3's QuantizedLinear does; return what its layers are then."""
    tensors, meant = load_file(folder / WEIGHTS), {}
    for name in [n for n in tensors if ".layers." in n and tensors[n].dim() == 2]:
        weight = tensors[name].half()
        scale = weight.abs().max(dim=-1).values / (2 ** (bits - 1) - 1)
        levels = torch.round(weight / scale[:, None]).to(torch.int8)
        tensors[name] = nibbles(levels) if bits == 4 else levels
        tensors[f"{name}_scale"] = scale
        meant[name] = levels.float() * scale[:, None].float()
    save_file(tensors, folder / WEIGHTS)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_bit": bits}))
    return meant


@pytest.mark.parametrize("config", [BASE, TIED], ids=["untied", "tied"])
@pytest.mark.parametrize("layout", ["glm", "chatglm"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_floats_of_both_layouts_are_what_torch_reads(
    config: GLMConfig, layout: str, dtype: torch.dtype, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    folder = make_checkpoint(
        tmp_path / "m", tiny_tokenizer, config, layout, dtype, max_shard_bytes=30_000
    )
    expected = load_model(folder, dtype=torch.float32).state_dict()
    found = dict(by_name(load_weights(folder)))
    assert found.keys() == tensor_shapes(config).keys()
    for name, tensor in found.items():
        assert np.array_equal(numbers(tensor), expected[name].numpy()), name
        if isinstance(tensor, Matrix):
            assert tensor.format == "f32"


@pytest.mark.parametrize(
    ("precision", "head", "formats"),
    [
        ("int8", None, ("q8", "q8")),
        ("int4", None, ("q4", "q8")),
        ("int4", "bf16", ("q4", "bf16")),
        ("bf16", None, ("bf16", "bf16")),
    ],
)
def test_each_matrix_is_packed_as_asked(
    precision: Any,
    head: Any,
    formats: tuple[str, str],
    tiny_tokenizer: GLMTokenizer,
    tmp_path: Path,
) -> None:
    folder = make_checkpoint(tmp_path / "m", tiny_tokenizer)
    expected = load_model(folder).state_dict()
    for name, tensor in by_name(load_weights(folder, precision, POOL, head=head)):
        plain = expected[name].numpy()
        if isinstance(tensor, Matrix):
            fmt = formats[name in ("embedding.weight", "head.weight")]
            assert tensor.format == fmt
            assert bytes(tensor.data) == bytes(Matrix(plain, fmt, POOL).data)
        else:
            assert np.array_equal(tensor, plain)


@pytest.mark.parametrize("bits", [4, 8])
def test_chatglms_own_quantization_is_kept_exactly(
    bits: int, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    folder = make_checkpoint(tmp_path / "m", tiny_tokenizer, BASE, "chatglm", torch.float16)
    meant = quantize_as_chatglm(folder, bits)
    stem = "transformer.encoder.layers.1."
    layer = load_weights(folder).layers[1]
    for matrix, name in (
        (layer.qkv, "self_attention.query_key_value"),
        (layer.out, "self_attention.dense"),
        (layer.gate_up, "mlp.dense_h_to_4h"),
        (layer.down, "mlp.dense_4h_to_h"),
    ):
        assert matrix.format == f"q{bits}"
        assert np.array_equal(numbers(matrix), meant[f"{stem}{name}.weight"].numpy())
    assert load_weights(folder).embedding.format == "q8"
    assert load_weights(folder, "bf16").embedding.format == "bf16"
    with pytest.raises(UserError, match="is quantized already"):
        load_weights(folder, "int8" if bits == 4 else "int4")
    with pytest.raises(UserError, match="pack it with qingtan convert"):
        load_model(folder)
    # Packed, torch reads the very same numbers.
    convert(folder, tmp_path / "packed", "int4" if bits == 4 else "int8")
    state = load_model(tmp_path / "packed").state_dict()
    down = meant[f"{stem}mlp.dense_4h_to_h.weight"]
    assert torch.equal(state["layers.1.mlp.down.weight"], down)


def test_rows_that_are_no_whole_groups_are_named(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    config = replace(BASE, hidden_size=48)
    folder = make_checkpoint(tmp_path / "m", tiny_tokenizer, config)
    with pytest.raises(UserError, match=r"embedding\.weight has rows of 48 numbers, and int8"):
        load_weights(folder, "int4")
    for precision in ("bf16", "float32"):
        load_weights(folder, precision)
    config = replace(BASE, head_dim=12)
    folder = make_checkpoint(tmp_path / "n", tiny_tokenizer, config)
    with pytest.raises(UserError, match=r"layers\.0\.attention\.out\.weight has rows of 48"):
        load_weights(folder, "int8")


@pytest.mark.parametrize(("width", "filled"), [(88, 96), (96, 96), (97, 128)])
def test_a_feed_forward_of_any_width_is_filled_up_with_zeros(
    width: int, filled: int, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    config = replace(BASE, intermediate_size=width)
    folder = make_checkpoint(tmp_path / "m", tiny_tokenizer, config)
    plain, packed = load_weights(folder).layers[1], load_weights(folder, "int8").layers[1]
    gate, up = np.split(numbers(packed.gate_up), 2)
    own_gate, own_up = np.split(numbers(plain.gate_up), 2)
    for part, own in ((gate, own_gate), (up, own_up), (numbers(packed.down).T, None)):
        assert part.shape == (filled, 64)
        assert not part[width:].any()
        if own is not None:
            assert np.array_equal(part[:width], numbers(Matrix(own.copy(), "q8", POOL)))
    assert np.abs(numbers(packed.down)[:, :width] - numbers(plain.down)).max() < 0.01


def test_chatglms_own_quantization_is_filled_up_too(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    config = replace(BASE, intermediate_size=88)
    folder = make_checkpoint(tmp_path / "m", tiny_tokenizer, config, "chatglm", torch.float16)
    meant = quantize_as_chatglm(folder, 4)
    convert(folder, tmp_path / "packed", "int4")
    state = load_model(tmp_path / "packed").state_dict()
    stem = "transformer.encoder.layers.1.mlp."
    for ours, theirs in (("gate_up", "dense_h_to_4h"), ("down", "dense_4h_to_h")):
        assert torch.equal(state[f"layers.1.mlp.{ours}.weight"], meant[f"{stem}{theirs}.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("model.norm.weight"), "tensor model.norm.weight is missing"),
        (lambda t: t.update(new=torch.zeros(1)), "tensor new is not known"),
        (
            lambda t: t.update({"model.norm.weight": torch.zeros(3)}),
            r"model.norm.weight has shape \[3\], config.json asks for \[64\]",
        ),
        (
            lambda t: t.update({"model.norm.weight": torch.zeros(64).half()}),
            "has dtype F16; a checkpoint is all",
        ),
        (
            lambda t: t["model.embed_tokens.weight"].fill_(torch.nan),
            r"model\.safetensors: embedding\.weight: .*not finite",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    change: Any, message: str, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    folder = make_checkpoint(tmp_path / "m", tiny_tokenizer)
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(UserError, match=message):
        load_weights(folder)


def test_the_names_and_shapes_are_those_of_the_model() -> None:
    for config in (BASE, TIED):
        model = {name: tuple(t.shape) for name, t in GLM(config).state_dict().items()}
        if config.tie_word_embeddings:
            del model["head.weight"]
        assert tensor_shapes(config) == model


def test_it_needs_no_torch(tiny_checkpoint: Path) -> None:
    code = (
        "import sys; from qingtan.engine.weights import load_weights; "
        "from qingtan.glm.tokenizer import load_tokenizer; "
        f"load_weights({str(tiny_checkpoint)!r}); load_tokenizer({str(tiny_checkpoint)!r}); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_draft_model_is_int8_where_its_checkpoint_leaves_the_choice(
    tmp_path: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    odd = replace(BASE, hidden_size=48)
    for name, config in {"plain": BASE, "odd": odd}.items():
        save_model(random_model(config), tiny_tokenizer, tmp_path / name)
    convert(tmp_path / "plain", tmp_path / "packed", "int4")
    chosen = {name: draft_precision(tmp_path / name) for name in ("plain", "odd", "packed")}
    assert chosen == {"plain": "int8", "odd": None, "packed": None}
