"""How far a student's distribution of the next token is from its teacher's.

Values and gradients are computed together, some rows at a time: what lies between the logits and
the gradient never exists for all rows at once, and stays in a processor's cache. Left to autograd,
the same formulas take longer, and keep several more matrices of the logits' size.
"""

from collections.abc import Callable
from math import log
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from qingtan.training.tables import DistillationTable

# Logits that are worked on at once: what a processor's cache holds, and what fills a GPU.
CPU_CHUNK = 1 << 20
GPU_CHUNK = 1 << 25

# Log-probabilities of teacher and student (n, V) → the divergence (n,), and its gradient (n, V)
# with respect to the student's logits.
Formula = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def divergence(table: DistillationTable, teacher: Tensor, student: Tensor) -> Tensor:
    """Return the divergence that a recipe asks for, of softened distributions.

    Both logits are divided by the temperature τ, and the result is multiplied by τ², which keeps
    the size of its gradients (1503.02531).

    Args:
        teacher: (N, V) logits.
        student: (N, V) logits; the gradient goes to them only.

    Returns:
        (N,) float32, nats.
    """
    return _apply(_formula(table), teacher, student, table.temperature)


def grade(table: DistillationTable, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    """Return `divergence` (n,), and its gradient (n, V) with respect to the student's logits.

    Args:
        teacher, student: (n, V) float32 logits, few enough to be worked on at once.
    """
    return _grade(_formula(table), teacher, student, table.temperature)


def forward_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """Return KL(p_T‖p_S) = Σ p_T·log(p_T/p_S), (N,) float32 nats, of logits (N, V)."""
    return _apply(_forward_kl, teacher, student)


def reverse_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """Return KL(p_S‖p_T) = Σ p_S·log(p_S/p_T), (N,) float32 nats, of logits (N, V)."""
    return _apply(_reverse_kl, teacher, student)


def jsd(teacher: Tensor, student: Tensor, beta: float) -> Tensor:
    """Return the generalized Jensen-Shannon divergence (2306.13649), (N,) float32 nats.

    β·KL(p_T‖m) + (1−β)·KL(p_S‖m) with m = β·p_T + (1−β)·p_S, of logits (N, V), 0 < β < 1. Divided
    by β it goes to the forward KL as β goes to 0; divided by 1−β, to the reverse KL towards 1.
    """
    return _apply(_jsd(beta), teacher, student)


def _formula(table: DistillationTable) -> Formula:
    formulas: dict[str, Formula] = {
        "forward_kl": _forward_kl,
        "reverse_kl": _reverse_kl,
        "jsd": _jsd(table.jsd_beta),
    }
    return formulas[table.divergence]


def _grade(
    formula: Formula, teacher: Tensor, student: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    values, gradient = formula(_soften(teacher, temperature), _soften(student, temperature))
    return values.mul_(temperature**2), gradient.mul_(temperature)


# Sums of products here, and no dot products: autocast would take those in half precision.
def _forward_kl(log_teacher: Tensor, log_student: Tensor) -> tuple[Tensor, Tensor]:
    teacher = log_teacher.exp()
    value = log_teacher.sub_(log_student).mul_(teacher).sum(-1)
    return value, log_student.exp_().sub_(teacher)


def _reverse_kl(log_teacher: Tensor, log_student: Tensor) -> tuple[Tensor, Tensor]:
    student = log_student.exp()
    ratio = log_student.sub_(log_teacher)
    value = (student * ratio).sum(-1)
    return value, ratio.sub_(value[:, None]).mul_(student)


def _jsd(beta: float) -> Formula:
    def formula(log_teacher: Tensor, log_student: Tensor) -> tuple[Tensor, Tensor]:
        log_mixture = torch.logaddexp(log_teacher + log(beta), log_student + log(1 - beta))
        teacher, student = log_teacher.exp(), log_student.exp()
        of_teacher = log_teacher.sub_(log_mixture).mul_(teacher).sum(-1)
        ratio = log_student.sub_(log_mixture)
        of_student = (student * ratio).sum(-1)
        # What the mixture adds to the gradient cancels out.
        gradient = ratio.sub_(of_student[:, None]).mul_(student).mul_(1 - beta)
        return beta * of_teacher + (1 - beta) * of_student, gradient

    return formula


def _soften(logits: Tensor, temperature: float) -> Tensor:
    softened = logits if temperature == 1 else logits / temperature
    return softened.log_softmax(-1)


class _RowByRow(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, formula: Formula, teacher: Tensor, student: Tensor, temperature: float
    ) -> Tensor:
        dtype = torch.promote_types(student.dtype, torch.float32)
        values = torch.empty(len(student), dtype=dtype, device=student.device)
        gradient = torch.empty_like(student)
        chunk = CPU_CHUNK if student.device.type == "cpu" else GPU_CHUNK
        rows = max(1, chunk // student.shape[1])
        for here in (slice(i, i + rows) for i in range(0, len(student), rows)):
            values[here], gradient[here] = _grade(
                formula, teacher[here].to(dtype), student[here].to(dtype), temperature
            )
        ctx.save_for_backward(gradient)
        return values

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return None, None, gradient * upstream[:, None].to(gradient.dtype), None


def _apply(formula: Formula, teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    result: Tensor = _RowByRow.apply(  # type: ignore[no-untyped-call]
        formula, teacher.detach(), student, temperature
    )
    return result
