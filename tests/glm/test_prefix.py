"""Prefixes: how they start, and their stored forms, against ChatGLM's formulas and PEFT."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GlmForCausalLM

from qingtan.errors import UserError
from qingtan.glm.checkpoint import save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.prefix import PrefixEncoder, init_prefix, load_prefix, save_prefix
from qingtan.glm.tokenizer import GLMTokenizer

from .adapters import random_prefix
from .samples import BASE, SHAPES, random_model, random_tokens

CLOSE = {"rtol": 0, "atol": 2e-5}
WEIGHTS, ADAPTER_WEIGHTS = "model.safetensors", "adapter_model.safetensors"
STEM = "transformer.prefix_encoder."
LAYOUTS = pytest.mark.parametrize("layout", ["chatglm", "peft"])
PROJECTIONS = pytest.mark.parametrize("projection", [False, True], ids=["plain", "projected"])


def made(encoder: PrefixEncoder) -> Tensor:
    with torch.no_grad():
        return encoder().clone()


def chatglm_rows(tensors: dict[str, Tensor]) -> np.ndarray:
    """Return what ChatGLM3's prefix encoder makes of its stored tensors, (P, K)."""
    parts = {name.removeprefix(STEM): tensor.double().numpy() for name, tensor in tensors.items()}
    rows = parts["embedding.weight"]
    if len(parts) == 1:
        return rows
    hidden = np.tanh(rows @ parts["trans.0.weight"].T + parts["trans.0.bias"])
    return hidden @ parts["trans.2.weight"].T + parts["trans.2.bias"]


def set_fields(path: Path, **fields: Any) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(values | fields), encoding="utf-8")


@PROJECTIONS
def test_initial_weights_depend_on_the_seed_alone(projection: bool) -> None:
    one, same, other = (PrefixEncoder(BASE, 128, projection) for _ in range(3))
    for encoder, seed in ((one, 3), (same, 3), (other, 4)):
        assert init_prefix(encoder, seed) is encoder
    for a, b, c in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
    assert abs(one.embedding.weight.std() - 1) < 0.02
    if projection:
        for layer in (one.projection[0], one.projection[2]):
            bound = layer.in_features**-0.5
            for parameter in layer.parameters():
                assert 0.8 * bound < parameter.abs().max() <= bound


@PROJECTIONS
@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_chatglms_form_there_and_back(config: GLMConfig, projection: bool, tmp_path: Path) -> None:
    encoder = random_prefix(config, 5, projection)
    save_prefix(encoder, tmp_path / "x", base="some/base")
    tensors = load_file(tmp_path / "x" / WEIGHTS)
    layers, groups, width = config.num_hidden_layers, config.num_key_value_heads, config.head_dim
    # ChatGLM: view (pre, layers · 2, groups, kv), permute (1, 2, 0, 3), split by two.
    viewed = chatglm_rows(tensors).reshape(5, layers * 2, groups, width).transpose(1, 2, 0, 3)
    expected = viewed.reshape(layers, 2, groups, 5, width)
    np.testing.assert_allclose(made(encoder).numpy(), expected, **CLOSE)
    values = json.loads((tmp_path / "x" / "config.json").read_text(encoding="utf-8"))
    assert (values["pre_seq_len"], values["prefix_projection"]) == (5, projection)
    assert values["_name_or_path"] == "some/base"
    drawn = torch.get_rng_state()
    loaded = load_prefix(config, tmp_path / "x")
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not loaded.training
    assert (loaded.length, loaded.has_projection) == (5, projection)
    for name, parameter in loaded.state_dict().items():
        assert torch.equal(parameter, encoder.state_dict()[name])


@PROJECTIONS
def test_the_projection_has_chatglm3s_shapes(projection: bool, tmp_path: Path) -> None:
    save_prefix(random_prefix(BASE, 5, projection), tmp_path / "x")
    shapes = {name: list(t.shape) for name, t in load_file(tmp_path / "x" / WEIGHTS).items()}
    width = 2 * 2 * 2 * 8
    expected = {"embedding.weight": [5, width]}
    if projection:
        expected |= {"trans.0.weight": [32, width], "trans.0.bias": [32]}
        expected |= {"trans.2.weight": [width, 32], "trans.2.bias": [width]}
    assert shapes == {STEM + name: shape for name, shape in expected.items()}


