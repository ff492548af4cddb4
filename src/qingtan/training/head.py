"""The head and what is scored of its logits in one, a few tokens at a time.

The logits of a batch are by far its largest tensor, and their gradient is another one. Here neither
is ever whole: each chunk of tokens gives its part of the loss and of the gradients at once, in the
forward pass (2410.10989). What is scored at once on a CPU stays in its cache.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Tokens of a chunk.
_CPU_CHUNK, _GPU_CHUNK = 512, 4096
# Logits that are worked on at once on a CPU, so that they stay in its cache.
_BLOCK = 1 << 18

# Logits (n, V) float32 of the tokens in a slice of all → sums over them (k,). The logits are
# overwritten by the gradient of the first sum with respect to them. n is what is best worked on at
# once.
Score = Callable[[Tensor, slice], Tensor]


def score_head(head: nn.Module, hidden: Tensor, score: Score) -> Tensor:
    """Return the sums of a score over all tokens, (k,) float64; only the first has a gradient.

    Products are in the autocast type where one is set; scores and gradients are float32.

    Args:
        head: from hidden states to logits.
        hidden: (N, D).
    """
    if isinstance(head, nn.Linear):
        weight = head.weight
    else:
        # There is an adapter on it: its logits are made as a whole, and scored as they are.
        hidden, weight = head(hidden), None
    sums: Tensor = _ScoredHead.apply(hidden, weight, score)  # type: ignore[no-untyped-call]
    return sums


def score_likelihood(labels: Tensor) -> Score:
    """Return the score whose only sum is the cross-entropy at labels (N,), in nats."""

    def score(logits: Tensor, here: slice) -> Tensor:
        wanted = labels[here, None]
        logs = torch.log_softmax(logits, -1)
        torch.exp(logs, out=logits)
        logits.scatter_add_(1, wanted, torch.full_like(wanted, -1, dtype=logits.dtype))
        return -logs.gather(1, wanted).sum(0, dtype=torch.float64)

    return score


def chunk_size(device: str) -> int:
    """Return the tokens whose logits are best made in one product, on a type of device."""
    return _CPU_CHUNK if device == "cpu" else _GPU_CHUNK


def _blocks(logits: Tensor) -> Iterator[slice]:
    """Yield slices of the rows of logits (n, V), of as many as are best worked on at once."""
    rows = len(logits)
    if logits.device.type == "cpu":
        rows = max(1, _BLOCK // logits.shape[1])
    for start in range(0, max(1, len(logits)), max(1, rows)):
        yield slice(start, min(start + rows, len(logits)))


class _ScoredHead(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor | None, score: Score) -> Tensor:
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        head = None if weight is None else weight.to(dtype)
        of_hidden = torch.empty_like(hidden, dtype=torch.float32)
        of_weight = None
        if weight is not None and ctx.needs_input_grad[1]:
            of_weight = torch.zeros_like(weight, dtype=torch.float32)
        size = chunk_size(kind)
        sums = []
        scored: Tensor | None = None  # always the same memory, which stays in the cache
        for start in range(0, max(1, len(hidden)), size):
            here = slice(start, start + size)
            inputs = hidden[here] if head is None else hidden[here].to(dtype)
            logits = inputs.clone() if head is None else inputs @ head.T
            for rows in _blocks(logits):
                if scored is None:
                    scored = torch.empty_like(logits[rows], dtype=torch.float32)
                block = scored[: rows.stop - rows.start].copy_(logits[rows])
                sums.append(score(block, slice(start + rows.start, start + rows.stop)))
                logits[rows] = block  # the gradient now
            of_hidden[here] = logits if head is None else logits @ head
            if of_weight is not None:
                of_weight += logits.T @ inputs
        ctx.save_for_backward(of_hidden, of_weight)
        ctx.dtypes = hidden.dtype, None if weight is None else weight.dtype
        return torch.stack(sums).sum(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        of_hidden, of_weight = ctx.saved_tensors
        for_hidden, for_weight = ctx.dtypes
        factor = upstream[0].to(torch.float32)
        weighted = None if of_weight is None else (of_weight * factor).to(for_weight)
        return (of_hidden * factor).to(for_hidden), weighted, None
