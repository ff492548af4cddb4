"""Hidden states, against numpy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from qingtan.errors import UserError
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLMOutput
from qingtan.training.distillation.hidden import HiddenMatching, default_pairs
from qingtan.training.tables import DistillationTable

STUDENT = replace(GLMConfig.named("tiny"), hidden_size=8, num_hidden_layers=3)
TEACHER = replace(GLMConfig.named("tiny"), hidden_size=12, num_hidden_layers=5)


def matching(seed: int = 0, **values: Any) -> HiddenMatching:
    table = DistillationTable(teacher=Path("teacher"), hidden_weight=1.0, **values)
    return HiddenMatching(table, TEACHER, STUDENT, seed)


def output(config: GLMConfig, seed: int) -> GLMOutput:
    generator = torch.Generator().manual_seed(seed)
    layers = torch.randn(config.num_hidden_layers, 2, 6, config.hidden_size, generator=generator)
    return GLMOutput(torch.empty(0), layers[-1], layers=tuple(layers))


def normed(x: Tensor) -> NDArray[np.float64]:
    values = x.double().numpy()
    return values / np.sqrt((values**2).mean(-1, keepdims=True))


def test_the_distance_is_the_mean_squared_difference_of_normed_states() -> None:
    student, teacher = output(STUDENT, 1), output(TEACHER, 2)
    kept = torch.rand(2, 6, generator=torch.Generator().manual_seed(3)) > 0.5
    model = matching(hidden_layers=((1, 2), (3, 5)))
    expected = 0.0
    for (low, high), weight in zip(((1, 2), (3, 5)), model.parameters(), strict=True):
        projected = student.layers[low - 1][kept] @ weight.detach().T
        difference = normed(projected) - normed(teacher.layers[high - 1][kept])
        expected += (difference**2).mean(-1).sum() / 2
    assert model(student, teacher, kept).item() == pytest.approx(expected, rel=1e-5)


def test_no_tokens_and_states_of_zeros_stay_finite() -> None:
    student, teacher = output(STUDENT, 1), output(TEACHER, 2)
    model = matching()
    assert model(student, teacher, torch.zeros(2, 6, dtype=torch.bool)).item() == 0
    zeros = GLMOutput(student.logits, student.hidden, layers=(torch.zeros(2, 6, 8),) * 3)
    distance = model(zeros, teacher, torch.ones(2, 6, dtype=torch.bool))
    distance.backward()
    assert distance.item() == pytest.approx(12, rel=1e-4)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_the_projections_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = matching(seed=5).state_dict()
    torch.manual_seed(2)
    torch.testing.assert_close(matching(seed=5).state_dict(), first, rtol=0, atol=0)
    other = matching(seed=6).state_dict()
    assert not torch.equal(other["projections.0.weight"], first["projections.0.weight"])
    assert first["projections.0.weight"].std().item() == pytest.approx(8**-0.5, rel=0.3)


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [
        (8, 12, ((1, 1), (3, 5), (6, 8), (8, 12))),
        (4, 4, ((1, 1), (2, 2), (3, 3), (4, 4))),
        (2, 28, ((1, 1), (2, 28))),
        (1, 6, ((1, 6),)),
        (12, 2, ((1, 1), (12, 2))),
    ],
)
def test_default_pairs_run_evenly_from_the_lowest_to_the_last(
    student: int, teacher: int, pairs: tuple[tuple[int, int], ...]
) -> None:
    assert default_pairs(student, teacher) == pairs


@pytest.mark.parametrize("pair", [(4, 1), (1, 6)])
def test_a_layer_that_is_not_there_is_named(pair: tuple[int, int]) -> None:
    message = rf"distillation.hidden_layers: \[{pair[0]}, {pair[1]}\].*3 layers.*5"
    with pytest.raises(UserError, match=message):
        matching(hidden_layers=((1, 1), pair))
