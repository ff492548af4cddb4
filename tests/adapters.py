"""Adapters to answer with: random ones, strong enough to change what a tiny model says."""

from pathlib import Path

import torch

from qingtan.glm.checkpoint import load_model
from qingtan.glm.lora import LoRAConfig, add_lora, lora_additions
from qingtan.glm.lora_files import save_lora
from qingtan.glm.prefix import PrefixEncoder, save_prefix

# Names as users choose them, and the kinds.
ADAPTERS = {"law": "lora", "poems-1.5": "lora", "prefix": "prefix"}
_LORAS = {
    "law": LoRAConfig(rank=4, alpha=8),
    "poems-1.5": LoRAConfig(rank=2, alpha=6, targets=("qkv", "down")),
}


def save_adapters(checkpoint: Path, folder: Path) -> dict[str, Path]:
    """Make ADAPTERS for a checkpoint; return their folders by name."""
    folders = {name: folder / name for name in ADAPTERS}
    for seed, (name, config) in enumerate(_LORAS.items()):
        model = load_model(checkpoint)
        add_lora(model, "new", config, seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for addition in lora_additions(model, "new").values():
                addition.up.weight.normal_(std=0.3, generator=generator)
        save_lora(model, "new", folders[name], base=checkpoint.name)
    encoder = PrefixEncoder(load_model(checkpoint).config, length=5)
    with torch.no_grad():
        encoder.embedding.weight.normal_(std=2.0, generator=torch.Generator().manual_seed(9))
    save_prefix(encoder, folders["prefix"])
    return folders
