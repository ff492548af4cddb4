"""Which kind of adapter a folder holds."""

import json
from pathlib import Path

import pytest

from qingtan.errors import UserError
from qingtan.glm.adapters import adapter_kind
from qingtan.glm.lora import LoRAConfig, add_lora
from qingtan.glm.lora_files import save_lora
from qingtan.glm.prefix import save_prefix

from .adapters import random_prefix
from .samples import BASE, random_model


def test_the_kinds(tmp_path: Path) -> None:
    model = random_model(BASE)
    add_lora(model, "x", LoRAConfig(1, 1.0))
    for layout in ("glm", "chatglm"):
        save_lora(model, "x", tmp_path / layout / "lora", base="base", layout=layout)
        assert adapter_kind(tmp_path / layout / "lora") == "lora"
    for layout in ("chatglm", "peft"):
        save_prefix(random_prefix(BASE), tmp_path / layout / "prefix", layout=layout)
        assert adapter_kind(str(tmp_path / layout / "prefix")) == "prefix"


def test_a_folder_without_an_adapter(tmp_path: Path, tiny_checkpoint: Path) -> None:
    looked_for = r"neither adapter_config\.json .* nor config\.json with pre_seq_len"
    for folder in (tmp_path, tmp_path / "nowhere", tiny_checkpoint):
        with pytest.raises(UserError, match=looked_for) as caught:
            adapter_kind(folder)
        assert str(caught.value).startswith(f"{folder}: ")


def test_a_kind_that_is_not_supported(tmp_path: Path) -> None:
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps({"peft_type": "IA3"}), encoding="utf-8")
    with pytest.raises(UserError, match=r"adapter_config\.json: peft_type is 'IA3'; LORA and"):
        adapter_kind(tmp_path)
    config.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"adapter_config\.json: not JSON"):
        adapter_kind(tmp_path)
