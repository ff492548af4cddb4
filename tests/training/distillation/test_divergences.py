"""Divergences against numpy in float64, and their gradients against finite differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import Tensor

from .graded import divergence, table

Array = NDArray[np.float64]
NAMES = ("forward_kl", "reverse_kl", "jsd")


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def kl(log_p: Array, log_q: Array) -> Array:
    return (np.exp(log_p) * (log_p - log_q)).sum(-1)


def reference(name: str, teacher: Array, student: Array, beta: float = 0.5) -> Array:
    log_t, log_s = log_softmax(teacher), log_softmax(student)
    if name == "forward_kl":
        return kl(log_t, log_s)
    if name == "reverse_kl":
        return kl(log_s, log_t)
    log_m = np.logaddexp(log_t + np.log(beta), log_s + np.log(1 - beta))
    return beta * kl(log_t, log_m) + (1 - beta) * kl(log_s, log_m)


def draw(rows: int, vocabulary: int, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    teacher, student = torch.randn(2, rows, vocabulary, generator=generator) * scale
    return teacher, student


def function(name: str, beta: float = 0.5) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda teacher, student: divergence(table(name, beta), teacher, student)


LOGITS = arrays(np.float32, (2, 3, 7), elements=st.floats(-30, 30, width=32))


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", NAMES)
def test_values_equal_numpy_in_float64(name: str, beta: float) -> None:
    teacher, student = draw(40, 300)
    values = function(name, beta)(teacher, student)
    expected = reference(name, teacher.double().numpy(), student.double().numpy(), beta)
    assert values.dtype == torch.float32
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_softens_both_and_keeps_the_gradients_size(name: str, temperature: float) -> None:
    teacher, student = draw(5, 50)
    asked = table(name, 0.3, temperature)
    softened = (logits.double().numpy() / temperature for logits in (teacher, student))
    expected = reference(name, *softened, beta=0.3) * temperature**2
    values = divergence(asked, teacher, student)
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 1.7])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_finite_differences(name: str, temperature: float) -> None:
    teacher, student = (logits.double() for logits in draw(4, 9))
    asked = table(name, 0.3, temperature)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: divergence(asked, teacher, s), (student,))


@pytest.mark.parametrize("name", NAMES)
def test_extreme_logits_stay_finite(name: str) -> None:
    teacher = torch.tensor([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0], [0.0, 0.0, 0.0]])
    student = torch.tensor([[-1e4, 1e4, 0.0], [1e4, -1e4, 0.0], [1e4, 1e4, -1e4]])
    student.requires_grad_()
    values = function(name)(teacher, student)
    values.sum().backward()
    expected = reference(name, teacher.double().numpy(), student.detach().double().numpy())
    np.testing.assert_allclose(values.detach().numpy(), expected, rtol=1e-5)
    assert student.grad is not None
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_have_no_divergence(name: str) -> None:
    student = torch.zeros(0, 9, requires_grad=True)
    function(name)(torch.zeros(0, 9), student).sum().backward()
    assert student.grad is not None
    assert student.grad.shape == (0, 9)


@given(logits=LOGITS, beta=st.floats(0.01, 0.99))
def test_none_is_negative_and_equals_differ_by_nothing(logits: NDArray[Any], beta: float) -> None:
    teacher, student = torch.from_numpy(logits)
    shifted = teacher + 2.0
    for name in NAMES:
        of_two = function(name, beta)(teacher, student)
        assert of_two.min() >= -1e-5
        assert function(name, beta)(teacher, shifted).abs().max() < 1e-5


@given(logits=LOGITS)
def test_the_even_jsd_is_symmetric_and_bounded(logits: NDArray[Any]) -> None:
    teacher, student = torch.from_numpy(logits)
    jsd = function("jsd")
    one, other = jsd(teacher, student), jsd(student, teacher)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert one.max() <= np.log(2) + 1e-5


@given(logits=arrays(np.float64, (2, 3, 7), elements=st.floats(-3, 3)))
def test_the_jsd_goes_to_both_kls(logits: NDArray[Any]) -> None:
    teacher, student = torch.from_numpy(logits)
    near = 1e-6
    limits = {"rtol": 1e-3, "atol": 1e-5}
    for beta, name in ((near, "forward_kl"), (1 - near, "reverse_kl")):
        values = function("jsd", beta)(teacher, student) / near
        torch.testing.assert_close(values, function(name)(teacher, student), **limits)
