"""Operations a token, against torch's own counter."""

import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, initialize
from qingtan.training.speed import flops_per_token, gpu_peak, peak_flops

ROWS, LENGTH = 2, 24
CONFIG = GLMConfig.named("tiny", vocab_size=192, tie_word_embeddings=False, num_hidden_layers=3)


def count(model: GLM) -> float:
    """Return the operations a token of a forward and a backward pass of whole attention."""
    tokens = torch.randint(0, CONFIG.vocab_size, (ROWS, LENGTH))
    with FlopCounterMode(display=False) as counter:
        # Attention is written out, since the fused one is not counted on a CPU.
        model(tokens, want_attentions=True).logits.sum().backward()
    return counter.get_total_flops() / (ROWS * LENGTH)


def test_flops_of_training_all() -> None:
    # Causal attention over 2·T counts like whole attention over T.
    assert count(initialize(GLM(CONFIG))) == flops_per_token(CONFIG, 2 * LENGTH)


def test_flops_of_training_an_adapter() -> None:
    """With all but the embedding frozen, gradients pass through, and no matrix has one."""
    model = initialize(GLM(CONFIG)).requires_grad_(False)
    model.embedding.requires_grad_(True)
    assert count(model) == flops_per_token(CONFIG, 2 * LENGTH, "adapter")


def test_six_operations_a_parameter_where_attention_is_short() -> None:
    config = GLMConfig.named("chatglm3-6b")
    matrices = config.num_parameters - config.vocab_size * config.hidden_size
    assert flops_per_token(config, 1) == pytest.approx(6 * matrices, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("NVIDIA GeForce RTX 3090", 71e12),
        ("Tesla V100-SXM2-16GB", 125e12),
        ("Tesla T4", 65e12),
        ("NVIDIA T400 4GB", None),
        ("NVIDIA L40", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("Radeon", None),
    ],
)
def test_gpus_are_known_by_name(name: str, peak: float | None) -> None:
    assert gpu_peak(name) == peak


def test_a_cpu_is_measured() -> None:
    peak = peak_flops(torch.device("cpu"), torch.float32)
    assert peak is not None
    square = torch.ones(1024, 1024)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        square @ square
        seconds.append(time.perf_counter() - start)
    # Other programs may have the processor meanwhile, but not by this much.
    assert peak / 10 < 2 * 1024**3 / min(seconds) < peak * 10
    assert peak_flops(torch.device("meta"), torch.float32) is None
