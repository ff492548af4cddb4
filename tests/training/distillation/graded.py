"""Divergences as autograd sees them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qingtan.training.distillation.divergences import grade
from qingtan.training.tables import DistillationTable


class _Graded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: DistillationTable, teacher: Tensor, student: Tensor) -> Tensor:
        values, gradient = grade(table, teacher, student)
        ctx.save_for_backward(gradient)
        return values

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return None, None, gradient * upstream[:, None]


def table(name: str = "forward_kl", beta: float = 0.5, temperature: float = 1.0) -> Any:
    return DistillationTable(
        teacher=Path("teacher"), divergence=name, jsd_beta=beta, temperature=temperature
    )


def divergence(asked: DistillationTable, teacher: Tensor, student: Tensor) -> Tensor:
    """Return the divergence (n,) of logits (n, V), with the gradient that is computed beside it."""
    return _Graded.apply(asked, teacher.detach(), student)