@PROJECTIONS
@pytest.mark.parametrize("with_stem", [True, False])
def test_a_published_checkpoint_with_a_pickle(
    projection: bool, with_stem: bool, tmp_path: Path
) -> None:
    """ChatGLM's P-Tuning scripts write half precision, and some write the model's tensors too."""
    encoder = random_prefix(BASE, 5, projection)
    folder = tmp_path / "x"
    save_prefix(encoder, folder)
    tensors = {name: tensor.half() for name, tensor in load_file(folder / WEIGHTS).items()}
    tensors["transformer.output_layer.weight"] = torch.ones(160, 32).half()
    if not with_stem:
        tensors = {name.removeprefix("transformer."): t for name, t in tensors.items()}
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"pytorch_model\.bin: a pickle"):
        load_prefix(BASE, folder)
    loaded = load_prefix(BASE, folder, allow_pickle=True)
    for name, parameter in loaded.state_dict().items():
        assert torch.equal(parameter, encoder.state_dict()[name].half().float())


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def test_a_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    folder, proof = tmp_path / "x", tmp_path / "it-ran"
    save_prefix(random_prefix(BASE), folder)
    tensors = load_file(folder / WEIGHTS)
    torch.save({**tensors, "x": Hostile(f"touch {proof}")}, folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"pytorch_model\.bin: damaged, or not only weights"):
        load_prefix(BASE, folder, allow_pickle=True)
    assert not proof.exists()


@PROJECTIONS
def test_pefts_form_there_and_back(projection: bool, tmp_path: Path) -> None:
    encoder = random_prefix(BASE, 5, projection).train()  # nothing stored is dropped
    save_prefix(encoder, tmp_path / "x", layout="peft")
    assert load_file(tmp_path / "x" / ADAPTER_WEIGHTS)["prompt_embeddings"].shape == (5, 64)
    loaded = load_prefix(BASE, tmp_path / "x")
    assert not loaded.training
    assert torch.equal(made(loaded), made(encoder.eval()))


@pytest.fixture
def base(tiny_tokenizer: GLMTokenizer, tmp_path: Path) -> Path:
    """A checkpoint that we and transformers read."""
    save_model(random_model(BASE), tiny_tokenizer, tmp_path / "base")
    return tmp_path / "base"


def logits_with_pefts_prompt(adapted: peft.PeftModel, tokens: Tensor) -> Tensor:
    """Run transformers' GLM after PEFT's prefix, with ChatGLM's positions, which start at 0."""
    rows, length = tokens.shape
    seen = torch.ones(rows, adapted.active_peft_config.num_virtual_tokens + length)
    with torch.no_grad():
        output = adapted.get_base_model()(
            tokens,
            past_key_values=adapted.get_prompt(rows),
            attention_mask=seen,
            position_ids=torch.arange(length)[None],
        )
    return output.logits


@PROJECTIONS
def test_we_read_what_peft_writes(projection: bool, base: Path, tmp_path: Path) -> None:
    settings = {"num_virtual_tokens": 5, "prefix_projection": projection}
    if projection:
        settings["encoder_hidden_size"] = 12
    config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", **settings)
    torch.manual_seed(3)
    adapted = peft.get_peft_model(GlmForCausalLM.from_pretrained(base), config).eval()
    adapted.save_pretrained(tmp_path / "theirs")
    tokens = random_tokens(BASE, 2, 9)
    expected = logits_with_pefts_prompt(adapted, tokens)
    prefix = made(load_prefix(BASE, tmp_path / "theirs"))
    with torch.no_grad():
        ours = random_model(BASE)(tokens, prefix=prefix).logits
        plain = random_model(BASE)(tokens).logits
    assert (plain - expected).abs().max() > 0.1
    torch.testing.assert_close(ours, expected, **CLOSE)


def test_peft_reads_what_we_write(base: Path, tmp_path: Path) -> None:
    encoder = random_prefix(BASE, 5, projection=True)
    save_prefix(encoder, tmp_path / "ours", base=str(base), layout="peft")
    theirs = GlmForCausalLM.from_pretrained(base)
    adapted = peft.PeftModel.from_pretrained(theirs, tmp_path / "ours").eval()
    tokens = random_tokens(BASE, 2, 9)
    expected = logits_with_pefts_prompt(adapted, tokens)
    with torch.no_grad():
        ours = random_model(BASE)(tokens, prefix=encoder()).logits
    torch.testing.assert_close(ours, expected, **CLOSE)


