"""Adapters to test with."""

import torch

from qingtan.glm.config import GLMConfig
from qingtan.glm.lora import LoRAConfig, add_lora, lora_additions
from qingtan.glm.model import GLM
from qingtan.glm.prefix import PrefixEncoder, init_prefix


def random_lora(model: GLM, name: str, config: LoRAConfig, seed: int = 0) -> None:
    """Add an adapter that changes what the model says, as a trained one does."""
    add_lora(model, name, config, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    for addition in lora_additions(model, name).values():
        torch.nn.init.normal_(addition.up.weight, std=0.2, generator=generator)


def random_prefix(config: GLMConfig, length: int = 3, projection: bool = False) -> PrefixEncoder:
    """Return a prefix that does not drop anything."""
    return init_prefix(PrefixEncoder(config, length, projection), 4).eval()
