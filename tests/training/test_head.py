"""Head and cross-entropy in one against torch's own, values and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from qingtan.glm.config import GLMConfig
from qingtan.glm.lora import LoRAConfig, add_lora
from qingtan.glm.model import GLM, initialize
from qingtan.training.head import score_head, score_likelihood


def head_cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    head = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    head.weight = torch.nn.Parameter(weight) if type(weight) is Tensor else weight
    (loss,) = score_head(head, hidden, score_likelihood(labels)).float()
    return loss


def draw(tokens: int, width: int, vocabulary: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    hidden = torch.randn(tokens, width, generator=generator)
    weight = torch.randn(vocabulary, width, generator=generator)
    return hidden, weight, torch.randint(vocabulary, (tokens,), generator=generator)


def both(hidden: Tensor, weight: Tensor, labels: Tensor) -> list[tuple[Tensor, ...]]:
    results = []
    for ours in (True, False):
        h, w = hidden.clone().requires_grad_(), torch.nn.Parameter(weight.clone())
        if ours:
            loss = head_cross_entropy(h, w, labels)
        else:
            loss = F.cross_entropy((h @ w.T).float(), labels, reduction="sum")
        (loss / 7).backward()
        results.append((loss.detach(), h.grad, w.grad))
    return results


# Less than a chunk, chunks and a rest, a vocabulary larger than a block, and no token at all.
@pytest.mark.parametrize("shape", [(5, 8, 20), (1300, 16, 700), (3, 4, 300_000), (0, 8, 20)])
def test_values_and_gradients_are_those_of_torch(shape: tuple[int, int, int]) -> None:
    ours, theirs = both(*draw(*shape))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
        assert one.dtype == torch.float32


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, weight, labels = draw(5, 8, 20)
    frozen = torch.nn.Parameter(weight, requires_grad=False)
    head_cross_entropy(hidden.requires_grad_(), frozen, labels).backward()
    assert frozen.grad is None
    assert hidden.grad is not None


def test_a_head_with_an_adapter_is_scored_too() -> None:
    model = initialize(GLM(GLMConfig.named("mini")))
    add_lora(model, "one", LoRAConfig(4, 8.0, targets=("head",)))
    torch.nn.init.normal_(model.head.additions["one"].up.weight)
    hidden, _, labels = draw(700, 32, 1024)
    gradients = []
    for ours in (True, False):
        inputs = hidden.clone().requires_grad_()
        model.zero_grad()
        if ours:
            loss = score_head(model.head, inputs, score_likelihood(labels))[0]
        else:
            loss = F.cross_entropy(model.head(inputs), labels, reduction="sum")
        loss.backward()
        up = model.head.additions["one"].up.weight.grad
        gradients.append((loss.detach().float(), inputs.grad, up.clone()))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_products_are_in_the_autocast_type() -> None:
    drawn = draw(600, 16, 50)
    exact = both(*drawn)[0]
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = both(*drawn)
    for one, other, precise in zip(ours, theirs, exact, strict=True):
        assert one.dtype == torch.float32
        scale = precise.abs().max()
        assert 1e-6 < (one - precise).abs().max() / scale < 0.03
        torch.testing.assert_close(one, other, rtol=0, atol=0.03 * float(scale))


def test_extreme_logits_give_finite_numbers() -> None:
    hidden, weight, labels = draw(4, 8, 20)
    for tensor in both(hidden * 1e4, weight, labels)[0]:
        assert torch.isfinite(tensor).all()
