"""Stored adapters: what else may be in the files, and what is said of damaged ones."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from qingtan.errors import UserError
from qingtan.glm.lora import LoRAConfig, activate, add_lora, lora_additions, lora_names
from qingtan.glm.lora_files import load_lora, save_lora
from qingtan.glm.model import GLM

from .adapters import random_lora
from .samples import BASE, random_model, random_tokens

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
EVERY_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"]
TOKENS = random_tokens(BASE, 3, 17)
Q = "base_model.model.model.layers.1.self_attn.q_proj"


@pytest.fixture
def model() -> GLM:
    return random_model(BASE)


@pytest.fixture
def folder(model: GLM, tmp_path: Path) -> Path:
    """The files of the model's adapter."""
    random_lora(model, "stored", LoRAConfig(2, 4.0), 7)
    save_lora(model, "stored", tmp_path / "stored", base="base")
    return tmp_path / "stored"


def logits(model: GLM) -> Tensor:
    with torch.no_grad():
        return model(TOKENS).logits.clone()


def set_fields(folder: Path, **fields: Any) -> None:
    values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps(values | fields), encoding="utf-8")


@contextmanager
def tensors_of(folder: Path) -> Iterator[dict[str, Tensor]]:
    """Yield an adapter's tensors to change."""
    tensors = load_file(folder / WEIGHTS)
    yield tensors
    save_file(tensors, folder / WEIGHTS)


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
