"""The head and the cross-entropy in one, a few tokens at a time.

The logits of a batch are by far its largest tensor, and their gradient is another one. Here neither
is ever whole: each chunk of tokens gives its part of the loss and of the gradients at once, in the
forward pass (Hsu et al. 2024, 2410.10989).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Tokens of a chunk; on a CPU its logits stay near the cache.
_CHUNK = {"cpu": 512}
_GPU_CHUNK = 4096
# Logits whose softmax is taken at a time on a CPU.
_BLOCK = 1 << 18


def head_cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Return the summed cross-entropy () float32 of the logits hidden · weightᵀ, in nats.

    Products are in the autocast type where one is set; the softmax and both gradients are float32.

    Args:
        hidden: (N, D).
        weight: (V, D), the head's.
        labels: (N,) int64.
    """
    total: Tensor = _HeadCrossEntropy.apply(hidden, weight, labels)
    return total


class _HeadCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        head, inputs = weight.to(dtype), hidden.to(dtype)
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        of_hidden = torch.empty_like(hidden, dtype=torch.float32)
        of_weight = None
        if ctx.needs_input_grad[1]:
            of_weight = torch.zeros_like(weight, dtype=torch.float32)
        size = _CHUNK.get(kind, _GPU_CHUNK)
        for start in range(0, len(inputs), size):
            here = slice(start, start + size)
            # From here on the logits' place holds their gradient: softmax, less 1 at the label.
            gradient = (inputs[here] @ head.T).float()
            total += _losses_in_place(gradient, labels[here, None], kind)
            products = gradient.to(dtype)
            of_hidden[here] = products @ head
            if of_weight is not None:
                of_weight += products.T @ inputs[here]
        ctx.save_for_backward(of_hidden, of_weight)
        ctx.dtypes = hidden.dtype, weight.dtype
        return total.float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        of_hidden, of_weight = ctx.saved_tensors
        for_hidden, for_weight = ctx.dtypes
        weighted = None if of_weight is None else (of_weight * upstream).to(for_weight)
        return (of_hidden * upstream).to(for_hidden), weighted, None


def _losses_in_place(logits: Tensor, labels: Tensor, kind: str) -> Tensor:
    """Return the summed loss of logits (n, V) at labels (n, 1); the logits become its gradient."""
    total = torch.zeros((), dtype=torch.float64, device=logits.device)
    rows = max(1, _BLOCK // logits.shape[1]) if kind == "cpu" else len(logits)
    for some, wanted in zip(logits.split(rows), labels.split(rows), strict=True):
        logs = torch.log_softmax(some, -1)
        total -= logs.gather(1, wanted).sum()
        torch.exp(logs, out=some)
        some.scatter_add_(1, wanted, torch.full_like(wanted, -1, dtype=some.dtype))
    return total
