"""How far a student's distribution of the next token is from its teacher's.

Values and gradients are computed together, from logits that are few enough to stay in a
processor's cache: left to autograd, the same formulas take longer, and keep several more matrices
of their size.
"""

from collections.abc import Callable
from math import log

import torch
from torch import Tensor

from qingtan.training.tables import DistillationTable

# Log-probabilities of teacher and student (n, V), both of which are used up → the divergence (n,),
# and its gradient (n, V) with respect to the student's logits.
Formula = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def grade(table: DistillationTable, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    """Return the divergence that a recipe asks for, and its gradient.

    forward_kl is KL(p_T‖p_S) = Σ p_T·log(p_T/p_S), reverse_kl KL(p_S‖p_T), and jsd the generalized
    Jensen-Shannon divergence (2306.13649): β·KL(p_T‖m) + (1−β)·KL(p_S‖m) with
    m = β·p_T + (1−β)·p_S; divided by β it goes to the forward KL as β goes to 0, divided by 1−β to
    the reverse KL towards 1. Both logits are divided by the temperature τ, and the result is
    multiplied by τ², which keeps the size of its gradients (1503.02531).

    Args:
        teacher, student: (n, V) logits.

    Returns:
        (n,) nats, and (n, V) with respect to the student's logits.
    """
    formulas: dict[str, Formula] = {
        "forward_kl": _forward_kl,
        "reverse_kl": _reverse_kl,
        "jsd": _jsd(table.jsd_beta),
    }
    temperature = table.temperature
    values, gradient = formulas[table.divergence](
        _soften(teacher, temperature), _soften(student, temperature)
    )
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
