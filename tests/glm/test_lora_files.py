"""Stored adapters, against PEFT on transformers' GLM in both directions."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import GlmForCausalLM

from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.lora import (
    LINEARS,
    LoRAConfig,
    activated,
    lora_additions,
    merge_lora,
)
from qingtan.glm.lora_files import load_lora, save_lora
from qingtan.glm.model import GLM
from qingtan.glm.tokenizer import GLMTokenizer

from .adapters import random_lora
from .samples import BASE, SHAPES, random_model, random_tokens
from .test_transformers import complete, complete_theirs

CLOSE = {"rtol": 0, "atol": 5e-5}
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
EVERY_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"]
TOKENS = random_tokens(BASE, 3, 17)


@pytest.fixture(scope="module")
def bases(
    tiny_tokenizer: GLMTokenizer, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Path]:
    """Checkpoints of the shapes, which both we and transformers read."""
    folder = tmp_path_factory.mktemp("bases")
    for name in ("base", "tied", "wide heads, one group"):
        save_model(random_model(SHAPES[name]), tiny_tokenizer, folder / name)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def model(bases: Mapping[str, Path]) -> GLM:
    return load_model(bases["base"])


def logits(model: Any, tokens: Tensor = TOKENS) -> Tensor:
    with torch.no_grad():
        return model(tokens).logits.clone()


def made_by_peft(base: Path, folder: Path, **settings: Any) -> Tensor:
    """Let PEFT make and store an adapter with random matrices; return its logits."""
    theirs = GlmForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **settings)
    torch.manual_seed(5)
    adapted = peft.get_peft_model(theirs, config).eval()
    adapted.save_pretrained(folder)
    return logits(adapted)


@pytest.mark.parametrize("name", ["base", "tied", "wide heads, one group"])
@pytest.mark.parametrize(
    "config",
    [
        LoRAConfig(4, 6.5, 0.1),
        LoRAConfig(3, 8.0, targets=("qkv",)),
        LoRAConfig(1, 1.0, targets=LINEARS),
    ],
    ids=["blocks", "qkv", "with the head"],
)
def test_peft_reads_what_we_write(
    name: str, config: LoRAConfig, bases: Mapping[str, Path], tmp_path: Path
) -> None:
    model = load_model(bases[name])
    random_lora(model, "other", LoRAConfig(2, 2.0), 8)
    random_lora(model, "x", config, 7)
    save_lora(model, "x", tmp_path / "x", base=str(bases[name]))
    theirs = GlmForCausalLM.from_pretrained(bases[name])
    adapted = peft.PeftModel.from_pretrained(theirs, tmp_path / "x").eval()
    torch.testing.assert_close(logits(adapted), logits(model), **CLOSE)
    prompt = TOKENS[0, :5].tolist()
    answer = complete(model, prompt)
    assert complete_theirs(adapted, prompt) == answer
    with activated(model, None):
        assert complete(model, prompt) != answer
    if not (model.config.tie_word_embeddings and "head" in config.targets):
        merged = adapted.merge_and_unload()
        torch.testing.assert_close(logits(merged), logits(merge_lora(model, "x")), **CLOSE)


@pytest.mark.filterwarnings("ignore")
def test_peft_stores_a_tied_head_beside_its_adapter(
    bases: Mapping[str, Path], tmp_path: Path
) -> None:
    settings = {"target_modules": ["lm_head", "q_proj"], "r": 2}
    expected = made_by_peft(bases["tied"], tmp_path / "theirs", **settings)
    stored = load_file(tmp_path / "theirs" / WEIGHTS)
    assert "base_model.model.lm_head.base_layer.weight" in stored
    model = load_model(bases["tied"])
    assert load_lora(model, "x", tmp_path / "theirs").targets == ("qkv", "head")
    torch.testing.assert_close(logits(model), expected, **CLOSE)


def test_what_we_write_has_nothing_that_peft_does_not_know(
    model: GLM, bases: Mapping[str, Path], tmp_path: Path
) -> None:
    random_lora(model, "x", LoRAConfig(2, 4.0), 7)
    save_lora(model, "x", tmp_path / "x", base="some/base")
    config = peft.PeftConfig.from_pretrained(tmp_path / "x")
    assert isinstance(config, peft.LoraConfig)
    assert config.base_model_name_or_path == "some/base"
    assert config.target_modules == set(EVERY_LINEAR)
    assert type(config.lora_alpha) is int
    adapted = peft.get_peft_model(GlmForCausalLM.from_pretrained(bases["base"]), config)
    state = peft.get_peft_model_state_dict(adapted)
    written = load_file(tmp_path / "x" / WEIGHTS)
    assert {name: t.shape for name, t in written.items()} == {n: t.shape for n, t in state.items()}


PEFTS = {
    "q and v": {"target_modules": ["q_proj", "v_proj"], "r": 4, "lora_alpha": 6},
    "k alone": {"target_modules": ["k_proj"], "r": 4, "lora_alpha": 6},
    "every linear": {"target_modules": EVERY_LINEAR, "r": 4, "lora_alpha": 6},
    "all-linear": {"target_modules": "all-linear", "r": 2},
    "the head": {"target_modules": ["lm_head", "down_proj"], "r": 2},
    "a pattern": {"target_modules": r".*layers\.0\..*(q|o)_proj", "r": 2},
    "rank-stabilized": {"target_modules": ["q_proj", "o_proj"], "r": 5, "use_rslora": True},
    "one layer": {"target_modules": ["v_proj", "down_proj"], "layers_to_transform": [1]},
    "all but one": {"target_modules": EVERY_LINEAR, "exclude_modules": ["o_proj"], "r": 1},
    "ranks": {
        "target_modules": EVERY_LINEAR,
        "r": 4,
        "rank_pattern": {
            "q_proj": 2,
            r"layers\.1\.self_attn\.o_proj": 7,
            "^model.layers.0.mlp.d.*": 1,
        },
    },
    "alphas": {
        "target_modules": EVERY_LINEAR,
        "lora_alpha": 4,
        "alpha_pattern": {"k_proj": 20, "model.layers.1.mlp.gate_up_proj": 0.5},
    },
    "ranks, stabilized": {
        "target_modules": EVERY_LINEAR,
        "rank_pattern": {"v_proj": 2},
        "use_rslora": True,
    },
}


@pytest.mark.parametrize("settings", PEFTS.values(), ids=PEFTS.keys())
@pytest.mark.filterwarnings("ignore")  # PEFT's, of what it stores and of ranks that differ
def test_we_read_what_peft_writes(
    settings: dict[str, Any], bases: Mapping[str, Path], tmp_path: Path
) -> None:
    expected = made_by_peft(bases["base"], tmp_path / "theirs", **settings)
    model = load_model(bases["base"])
    before = logits(model)
    load_lora(model, "x", tmp_path / "theirs")
    assert (logits(model) - before).abs().max() > 0.01
    torch.testing.assert_close(logits(model), expected, **CLOSE)
    # What we make of it, PEFT reads again.
    save_lora(model, "x", tmp_path / "ours", base="base")
    theirs = GlmForCausalLM.from_pretrained(bases["base"])
    again = peft.PeftModel.from_pretrained(theirs, tmp_path / "ours").eval()
    torch.testing.assert_close(logits(again), expected, **CLOSE)
    torch.testing.assert_close(logits(merge_lora(model, "x")), expected, **CLOSE)


@pytest.mark.filterwarnings("ignore")
def test_separate_queries_and_values_become_one_of_the_ranks_sum(
    bases: Mapping[str, Path], tmp_path: Path
) -> None:
    made_by_peft(bases["base"], tmp_path / "theirs", target_modules=["q_proj", "v_proj"], r=3)
    model = load_model(bases["base"])
    config = load_lora(model, "x", tmp_path / "theirs")
    assert config == LoRAConfig(6, 16.0, targets=("qkv",))  # PEFT's alpha 8 of rank 3
    up = lora_additions(model, "x")["layers.0.attention.qkv"].up.weight
    queries, keys, values = up.split([32, 16, 16])
    used = [[bool(part.any()) for part in rows.split(3, 1)] for rows in (queries, keys, values)]
    assert used == [[True, False], [False, False], [False, True]]


@pytest.mark.parametrize("layout", ["glm", "chatglm"])
@pytest.mark.parametrize("name", ["base", "tied", "wide heads, one group"])
def test_there_and_back_is_bit_exact(
    name: str, layout: str, bases: Mapping[str, Path], tmp_path: Path
) -> None:
    config = LoRAConfig(3, 0.7, 0.25, LINEARS)
    model, other = load_model(bases[name]), load_model(bases[name])
    random_lora(model, "x", config, 7)
    save_lora(model, "x", tmp_path / "x", base="base", layout=layout)
    assert load_lora(other, "y", tmp_path / "x") == config
    ours, theirs = lora_additions(model, "x"), lora_additions(other, "y")
    assert list(ours) == list(theirs)
    for path, addition in ours.items():
        assert (addition.rank, addition.alpha) == (theirs[path].rank, theirs[path].alpha)
        assert torch.equal(addition.down.weight, theirs[path].down.weight)
        assert torch.equal(addition.up.weight, theirs[path].up.weight)
    assert torch.equal(logits(model), logits(other))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("settings", [PEFTS["ranks"], PEFTS["alphas"], PEFTS["one layer"]])
def test_what_differs_by_layer_survives_chatglms_names(
    settings: dict[str, Any], bases: Mapping[str, Path], tmp_path: Path
) -> None:
    expected = made_by_peft(bases["base"], tmp_path / "theirs", **settings)
    model = load_model(bases["base"])
    load_lora(model, "x", tmp_path / "theirs")
    save_lora(model, "x", tmp_path / "ours", base="base", layout="chatglm")
    load_lora(model, "y", tmp_path / "ours")
    torch.testing.assert_close(logits(model), expected, **CLOSE)
    with activated(model, "x"):
        torch.testing.assert_close(logits(model), expected, **CLOSE)


def test_chatglms_names(model: GLM, tmp_path: Path) -> None:
    random_lora(model, "x", LoRAConfig(2, 4.0, targets=("qkv", "out")), 7)
    save_lora(model, "x", tmp_path / "x", base="THUDM/chatglm3-6b", layout="chatglm")
    stem = "base_model.model.transformer.encoder.layers.{}.self_attention.{}.lora_{}.weight"
    assert load_file(tmp_path / "x" / WEIGHTS).keys() == {
        stem.format(layer, linear, matrix)
        for layer in range(2)
        for linear in ("query_key_value", "dense")
        for matrix in "AB"
    }
    values = json.loads((tmp_path / "x" / CONFIG).read_text(encoding="utf-8"))
    assert values["target_modules"] == ["query_key_value", "dense"]


def test_on_a_base_in_bfloat16(bases: Mapping[str, Path], tmp_path: Path) -> None:
    model = load_model(bases["base"], dtype=torch.bfloat16)
    random_lora(model, "x", LoRAConfig(2, 4.0), 7)
    save_lora(model, "x", tmp_path / "x", base="base")
    assert {t.dtype for t in load_file(tmp_path / "x" / WEIGHTS).values()} == {torch.float32}
    other = load_model(bases["base"], dtype=torch.bfloat16)
    load_lora(other, "x", tmp_path / "x")
    assert torch.equal(logits(other), logits(model))


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_of_another_bases_head_is_refused(
    bases: Mapping[str, Path], tmp_path: Path
) -> None:
    made_by_peft(bases["base"], tmp_path / "x", target_modules=["lm_head"])
    other = random_model(BASE, seed=9)
    with pytest.raises(UserError, match=r"lm_head\.base_layer\.weight differs from the model's"):
        load_lora(other, "x", tmp_path / "x")
