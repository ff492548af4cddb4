"""LoRA (2106.09685): low-rank additions to a model's linear layers, several on one base."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter

import torch
from torch import Tensor, nn

from qingtan.errors import UserError
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM

# The linear layers that may have additions; the first four are in every block.
LINEARS = ("qkv", "out", "gate_up", "down", "head")
_IN_BLOCK = {
    "qkv": "attention.qkv",
    "out": "attention.out",
    "gate_up": "mlp.gate_up",
    "down": "mlp.down",
}
_FROM_BLOCK = [(path, attrgetter(path)) for path in _IN_BLOCK.values()]


@dataclass(frozen=True)
class LoRAConfig:
    """The shape of an adapter: y += (alpha / rank) · up(down(dropout(x))).

    Attributes:
        rank: of each addition, from 1.
        alpha: the additions are scaled by alpha / rank.
        dropout: of an addition's input, in training.
        targets: the layers that have additions, of LINEARS.
    """

    rank: int
    alpha: float
    dropout: float = 0.0
    targets: tuple[str, ...] = ("qkv", "out", "gate_up", "down")


class Addition(nn.Module):
    """One layer's part of an adapter: scale · up(down(dropout(x))), in float32.

    Attributes:
        down: to the rank, without a bias; PEFT's lora_A.
        up: from the rank, without a bias; PEFT's lora_B.
    """

    def __init__(
        self, inputs: int, outputs: int, rank: int, alpha: float, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.rank, self.alpha = rank, alpha
        self.down = nn.utils.skip_init(nn.Linear, inputs, rank, bias=False, dtype=torch.float32)
        self.up = nn.utils.skip_init(nn.Linear, rank, outputs, bias=False, dtype=torch.float32)
        self.dropout = nn.Dropout(dropout)

    @property
    def scale(self) -> float:
        """The factor alpha / rank."""
        return self.alpha / self.rank

    def initialize(self, generator: torch.Generator) -> None:
        """Draw `down` as PEFT does, and let `up` be zeros, so that nothing is added at first."""
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5), generator=generator)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.down.weight.dtype)
        added: Tensor = self.up(self.down(self.dropout(x) if self.training else x))
        return added * self.scale

    def weight(self) -> Tensor:
        """Return what it adds to the layer's weight, (outputs, inputs) float32."""
        product: Tensor = self.up.weight @ self.down.weight
        return self.scale * product


class LoRALinear(nn.Module):
    """A linear layer with additions by name, of which at most one is active."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.additions = nn.ModuleDict()
        self.active: str | None = None

    def forward(self, x: Tensor) -> Tensor:
        """x (…, inputs) → (…, outputs) of the base's dtype; the sum is rounded to it once."""
        y: Tensor = self.base(x)
        if self.active is None or self.active not in self.additions:
            return y
        added: Tensor = self.additions[self.active](x)
        return (y + added).to(y.dtype)


def add_lora(model: GLM, name: str, config: LoRAConfig, seed: int = 0) -> None:
    """Add a new adapter, which changes nothing yet, and activate it.

    The base's parameters are frozen. The same seed draws the same adapter on every device.

    Raises:
        UserError: the name cannot be used or is in use, or a value of the configuration cannot be.
    """
    _check_config(config)
    generator = torch.Generator().manual_seed(seed)
    additions = {}
    for path in linear_paths(model.config, config.targets):
        outputs, inputs = base_weight(model, path).shape
        addition = Addition(inputs, outputs, config.rank, config.alpha, config.dropout)
        addition.initialize(generator)
        additions[path] = addition
    attach(model, name, additions)


def attach(model: GLM, name: str, additions: Mapping[str, Addition]) -> None:
    """Put additions in place as an adapter, freeze the base, and activate the adapter.

    Args:
        additions: by their layers' paths, see `linear_paths`; moved to the layers' devices.

    Raises:
        UserError: the name cannot be used, or is in use.
    """
    # The name becomes an attribute of a module, which has others.
    if not name or "." in name or hasattr(nn.ModuleDict(), name):
        raise UserError(f"adapter name {name!r} cannot be used: choose one word without dots")
    if name in lora_names(model):
        raise UserError(f"adapter {name!r} is there already; choose another name")
    for path, addition in additions.items():
        layer = model.get_submodule(path)
        if isinstance(layer, nn.Linear):
            layer = LoRALinear(layer)
            layer.training = model.training
            model.set_submodule(path, layer)
        assert isinstance(layer, LoRALinear)
        layer.additions[name] = addition.to(layer.base.weight.device).train(model.training)
    for parameter_name, parameter in model.named_parameters():
        if ".additions." not in parameter_name:
            parameter.requires_grad_(False)
    activate(model, name)


def lora_names(model: GLM) -> list[str]:
    """Return the names of a model's adapters."""
    return list(
        dict.fromkeys(name for _, layer in _lora_linears(model) for name in layer.additions)
    )


