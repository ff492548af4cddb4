"""PEFT's `adapter_config.json` of a LoRA adapter: what it means for each layer."""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from qingtan.errors import UserError
from qingtan.files import read_json

ADAPTER_CONFIG_FILE = "adapter_config.json"
# What the file of the tensors is called, as safetensors and as a pickle.
ADAPTER_STEMS = ("adapter_model", "adapter_model")
# Fields that are read, and fields that change nothing of what a stored adapter computes. Every
# other must be off.
_READ = frozenset(
    [
        "peft_type",
        "r",
        "lora_alpha",
        "lora_dropout",
        "use_rslora",
        "rank_pattern",
        "alpha_pattern",
        "target_modules",
        "exclude_modules",
        "layers_to_transform",
        "init_lora_weights",
    ]
)
_HARMLESS = frozenset(
    [
        "auto_mapping",
        "base_model_name_or_path",
        "eva_config",
        "inference_mode",
        "layers_pattern",
        "loftq_config",
        "megatron_config",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "revision",
        "runtime_config",
        "task_type",
    ]
)
# Ways to start that leave the base as it was; the others move a part of it into the adapter.
_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")


class StoredConfig:
    """An `adapter_config.json`, checked.

    Attributes:
        path: the file.
        dropout: of the additions' inputs.

    Raises:
        UserError: the file is missing, or a field is wrong or asks for what is not supported; the
            message names it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values = read_json(path)
        _check_meaning(self._values, path)
        self._rank, self._ranks = self._numbers("r", "rank_pattern", int)
        self._alpha, self._alphas = self._numbers("lora_alpha", "alpha_pattern", int, float)
        if (lowest := min([self._rank, *self._ranks.values()])) < 1:
            raise UserError(f"{path}: r or rank_pattern is {lowest}, which no rank can be")
        self.dropout = self._number("lora_dropout", self._values.get("lora_dropout", 0), int, float)
        if not 0 <= self.dropout < 1:
            raise UserError(f"{path}: lora_dropout is {self.dropout}, not between 0 and 1")
        for field in ("target_modules", "exclude_modules"):
            names = self._values.get(field) or []
            if not isinstance(names, str) and not _is_list_of(str, names):
                raise UserError(f"{path}: {field} is {names!r}, neither names nor a pattern")
        layers = self._values.get("layers_to_transform")
        if not isinstance(layers, int | None) and not _is_list_of(int, layers):
            raise UserError(f"{path}: layers_to_transform is {layers!r}, no numbers of layers")

    def rank(self, module: str) -> int:
        """Return the rank of a layer."""
        return int(self._of(self._ranks, module, "rank_pattern", self._rank))

    def alpha(self, module: str) -> float:
        """Return what a layer's addition is scaled by, times its rank."""
        alpha = self._of(self._alphas, module, "alpha_pattern", self._alpha)
        # Rank-stabilized LoRA (2312.03732) divides by the root of the rank.
        return alpha * math.sqrt(self.rank(module)) if self._values.get("use_rslora") else alpha

    def check_layers(self, layers: Iterable[str], found: Collection[str]) -> None:
        """Check that the adapter has tensors for just the layers that it names.

        Raises:
            UserError: it has none for one, or has some for another.
        """
        if self._values.get("target_modules") is None:
            return
        for module in layers:
            if self._targets(module) and module not in found:
                raise UserError(
                    f"{self.path.parent}: tensors of {module}, which target_modules of "
                    f"{self.path.name} names, are missing"
                )
            if module in found and not self._targets(module):
                raise UserError(
                    f"{self.path.parent}: has tensors of {module}, which target_modules of "
                    f"{self.path.name} does not name"
                )

    def _numbers(self, name: str, pattern: str, *kinds: type) -> tuple[float, dict[str, float]]:
        """Return the usual number, and those of a pattern by its keys."""
        several = self._values.get(pattern) or {}
        if not isinstance(several, dict):
            raise UserError(f"{self.path}: {pattern} is {several!r}, not numbers by layer")
        usual = self._number(name, self._values.get(name), *kinds)
        return usual, {k: self._number(f"{pattern} of {k}", v, *kinds) for k, v in several.items()}

    def _number(self, name: str, value: Any, *kinds: type) -> float:
        if type(value) not in kinds or not math.isfinite(value):
            raise UserError(f"{self.path}: {name} is {value!r}, which it cannot be")
        number: float = value
        return number

    def _of(self, numbers: Mapping[str, float], module: str, field: str, usual: float) -> float:
        """Return the number of the first key that matches the end of a layer's name, as PEFT."""
        found = (k for k in numbers if self._matches(rf"(.*\.)?({k})", module, field))
        return numbers.get(next(found, ""), usual)

    def _targets(self, module: str) -> bool:
        """Return whether a layer is one of those that the adapter is for, by PEFT's rules."""
        layers = self._values.get("layers_to_transform")
        if layers is not None and layers != []:
            number = re.search(r"\.layers\.(\d+)\.", module)
            chosen = [layers] if isinstance(layers, int) else layers
            if number is None or int(number[1]) not in chosen:
                return False
        return self._lists("target_modules", module) and not self._lists("exclude_modules", module)

    def _lists(self, field: str, module: str) -> bool:
        names = self._values.get(field) or []
        if isinstance(names, str):
            return self._matches(names, module, field)
        return any(module == name or module.endswith(f".{name}") for name in names)

    def _matches(self, pattern: str, module: str, field: str) -> bool:
        try:
            return re.fullmatch(pattern, module) is not None
        except re.error as error:
            raise UserError(f"{self.path}: {field} holds {pattern!r}: {error}") from None


def _check_meaning(values: Mapping[str, Any], path: Path) -> None:
    if values.get("peft_type") != "LORA":
        raise UserError(f"{path}: peft_type is {values.get('peft_type')!r}, not 'LORA'")
    for name, value in values.items():
        if name not in _READ | _HARMLESS and value and (name, value) != ("bias", "none"):
            raise UserError(
                f"{path}: {name} is {value!r}; it changes what the adapter computes, or may, and "
                "is not supported"
            )
    if (start := values.get("init_lora_weights")) not in _STARTS:
        raise UserError(
            f"{path}: init_lora_weights is {start!r}, which changes the base too; let PEFT save "
            "the adapter with path_initial_model_for_weight_conversion"
        )


def _is_list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)
