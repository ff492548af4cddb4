"""The learning rate's course, and what each optimizer does to which weights."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, initialize
from qingtan.training.optimizer import Average, Optimizer, rate_share
from qingtan.training.subject import Subject
from qingtan.training.tables import OptimizerTable


@given(
    steps=st.integers(1, 500),
    warmup=st.integers(0, 100),
    decay=st.floats(0, 1),
    final=st.floats(0, 1),
)
def test_the_rate_rises_stays_and_falls(
    steps: int, warmup: int, decay: float, final: float
) -> None:
    table = OptimizerTable(warmup_steps=warmup, decay_share=decay, final_share=final)
    start = steps - max(1.0, decay * steps)  # of the fall
    for step in {0, warmup // 2, warmup, steps // 2, steps - 1} & set(range(steps)):
        expected = 1.0
        if step > start:
            share = (step - start) / (steps - start)
            expected = 1.0 * (1 - share) + final * share
        if step < warmup:
            expected *= (step + 1) / (warmup + 1)
        assert math.isclose(rate_share(step, steps, table), expected, rel_tol=1e-9, abs_tol=1e-12)


def test_the_course_of_a_run_by_hand() -> None:
    table = OptimizerTable(warmup_steps=3, decay_share=0.5, final_share=0.2)
    shares = [round(rate_share(step, 8, table), 6) for step in range(9)]
    assert shares == [0.25, 0.5, 0.75, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2]


@given(steps=st.integers(2, 500), warmup=st.integers(0, 100), final=st.floats(0, 1))
def test_a_cosine_is_that_of_torch(steps: int, warmup: int, final: float) -> None:
    warmup = min(warmup, steps - 1)
    table = OptimizerTable(schedule="cosine", warmup_steps=warmup, final_share=final)
    weight = torch.nn.Parameter(torch.zeros(1))
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(
        torch.optim.SGD([weight], lr=1.0), T_max=steps - warmup, eta_min=final
    )
    for step in {warmup, (warmup + steps) // 2, steps - 1}:
        theirs.last_epoch = step - warmup
        expected = theirs._get_closed_form_lr()[0]
        assert math.isclose(rate_share(step, steps, table), expected, abs_tol=1e-9)
    if warmup:
        assert math.isclose(rate_share(0, steps, table), 1 / (warmup + 1), rel_tol=1e-9)


def new_subject() -> Subject:
    return Subject(initialize(GLM(GLMConfig.named("tiny")), 2))


def stepped(table: OptimizerTable, share: float, steps: int = 1) -> tuple[Subject, Subject]:
    """Return a tiny model before and after steps with gradients of its own."""
    before, after = new_subject(), new_subject()
    optimizer = Optimizer(after, table, table.name)
    for seed in range(steps):
        generator = torch.Generator().manual_seed(seed)
        for parameter in after.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step(share)
        assert all(parameter.grad is None for parameter in after.parameters())
    return before, after


def is_block_matrix(name: str, parameter: torch.Tensor) -> bool:
    return name.startswith("model.layers.") and parameter.dim() == 2


def test_adamw_is_the_published_formula() -> None:
    table = OptimizerTable(name="adamw", learning_rate=0.01, weight_decay=0.1, betas=(0.8, 0.9))
    before, after = stepped(table, share=0.5, steps=2)
    rate, generators = 0.005, [torch.Generator().manual_seed(seed) for seed in range(2)]
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        decay = 0.1 if is_block_matrix(name, old) else 0.0
        value, first, second = old.detach().double(), 0.0, 0.0
        for step, generator in enumerate(generators, start=1):
            gradient = torch.randn(old.shape, generator=generator).double()
            first = 0.8 * first + 0.2 * gradient
            second = 0.9 * second + 0.1 * gradient**2
            value = value * (1 - rate * decay)
            scale = (second / (1 - 0.9**step)).sqrt() + 1e-8
            value = value - rate * (first / (1 - 0.8**step)) / scale
        torch.testing.assert_close(new.double(), value, rtol=0, atol=1e-6)


def test_muon_moves_block_matrices_by_orthogonal_updates() -> None:
    table = OptimizerTable(name="muon", learning_rate=0.01, weight_decay=0.0, momentum=0.9)
    before, after = stepped(table, share=0.5)
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        update = (new - old).detach()
        if not is_block_matrix(name, old):
            # The first step of Adam moves every weight by the rate.
            usual = torch.full_like(update, 0.005)
            torch.testing.assert_close(update.abs(), usual, rtol=1e-3, atol=0)
            continue
        # Singular values near 0.2·√(longest side)·rate, AdamW's usual size of an update; only a
        # value that was next to nothing stays smaller.
        scale = 0.005 * 0.2 * max(update.shape) ** 0.5
        values = torch.linalg.svdvals(update) / scale
        assert (values > 0.5).float().mean() > 0.95
        assert values.max() < 1.5


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_a_saved_state_goes_on_exactly(name: str) -> None:
    table = OptimizerTable(name=name)
    one, two = new_subject(), new_subject()
    first, second = Optimizer(one, table, name), None
    for step in range(4):
        if step == 2:
            two.load_state_dict(one.state_dict())
            second = Optimizer(two, table, name)
            second.load_state_dict(copy.deepcopy(first.state_dict()))
        for model, optimizer in ((one, first), (two, second)):
            if optimizer:
                generator = torch.Generator().manual_seed(step)
                for parameter in model.parameters():
                    parameter.grad = torch.randn(parameter.shape, generator=generator)
                optimizer.step(1.0)
    for ours, theirs in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_average_is_the_written_out_sum_and_gives_way_again() -> None:
    subject = new_subject()
    weight = subject.model.final_norm.weight
    average, expected = Average(subject, 0.9), weight.detach().clone().double()
    for step in range(1, 30):
        with torch.no_grad():
            weight.add_(torch.sin(torch.arange(len(weight)) + float(step)))
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = expected * decay + weight.detach().double() * (1 - decay)
    trained = weight.detach().clone()
    with average.in_place():
        torch.testing.assert_close(weight.double(), expected, atol=1e-5, rtol=0)
    assert torch.equal(weight, trained)
    other = Average(new_subject(), 0.9)
    other.load_state_dict(average.state_dict())
    for name, tensor in average.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
