"""LoRA: against plain weights, on one base and on several adapters."""

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qingtan.errors import UserError
from qingtan.glm.cache import KVCache
from qingtan.glm.config import GLMConfig
from qingtan.glm.lora import (
    LINEARS,
    LoRAConfig,
    activate,
    activated,
    add_lora,
    linear_paths,
    lora_additions,
    lora_config,
    lora_names,
    merge_lora,
    remove_lora,
)
from qingtan.glm.model import GLM

from .adapters import random_lora
from .samples import BASE, SHAPES, random_model, random_tokens

ALL = LoRAConfig(3, 8.0, targets=LINEARS)
BLOCKS = LoRAConfig(4, 6.0)
TOKENS = random_tokens(BASE, 2, 9)
CLOSE = {"rtol": 0, "atol": 2e-5}


@pytest.fixture
def model() -> GLM:
    return random_model(BASE)


def logits(model: GLM, tokens: Tensor = TOKENS) -> Tensor:
    with torch.inference_mode():
        return model(tokens).logits.clone()


def with_sums(model: GLM, name: str) -> GLM:
    """Return a plain model of W + (alpha / rank) · B · A, computed in float64."""
    additions = lora_additions(model, name)
    plain = remove_lora(copy.deepcopy(model))
    for path, addition in additions.items():
        down, up = addition.down.weight.detach().double(), addition.up.weight.detach().double()
        weight = plain.get_submodule(path).weight
        summed = weight.detach().double() + addition.alpha / addition.rank * (up @ down)
        plain.get_submodule(path).weight = nn.Parameter(summed.to(weight.dtype))
    return plain


@given(
    rank=st.integers(1, 40),
    alpha=st.floats(0.5, 64),
    targets=st.sets(st.sampled_from(LINEARS), min_size=1),
    seed=st.integers(0, 99),
)
@settings(max_examples=15)
def test_it_is_the_sum_of_the_weights(
    rank: int, alpha: float, targets: set[str], seed: int
) -> None:
    model = random_model(BASE)
    random_lora(model, "x", LoRAConfig(rank, alpha, targets=tuple(targets)), seed)
    # The products grow with alpha, and the rounding of a sum with its terms.
    expected = logits(with_sums(model, "x"))
    assert (logits(model) - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_a_new_adapter_changes_nothing(config: GLMConfig) -> None:
    model, tokens = random_model(config), random_tokens(config, 2, 9)
    before = logits(model, tokens)
    add_lora(model, "x", ALL)
    assert torch.equal(logits(model, tokens), before)


def test_without_an_adapter_it_is_the_base_bit_for_bit(model: GLM) -> None:
    before = logits(model)
    random_lora(model, "x", ALL)
    assert not torch.equal(logits(model), before)
    activate(model, None)
    assert torch.equal(logits(model), before)
    random_lora(model, "x2", ALL)
    remove_lora(model)
    assert torch.equal(logits(model), before)
    assert lora_names(model) == []
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_an_adapter_starts_as_pefts_does_and_by_its_seed(model: GLM) -> None:
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        add_lora(model, name, ALL, seed)
    one, same, other = (lora_additions(model, name) for name in ("one", "same", "other"))
    assert list(one) == linear_paths(BASE)
    for path, addition in one.items():
        assert torch.equal(addition.down.weight, same[path].down.weight)
        assert not torch.equal(addition.down.weight, other[path].down.weight)
        assert not addition.up.weight.any()
        # Kaiming with a = √5: uniform within 1/√inputs.
        bound = addition.down.in_features**-0.5
        assert 0.7 * bound < addition.down.weight.abs().max() <= bound


def test_gradients_reach_the_additions_alone(model: GLM) -> None:
    random_lora(model, "other", BLOCKS, 1)
    random_lora(model, "x", ALL, 2)
    model.train()(TOKENS).logits.logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (".additions." in name)
        assert (parameter.grad is not None) == (".additions.x." in name), name
        assert parameter.grad is None or parameter.grad.any()


def test_one_step_of_training_lowers_the_loss_and_leaves_the_base(model: GLM) -> None:
    before = logits(model)
    add_lora(model, "x", BLOCKS)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    losses = []
    optimizer = torch.optim.SGD(trained, 0.1)
    for _ in range(4):
        loss = nn.functional.cross_entropy(model(TOKENS[:, :-1]).logits.mT, TOKENS[:, 1:])
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] > losses[1] > losses[2] > losses[3]
    with activated(model, None):
        assert torch.equal(logits(model), before)


def test_several_adapters_on_one_base_give_what_each_gives_alone(model: GLM) -> None:
    configs = {
        "law": BLOCKS,
        "poems": LoRAConfig(2, 16.0, targets=("qkv", "head")),
        "法律": LoRAConfig(7, 1.0, targets=("down",)),
    }
    alone = {None: logits(model)}
    for seed, (name, config) in enumerate(configs.items()):
        single = random_model(BASE)
        random_lora(single, name, config, seed)
        alone[name] = logits(single)
        random_lora(model, name, config, seed)
        assert lora_config(model, name) == config
    assert sorted(lora_names(model)) == sorted(configs)
    for name in ("poems", None, "法律", "law", "poems"):
        activate(model, name)
        assert torch.equal(logits(model), alone[name])


def test_activated_gives_back_what_was_active(model: GLM) -> None:
    random_lora(model, "one", BLOCKS, 1)
    random_lora(model, "two", BLOCKS, 2)
    two = logits(model)
    with activated(model, "one"):
        assert not torch.equal(logits(model), two)
        with pytest.raises(RuntimeError, match="inside"), activated(model, None):
            raise RuntimeError("inside")
        assert not torch.equal(logits(model), two)
    assert torch.equal(logits(model), two)


