"""How fast a run could be: the operations that a token takes, and what the device can do."""

import re
import time
from functools import cache
from typing import Literal

import torch

from qingtan.glm.config import GLMConfig

# Dense 16-bit tensor operations a second, from NVIDIA's data sheets; the first name that fits.
# No sparsity; for GeForce cards with accumulation in float32.
_GPU_PEAKS = {
    r"\bA100\b": 312e12,
    r"\bH100 PCIe\b": 756e12,
    r"\bH100 NVL\b": 835e12,
    r"\bH100\b": 989e12,
    r"\bH200\b": 989e12,
    r"\bL4\b": 121e12,
    r"\bL40S\b": 362e12,
    r"\bRTX 4090$": 165e12,
    r"\bRTX 3090$": 71e12,
    r"\bV100\b": 125e12,
    r"\bT4\b": 65e12,
}
_MATRIX = 2048
_MEASURING_SECONDS = 0.5
_FEWEST_PRODUCTS = 3


def flops_per_token(
    config: GLMConfig, sequence_length: int, trained: Literal["all", "adapter"] = "all"
) -> float:
    """Return the floating-point operations that training needs for one token.

    PaLM's count (2204.02311, appendix B), with causal attention counted by half, since half of
    the scores are masked. N are the parameters that stand in matrix products: the blocks' and the
    head's, but neither the embedding, which is looked up, nor norms and biases; L layers, H heads
    of width W, T the sequence length:

    - all: 6·N + 12·L·H·W·T / 2. The forward pass takes 2·N, the gradients of activations and
      of weights 2·N each.
    - adapter: 4·N + 12·L·H·W·T / 2. Gradients pass through frozen weights, which have none of
      their own; what the adapter itself adds is under one per cent and not counted.

    What activation checkpointing computes twice is not counted, so that the model's utilisation
    (MFU) says how fast the run is, not how busy the device.
    """
    heads = config.num_attention_heads * config.head_dim
    block = config.hidden_size * (config.qkv_size + heads + 3 * config.intermediate_size)
    matrices = config.num_hidden_layers * block + config.hidden_size * config.vocab_size
    attention = 12 * config.num_hidden_layers * heads * sequence_length / 2
    return (6 if trained == "all" else 4) * matrices + attention


def peak_flops(device: torch.device, precision: torch.dtype) -> float | None:
    """Return the operations a second that a device can do at most; None if that is not known.

    Of GPUs, a table of 16-bit peaks knows some by name, and a part of one (MIG) is not known. A
    CPU is measured in half a second, once: the best of some products of 2048 × 2048 matrices, on
    the threads that torch is set to.

    Args:
        precision: of the matrix products.
    """
    if device.type == "cpu":
        return _measure_products(precision, torch.get_num_threads())
    if device.type != "cuda" or precision not in (torch.bfloat16, torch.float16):
        return None
    return gpu_peak(torch.cuda.get_device_name(device))


def gpu_peak(name: str) -> float | None:
    """Return the dense 16-bit peak of a GPU by its name, in operations a second."""
    if "MIG" in name:
        return None
    return next((peak for known, peak in _GPU_PEAKS.items() if re.search(known, name)), None)


@cache
def _measure_products(dtype: torch.dtype, threads: int) -> float:
    """Return the operations a second of matrix products; `threads` tells measurements apart."""
    left, right = (torch.ones(_MATRIX, _MATRIX, dtype=dtype) for _ in range(2))
    product = torch.empty_like(left)
    seconds: list[float] = []
    # The first one also finds its memory and its kernel, and others may use the processor.
    while len(seconds) < _FEWEST_PRODUCTS or sum(seconds) < _MEASURING_SECONDS:
        start = time.perf_counter()
        torch.mm(left, right, out=product)
        seconds.append(time.perf_counter() - start)
    return 2 * _MATRIX**3 / min(seconds)
