"""Shapes and weights to test with, and where the published reference data lies."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, initialize

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no published reference data here")

BASE = GLMConfig(
    vocab_size=160,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    intermediate_size=48,
    max_position_embeddings=64,
)
SHAPES = {
    "base": BASE,
    "tied": replace(BASE, tie_word_embeddings=True),
    "no bias": replace(BASE, attention_bias=False, rms_norm_eps=1.5625e-7),
    "wide heads, one group": replace(BASE, num_key_value_heads=1, head_dim=16, num_hidden_layers=3),
    "a group a head": replace(BASE, num_key_value_heads=4, head_dim=4, rope_theta=500_000.0),
    "tied, eight heads": replace(
        BASE, num_attention_heads=8, tie_word_embeddings=True, rope_theta=1234.5, hidden_size=24
    ),
}


def random_model(config: GLMConfig, seed: int = 0) -> GLM:
    """Return a model whose weights are all random, biases and norms too."""
    model = initialize(GLM(config), seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise, alpha=0.1 if parameter.dim() > 1 else 0.3)
    return model.eval()


def random_tokens(config: GLMConfig, *shape: int, seed: int = 0) -> torch.Tensor:
    """Return token ids."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config.vocab_size, shape, generator=generator)