def test_without_adapters_there_is_nothing_to_activate(model: GLM) -> None:
    with activated(model, None):
        assert lora_names(model) == []
    with pytest.raises(UserError, match="'x' is none of the model's adapters: it has none"):
        activate(model, "x")


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-5), (torch.bfloat16, 0.03), (torch.float16, 0.004)],
    ids=str,
)
def test_merged_equals_unmerged_within_rounding(dtype: torch.dtype, tolerance: float) -> None:
    model = random_model(BASE).to(dtype)
    random_lora(model, "other", BLOCKS, 8)
    random_lora(model, "x", ALL, 7)
    expected = logits(model)
    names = set(random_model(BASE).state_dict())
    merged = merge_lora(model, "x")
    assert merged is model
    assert set(model.state_dict()) == names
    assert all(parameter.dtype == dtype for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    difference = (logits(model) - expected).abs().max() / expected.abs().max()
    assert difference < tolerance


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_on_a_small_dtype_the_additions_are_float32_and_round_once(dtype: torch.dtype) -> None:
    model = random_model(BASE).to(dtype)
    random_lora(model, "x", BLOCKS)
    layer = model.get_submodule("layers.0.mlp.down")
    x = torch.randn(5, BASE.intermediate_size, generator=torch.Generator().manual_seed(0)).to(dtype)
    addition = lora_additions(model, "x")["layers.0.mlp.down"]
    assert addition.down.weight.dtype == addition.up.weight.dtype == torch.float32
    added = addition.scale * (x.float() @ addition.down.weight.T @ addition.up.weight.T)
    with torch.inference_mode():
        assert layer(x).dtype == dtype
        torch.testing.assert_close(
            layer(x), (layer.base(x).float() + added).to(dtype), rtol=1e-2, atol=1e-5
        )
    assert logits(model).dtype == dtype


def test_under_autocast_the_additions_take_its_dtype(model: GLM) -> None:
    random_lora(model, "x", BLOCKS)
    expected = logits(model)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(TOKENS).logits
        mixed.float().logsumexp(-1).sum().backward()
    assert mixed.dtype == torch.bfloat16
    assert (mixed - expected).abs().mean() < 0.03 * expected.abs().mean()
    addition = lora_additions(model, "x")["layers.0.attention.qkv"]
    assert addition.down.weight.grad is not None
    assert addition.down.weight.grad.dtype == torch.float32


def test_a_tied_head_has_an_adapter_but_is_not_merged() -> None:
    model = random_model(SHAPES["tied"])
    embedding = model.embedding.weight
    before = embedding.detach().clone()
    random_lora(model, "x", LoRAConfig(2, 4.0, targets=("qkv", "head")))
    unmerged = logits(model)
    with pytest.raises(UserError, match="'x' adds to the head, which shares its weight"):
        merge_lora(model, "x")
    assert torch.equal(logits(model), unmerged)
    remove_lora(model)
    assert model.head.weight is model.embedding.weight is embedding
    assert torch.equal(embedding, before)


def test_with_a_cache_the_logits_are_the_same(model: GLM) -> None:
    random_lora(model, "x", ALL)
    expected = logits(model)
    cache = KVCache(BASE, 2, 9)
    with torch.inference_mode():
        pieces = [model(part, cache=cache).logits for part in TOKENS.split([5, 1, 3], 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), expected, **CLOSE)


def test_dropout_is_of_training_alone(model: GLM) -> None:
    random_lora(model, "x", LoRAConfig(4, 8.0, dropout=0.5))
    assert torch.equal(logits(model), logits(model))
    model.train()
    assert not torch.equal(logits(model), logits(model))
    with activated(model, None):
        assert torch.equal(logits(model), logits(model))


def test_activation_checkpointing_gives_the_same_gradients(model: GLM) -> None:
    random_lora(model, "x", BLOCKS)
    model.train()
    gradients = []
    for checkpointing in (False, True):
        model.activation_checkpointing = checkpointing
        model.zero_grad()
        model(TOKENS).logits.logsumexp(-1).sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == 2 * 4 * BASE.num_hidden_layers
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain, **CLOSE)


@pytest.mark.parametrize("name", ["", "a.b", "train", "keys"])
def test_names_that_cannot_be_used(model: GLM, name: str) -> None:
    before = set(model.state_dict())
    with pytest.raises(UserError, match="cannot be used"):
        add_lora(model, name, BLOCKS)
    assert set(model.state_dict()) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: add_lora(m, "x", BLOCKS), "'x' is there already"),
        (lambda m: add_lora(m, "y", LoRAConfig(0, 1.0)), "rank 0 is below 1"),
        (lambda m: add_lora(m, "y", LoRAConfig(1, 0.0)), r"alpha 0\.0"),
        (lambda m: add_lora(m, "y", LoRAConfig(1, float("nan"))), "alpha nan"),
        (lambda m: add_lora(m, "y", LoRAConfig(1, 1.0, 1.0)), r"dropout 1\.0"),
        (lambda m: add_lora(m, "y", LoRAConfig(1, 1.0, targets=("q",))), "targets names 'q'"),
        (lambda m: add_lora(m, "y", LoRAConfig(1, 1.0, targets=())), "targets names nothing"),
        (lambda m: activate(m, "y"), "'y' is none of the model's adapters: x"),
        (lambda m: merge_lora(m, "y"), "'y' is none of"),
        (lambda m: lora_additions(m, "y"), "'y' is none of"),
        (lambda m: lora_config(m, "y"), "'y' is none of"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(
    model: GLM, change: Callable[[GLM], object], message: str
) -> None:
    random_lora(model, "x", BLOCKS)
    before = logits(model)
    with pytest.raises(UserError, match=message):
        change(model)
    assert lora_names(model) == ["x"]
    assert torch.equal(logits(model), before)