@pytest.mark.parametrize(
    ("layout", "change", "message"),
    [
        ("chatglm", {"num_hidden_layers": 3}, "num_layers is 2, and the model's is 3"),
        ("chatglm", {"hidden_size": 40}, "hidden_size is 32"),
        ("chatglm", {"num_key_value_heads": 1}, "multi_query_group_num is 2"),
        ("chatglm", {"head_dim": 12}, "kv_channels is 8"),
        ("peft", {"num_hidden_layers": 3}, "num_layers is 2"),
        ("peft", {"num_key_value_heads": 1, "head_dim": 16}, "num_attention_heads is 2"),
        ("peft", {"head_dim": 12}, "token_dim is 16"),
    ],
)
def test_a_prefix_of_another_models_shape(
    layout: str, change: dict[str, int], message: str, tmp_path: Path
) -> None:
    save_prefix(random_prefix(BASE), tmp_path / "x", layout=layout)
    with pytest.raises(UserError, match=message) as caught:
        load_prefix(replace(BASE, **change), tmp_path / "x")
    assert str(tmp_path / "x") in str(caught.value)


@pytest.mark.parametrize(
    ("layout", "fields", "message"),
    [
        ("chatglm", {"pre_seq_len": None}, "pre_seq_len is None"),
        ("chatglm", {"pre_seq_len": 0}, "pre_seq_len is 0"),
        ("chatglm", {"pre_seq_len": 4}, r"embedding\.weight has shape \[3, 64\].* \[4, 64\]"),
        ("chatglm", {"prefix_projection": True}, r"trans\.0\.weight is missing"),
        ("chatglm", {"multi_query_attention": False}, "multi_query_group_num is 4"),
        ("peft", {"num_virtual_tokens": True}, "num_virtual_tokens is True"),
        ("peft", {"num_virtual_tokens": 4}, r"prompt_embeddings has shape \[3, 64\].* \[4, 64\]"),
        ("peft", {"num_transformer_submodules": 2}, "num_transformer_submodules is 2"),
        ("peft", {"peft_type": "PROMPT_TUNING"}, "peft_type is 'PROMPT_TUNING'"),
    ],
)
def test_fields_that_cannot_be_followed(
    layout: str, fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_prefix(random_prefix(BASE), tmp_path / "x", layout=layout)
    file = {"chatglm": "config.json", "peft": "adapter_config.json"}[layout]
    set_fields(tmp_path / "x" / file, **fields)
    with pytest.raises(UserError, match=message) as caught:
        load_prefix(BASE, tmp_path / "x")
    assert str(tmp_path / "x") in str(caught.value)


@LAYOUTS
def test_tensors_that_do_not_fit(layout: str, tmp_path: Path) -> None:
    save_prefix(random_prefix(BASE), tmp_path / "x", layout=layout)
    path = tmp_path / "x" / {"chatglm": WEIGHTS, "peft": ADAPTER_WEIGHTS}[layout]
    tensors = load_file(path)
    save_file({**tensors, f"{STEM}trans.0.weight": torch.ones(1)}, path)
    with pytest.raises(UserError, match=r"trans\.0\.weight is not known"):
        load_prefix(BASE, tmp_path / "x")
    save_file({"transformer.output_layer.weight": torch.ones(1)}, path)
    with pytest.raises(UserError, match="is missing" if layout == "chatglm" else "is not known"):
        load_prefix(BASE, tmp_path / "x")
    path.unlink()
    with pytest.raises(UserError, match=f"holds no {path.name}"):
        load_prefix(BASE, tmp_path / "x")


@LAYOUTS
def test_a_folder_is_replaced_only_when_asked(layout: str, tmp_path: Path) -> None:
    first, second = random_prefix(BASE, 3), random_prefix(BASE, 4)
    save_prefix(first, tmp_path / "x", layout=layout)
    with pytest.raises(UserError, match="exists"):
        save_prefix(second, tmp_path / "x", layout=layout)
    assert load_prefix(BASE, tmp_path / "x").length == 3
    save_prefix(second, tmp_path / "x", layout=layout, replace=True)
    assert load_prefix(BASE, tmp_path / "x").length == 4


def test_an_unknown_layout(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="layout 'glm' is none of chatglm, peft"):
        save_prefix(random_prefix(BASE), tmp_path / "x", layout="glm")
    assert not list(tmp_path.iterdir())