def activate(model: GLM, name: str | None) -> None:
    """Let an adapter take part in the forward pass, or none: then the model is exactly its base.

    Raises:
        UserError: the model has no adapter of that name.
    """
    layers = [layer for _, layer in _lora_linears(model)]
    if name is not None and not any(name in layer.additions for layer in layers):
        raise _unknown(model, name)
    for layer in layers:
        layer.active = name


@contextmanager
def activated(model: GLM, name: str | None) -> Iterator[None]:
    """Activate an adapter, or none, within a with-block; then the one that was before.

    Raises:
        UserError: the model has no adapter of that name.
    """
    before = next((layer.active for _, layer in _lora_linears(model)), None)
    activate(model, name)
    try:
        yield
    finally:
        activate(model, before)


def merge_lora(model: GLM, name: str) -> GLM:
    """Add an adapter to the weights, and return the model without any adapters.

    The sum is computed in float32 and rounded to the dtype of the weights.

    Raises:
        UserError: there is no such adapter, or it adds to a head that is tied to the embedding,
            which would change with it.
    """
    additions = lora_additions(model, name)
    if "head" in additions and model.config.tie_word_embeddings:
        raise UserError(
            f"adapter {name!r} adds to the head, which shares its weight with the embedding in "
            "this model, so it cannot be merged; use it unmerged"
        )
    with torch.no_grad():
        for path, addition in additions.items():
            weight = base_weight(model, path)
            weight.copy_(weight.float() + addition.weight())
    return remove_lora(model)


def remove_lora(model: GLM) -> GLM:
    """Return the model without any adapters: its base, no longer frozen."""
    for path, layer in list(_lora_linears(model)):
        model.set_submodule(path, layer.base)
    model.requires_grad_(True)
    return model


def lora_additions(model: GLM, name: str) -> dict[str, Addition]:
    """Return an adapter's additions by their layers' paths.

    Raises:
        UserError: the model has no adapter of that name.
    """
    found = {}
    for path, layer in _lora_linears(model):
        if name in layer.additions:
            addition = layer.additions[name]
            assert isinstance(addition, Addition)
            found[path] = addition
    if not found:
        raise _unknown(model, name)
    return found


def lora_config(model: GLM, name: str) -> LoRAConfig:
    """Return an adapter's shape; rank and alpha as most of its layers have them.

    Raises:
        UserError: the model has no adapter of that name.
    """
    additions = lora_additions(model, name)
    counted = Counter((addition.rank, addition.alpha) for addition in additions.values())
    (rank, alpha), _ = counted.most_common(1)[0]
    kinds = {linear_kind(path) for path in additions}
    dropout = next(iter(additions.values())).dropout.p
    return LoRAConfig(rank, alpha, dropout, tuple(kind for kind in LINEARS if kind in kinds))


def base_weight(model: GLM, path: str) -> Tensor:
    """Return the weight (outputs, inputs) of a linear layer, or of the base under additions."""
    layer = model.get_submodule(path)
    weight = layer.base.weight if isinstance(layer, LoRALinear) else layer.weight
    assert isinstance(weight, Tensor)
    return weight


def linear_paths(config: GLMConfig, targets: tuple[str, ...] = LINEARS) -> list[str]:
    """Return where the linear layers of these kinds stand in a model, block by block."""
    inside = [path for kind, path in _IN_BLOCK.items() if kind in targets]
    blocks = range(config.num_hidden_layers)
    paths = [f"layers.{number}.{path}" for number in blocks for path in inside]
    return [*paths, "head"] if "head" in targets else paths


def linear_kind(path: str) -> str:
    """Return which of LINEARS stands at a path."""
    return path.rpartition(".")[2]


def _lora_linears(model: GLM) -> Iterator[tuple[str, LoRALinear]]:
    # An engine asks this before each pass, so that looking every path up would take its time.
    for number, block in enumerate(model.layers):
        for path, get in _FROM_BLOCK:
            layer = get(block)
            if isinstance(layer, LoRALinear):
                yield f"layers.{number}.{path}", layer
    head: nn.Module = model.head
    if isinstance(head, LoRALinear):
        yield "head", head


def _unknown(model: GLM, name: str) -> UserError:
    known = ", ".join(lora_names(model)) or "it has none"
    return UserError(f"adapter {name!r} is none of the model's adapters: {known}")


def _check_config(config: LoRAConfig) -> None:
    if config.rank < 1:
        raise UserError(f"lora: rank {config.rank} is below 1")
    if not (math.isfinite(config.alpha) and config.alpha > 0):
        raise UserError(f"lora: alpha {config.alpha} is no positive number")
    if not 0 <= config.dropout < 1:
        raise UserError(f"lora: dropout {config.dropout} is not between 0 and 1")
    unknown = [target for target in config.targets if target not in LINEARS]
    if unknown or not config.targets:
        wrong = repr(unknown[0]) if unknown else "nothing"
        raise UserError(f"lora: targets names {wrong}; it takes {', '.join(LINEARS)}")
