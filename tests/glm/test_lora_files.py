"""Stored adapters: against PEFT on transformers' GLM in both directions, and damaged ones."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GlmForCausalLM

from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.lora import (
    LINEARS,
    LoRAConfig,
    activate,
    activated,
    add_lora,
    lora_additions,
    lora_names,
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
Q = "base_model.model.model.layers.1.self_attn.q_proj"


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


def set_fields(folder: Path, **fields: Any) -> None:
    values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps(values | fields), encoding="utf-8")


@contextmanager
def tensors_of(folder: Path) -> Iterator[dict[str, Tensor]]:
    """Yield an adapter's tensors to change."""
    tensors = load_file(folder / WEIGHTS)
    yield tensors
    save_file(tensors, folder / WEIGHTS)


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


@pytest.fixture
def folder(model: GLM, tmp_path: Path) -> Path:
    """A stored adapter, of a model that has none yet."""
    random_lora(model, "stored", LoRAConfig(2, 4.0), 7)
    save_lora(model, "stored", tmp_path / "stored", base="base")
    return tmp_path / "stored"


def test_a_loaded_adapter_is_trained_further(model: GLM, folder: Path) -> None:
    load_lora(model, "x", folder)
    model(TOKENS).logits.logsumexp(-1).sum().backward()
    for path, addition in lora_additions(model, "x").items():
        assert addition.down.weight.grad.any(), path
        assert addition.up.weight.grad.any(), path


def test_tensors_with_the_adapters_name(model: GLM, folder: Path) -> None:
    expected = logits(model)
    with tensors_of(folder) as tensors:
        for key in list(tensors):
            tensors[key.replace(".weight", ".default.weight")] = tensors.pop(key)
    load_lora(model, "x", folder)
    assert torch.equal(logits(model), expected)
    with tensors_of(folder) as tensors:
        tensors[f"{Q}.lora_A.second.weight"] = torch.ones(2, 32)
    with pytest.raises(UserError, match=r"lora_A\.second\.weight is there twice"):
        load_lora(model, "y", folder)


def test_tensors_in_half_precision(model: GLM, folder: Path) -> None:
    with tensors_of(folder) as tensors:
        tensors.update({key: tensor.half() for key, tensor in tensors.items()})
    load_lora(model, "x", folder)
    for path, addition in lora_additions(model, "stored").items():
        loaded = lora_additions(model, "x")[path]
        assert torch.equal(loaded.down.weight, addition.down.weight.half().float())


def test_a_pickle_is_read_only_when_asked_for(model: GLM, folder: Path) -> None:
    expected = logits(model)
    torch.save(load_file(folder / WEIGHTS), folder / "adapter_model.bin")
    (folder / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"adapter_model\.bin: a pickle"):
        load_lora(model, "x", folder)
    load_lora(model, "x", folder, allow_pickle=True)
    assert torch.equal(logits(model), expected)


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_of_another_bases_head_is_refused(
    bases: Mapping[str, Path], tmp_path: Path
) -> None:
    made_by_peft(bases["base"], tmp_path / "x", target_modules=["lm_head"])
    other = random_model(BASE, seed=9)
    with pytest.raises(UserError, match=r"lm_head\.base_layer\.weight differs from the model's"):
        load_lora(other, "x", tmp_path / "x")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"use_dora": True}, "use_dora is True"),
        ({"bias": "lora_only"}, "bias is 'lora_only'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"lora_bias": True}, "lora_bias"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"target_parameters": ["a.weight"]}, "target_parameters"),
        ({"alora_invocation_tokens": [5]}, "alora_invocation_tokens"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"invented_next_year": {"a": 1}}, "invented_next_year"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"r": 0}, "r or rank_pattern is 0"),
        ({"r": "8"}, "r is '8'"),
        ({"lora_alpha": None}, "lora_alpha is None"),
        ({"lora_dropout": 1}, "lora_dropout is 1"),
        ({"rank_pattern": [2]}, r"rank_pattern is \[2\]"),
        ({"rank_pattern": {"q_proj": True}}, "rank_pattern of q_proj is True"),
        ({"rank_pattern": {"q_proj(": 2}}, r"rank_pattern holds .*q_proj\("),
        ({"target_modules": 3}, "target_modules is 3"),
        ({"target_modules": [3]}, r"target_modules is \[3\]"),
        ({"target_modules": "["}, r"target_modules holds '\['"),
        ({"layers_to_transform": "1"}, "layers_to_transform is '1'"),
        ({"layers_to_transform": 1}, r"layers\.0\.self_attn\.q_proj.* does not name"),
        ({"target_modules": ["q_proj"]}, "k_proj, which target_modules .* does not name"),
        ({"target_modules": [*EVERY_LINEAR, "lm_head"]}, "lm_head, which .* are missing"),
        ({"r": 3}, r"lora_A\.weight is torch\.float32 of shape \[2, \d+\];.* \[3, \d+\]"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_fields_that_cannot_be_followed(
    model: GLM, folder: Path, fields: dict[str, Any], message: str
) -> None:
    set_fields(folder, **fields)
    before = logits(model)
    with pytest.raises(UserError, match=message) as caught:
        load_lora(model, "x", folder)
    assert str(folder) in str(caught.value)
    assert lora_names(model) == ["stored"]
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.pop(f"{Q}.lora_B.weight"),
            r"layers\.1\.self_attn\.q_proj\.lora_B\.weight is m",
        ),
        (
            lambda t: (t.pop(f"{Q}.lora_A.weight"), t.pop(f"{Q}.lora_B.weight")),
            r"layers\.1\.self_attn\.q_proj, which target_modules .* are missing",
        ),
        (lambda t: t.clear(), "holds no tensor of LoRA"),
        (lambda t: t.update({f"{Q}.lora_B.weight": torch.ones(31, 2)}), r"lora_B.*\[31, 2\]"),
        (lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(2, 32).int()}), "lora_A.*int32"),
        (lambda t: t.update({f"{Q}.lora_magnitude_vector": torch.ones(32)}), "magnitude.* not kn"),
        (
            lambda t: t.update({f"{Q}.lora_A.weight".replace("s.1", "s.2"): torch.ones(2, 32)}),
            r"layers\.2\.self_attn\.q_proj\.lora_A\.weight is not known",
        ),
    ],
)
def test_tensors_that_do_not_fit(
    model: GLM, folder: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    with tensors_of(folder) as tensors:
        change(tensors)
    with pytest.raises(UserError, match=message) as caught:
        load_lora(model, "x", folder)
    assert str(folder) in str(caught.value)
    assert lora_names(model) == ["stored"]


def test_files_that_are_missing_or_damaged(model: GLM, folder: Path) -> None:
    with pytest.raises(UserError, match=r"adapter_config\.json: no such file"):
        load_lora(model, "x", folder.parent)
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"adapter_model\.safetensors: damaged"):
        load_lora(model, "x", folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"holds no adapter_model\.safetensors"):
        load_lora(model, "x", folder)


def test_what_cannot_be_written(model: GLM, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name, keywords, message in (
        ("stored", {}, "exists"),
        ("stored", {"layout": "gpt", "replace": True}, "layout 'gpt' is none of chatglm, glm"),
        ("y", {"replace": True}, "'y' is none of the model's adapters: stored"),
    ):
        with pytest.raises(UserError, match=message):
            save_lora(model, name, folder, base="base", **keywords)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    add_lora(model, "y", LoRAConfig(1, 1.0))
    activate(model, None)
    save_lora(model, "y", folder, base="base", replace=True)
    assert (folder / CONFIG).read_bytes() != before[CONFIG]
