"""Which kind of adapter a folder holds."""

from pathlib import Path
from typing import Literal

from qingtan.errors import UserError
from qingtan.files import read_json
from qingtan.glm.layouts import CONFIG_FILE
from qingtan.glm.peft_config import ADAPTER_CONFIG_FILE


def adapter_kind(folder: str | Path) -> Literal["lora", "prefix"]:
    """Return what `load_lora` or `load_prefix` is to read from a folder.

    Raises:
        UserError: it holds neither, or an adapter of another kind.
    """
    path = Path(folder) / ADAPTER_CONFIG_FILE
    if path.exists():
        kind = read_json(path).get("peft_type")
        if kind == "LORA":
            return "lora"
        if kind == "PREFIX_TUNING":
            return "prefix"
        raise UserError(f"{path}: peft_type is {kind!r}; LORA and PREFIX_TUNING are supported")
    config = Path(folder) / CONFIG_FILE
    if config.exists() and read_json(config).get("pre_seq_len"):
        return "prefix"
    raise UserError(
        f"{folder}: holds no adapter: neither {ADAPTER_CONFIG_FILE} (LoRA, or a prefix of PEFT's) "
        f"nor {CONFIG_FILE} with pre_seq_len (a prefix of ChatGLM's)"
    )
