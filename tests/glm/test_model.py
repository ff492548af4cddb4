"""The model: against plain numpy, and every way of running it against the plain one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from qingtan.errors import UserError
from qingtan.glm.cache import KVCache
from qingtan.glm.checkpoint import save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, LAST, initialize
from qingtan.glm.prefix import PrefixEncoder
from qingtan.glm.tokenizer import GLMTokenizer

from .reference import Pairs, Reference
from .samples import BASE, SHAPES, random_model, random_tokens

CLOSE = {"rtol": 0, "atol": 2e-5}
ALL_SHAPES = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def reference_of(
    model: GLM, tokenizer: GLMTokenizer, folder: Path, prefix: Pairs | None = None
) -> Reference:
    """Read a model's weights as numpy sees them in a ChatGLM3 checkpoint."""
    save_model(model, tokenizer, folder / "reference", layout="chatglm")
    config = model.config
    return Reference(
        load_file(folder / "reference" / "model.safetensors"),
        config.num_attention_heads,
        config.num_key_value_heads,
        config.head_dim,
        config.rms_norm_eps,
        config.rope_theta,
        prefix,
    )


def random_prefix(config: GLMConfig, length: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    shape = (config.num_hidden_layers, 2, config.num_key_value_heads, length, config.head_dim)
    return torch.randn(shape, generator=generator)


@ALL_SHAPES
def test_logits_are_those_of_plain_numpy(
    config: GLMConfig, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    model = random_model(config)
    tokens = random_tokens(config, 1, 20)
    expected = reference_of(model, tiny_tokenizer, tmp_path).logits(tokens[0].tolist())
    np.testing.assert_allclose(model(tokens).logits[0], expected, rtol=0, atol=1e-4)


@ALL_SHAPES
def test_a_prefix_gives_the_logits_of_plain_numpy(
    config: GLMConfig, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    model, prefix = random_model(config), random_prefix(config)
    tokens = random_tokens(config, 2, 9)
    pairs = [(layer[0].double().numpy(), layer[1].double().numpy()) for layer in prefix]
    expected = reference_of(model, tiny_tokenizer, tmp_path, pairs).logits(tokens[1].tolist())
    learnt = model(tokens, prefix=prefix).logits
    np.testing.assert_allclose(learnt[1], expected, rtol=0, atol=1e-4)
    cache = KVCache(config, 2, 12, prefix=prefix)
    pieces = [model(part, cache=cache).logits for part in tokens.split([4, 1, 4], 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), learnt, **CLOSE)
    # An emptied row keeps its prefix.
    cache.rewind(1, 0)
    again = model(tokens[1:], cache=cache, rows=torch.tensor([1])).logits
    torch.testing.assert_close(again, learnt[1:], **CLOSE)


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[list[int], int, list[int]]]:
    """Draw passes over a cache of four rows: rows in any order, tokens a row, rows to empty."""
    order = st.permutations(range(4)).flatmap(
        lambda rows: st.integers(1, 4).map(lambda count: list(rows[:count]))
    )
    return draw(
        st.lists(
            st.tuples(order, st.integers(1, 4), st.lists(st.integers(0, 3), max_size=1)),
            min_size=1,
            max_size=5,
        )
    )


@settings(max_examples=25)
@given(plan=steps())
def test_sequences_in_a_cache_do_not_disturb_each_other(
    plan: list[tuple[list[int], int, list[int]]],
) -> None:
    """Whatever rows take part in a pass, in whatever order, each goes on as if it were alone."""
    model = random_model(BASE)
    cache = KVCache(BASE, 4, 20)
    histories: list[list[int]] = [[] for _ in range(4)]
    for seed, (rows, count, emptied) in enumerate(plan):
        tokens = random_tokens(BASE, len(rows), count, seed=seed)
        logits = model(tokens, cache=cache, rows=torch.tensor(rows)).logits
        for row, new, got in zip(rows, tokens.tolist(), logits, strict=True):
            histories[row] += new
            alone = model(torch.tensor([histories[row]])).logits[0, -count:]
            torch.testing.assert_close(got, alone, **CLOSE)
        for row in emptied:
            cache.rewind(row, 0)
            histories[row] = []
    assert cache.lengths.tolist() == [len(history) for history in histories]


def test_a_row_can_go_back_some_tokens() -> None:
    model = random_model(BASE)
    tokens = random_tokens(BASE, 2, 10)
    cache = KVCache(BASE, 2, 10)
    model(tokens, cache=cache)
    cache.rewind(0, 4)
    other = random_tokens(BASE, 1, 3, seed=9)
    got = model(other, cache=cache, rows=torch.tensor([0])).logits
    expected = model(torch.cat([tokens[:1, :4], other], 1)).logits[:, 4:]
    torch.testing.assert_close(got, expected, **CLOSE)


def test_a_cache_too_small_or_given_with_a_prefix_is_an_error() -> None:
    model = random_model(BASE)
    cache = KVCache(BASE, 1, 5)
    model(random_tokens(BASE, 1, 5), cache=cache)
    with pytest.raises(UserError, match="holds 5 tokens; this needs 6"):
        model(random_tokens(BASE, 1, 1), cache=cache)
    assert cache.lengths.tolist() == [5]
    with pytest.raises(UserError, match="prefix"):
        model(random_tokens(BASE, 1, 1), cache=cache, prefix=random_prefix(BASE))


def test_some_logits_are_those_of_all() -> None:
    model = random_model(SHAPES["tied"])
    tokens = random_tokens(BASE, 3, 8)
    full = model(tokens)
    torch.testing.assert_close(model(tokens, logits_at=LAST).logits, full.logits[:, -1:], **CLOSE)
    chosen = random_tokens(BASE, 3, 8, seed=3) % 2 == 0
    some = model(tokens, logits_at=chosen)
    torch.testing.assert_close(some.logits, full.logits[chosen], **CLOSE)
    torch.testing.assert_close(some.hidden, full.hidden, **CLOSE)
    assert full.attentions == ()


@pytest.mark.parametrize("prefix_length", [0, 3])
@ALL_SHAPES
def test_attention_weights_are_shares_that_give_the_outputs(
    config: GLMConfig, prefix_length: int
) -> None:
    model = random_model(config)
    prefix = random_prefix(config, prefix_length) if prefix_length else None
    tokens = random_tokens(config, 2, 7)
    plain, shown = (model(tokens, prefix=prefix, want_attentions=want) for want in (False, True))
    torch.testing.assert_close(shown.logits, plain.logits, **CLOSE)
    assert len(shown.attentions) == config.num_hidden_layers
    for weights in shown.attentions:
        assert weights.shape == (2, config.num_attention_heads, 7, prefix_length + 7)
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]), **CLOSE)
        later = torch.ones(7, prefix_length + 7, dtype=torch.bool).triu(prefix_length + 1)
        assert not weights[..., later].any()
        assert (weights[..., ~later] > 0).all()
    cache = KVCache(config, 2, 20, prefix=prefix)
    model(tokens[:, :4], cache=cache)
    rest = model(tokens[:, 4:], cache=cache, want_attentions=True)
    torch.testing.assert_close(rest.logits, plain.logits[:, 4:], **CLOSE)
    for weights, whole in zip(rest.attentions, shown.attentions, strict=True):
        torch.testing.assert_close(weights, whole[:, :, 4:], **CLOSE)


def test_no_token_sees_a_later_one() -> None:
    model = random_model(BASE)
    tokens = random_tokens(BASE, 1, 10)
    other = tokens.clone()
    other[0, 6:] += 1
    other %= BASE.vocab_size
    one, two = model(tokens).logits[0], model(other).logits[0]
    torch.testing.assert_close(one[:6], two[:6], **CLOSE)
    assert not torch.allclose(one[6:], two[6:], atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_near(dtype: torch.dtype) -> None:
    tokens = random_tokens(BASE, 2, 12)
    exact = random_model(BASE)(tokens).logits
    model = random_model(BASE).to(dtype)
    logits = model(tokens).logits
    assert logits.dtype == dtype
    assert (logits.float() - exact).norm() / exact.norm() < 0.03
    cache = KVCache(BASE, 2, 12, dtype)
    pieces = [model(part, cache=cache).logits for part in tokens.split([6, 1, 5], 1)]
    assert (torch.cat(pieces, 1).float() - exact).norm() / exact.norm() < 0.03


@pytest.mark.parametrize("projection", [False, True])
def test_the_prefix_has_chatglms_order(projection: bool) -> None:
    encoder = PrefixEncoder(BASE, 5, projection).eval()
    flat = encoder.embedding.weight.detach().numpy()
    if projection:
        first, last = encoder.projection[0], encoder.projection[2]
        hidden = np.tanh(flat @ first.weight.numpy().T + first.bias.numpy())
        flat = hidden @ last.weight.numpy().T + last.bias.numpy()
    layers, groups, width = 2, 2, 8
    # ChatGLM: view (batch, pre, layers·2, groups, kv), permute (2, 1, 0, 3, 4), split by two.
    viewed = flat[None].reshape(1, 5, layers * 2, groups, width).transpose(2, 1, 0, 3, 4)
    ours = encoder().numpy()
    assert ours.shape == (layers, 2, groups, 5, width)
    for layer, pair in enumerate(np.split(viewed, layers)):
        for half in (0, 1):  # keys, values: (pre, batch, groups, kv)
            expected = pair[half][:, 0].transpose(1, 0, 2)
            np.testing.assert_allclose(ours[layer, half], expected, rtol=0, atol=1e-6)


@torch.inference_mode(False)
@pytest.mark.parametrize("projection", [False, True])
def test_gradient_reaches_the_prefix_alone(projection: bool) -> None:
    model = random_model(BASE).requires_grad_(False)
    encoder = PrefixEncoder(BASE, 4, projection)
    tokens = random_tokens(BASE, 2, 6)
    model(tokens, prefix=encoder()).logits.logsumexp(-1).sum().backward()
    for parameter in encoder.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_initial_weights_depend_on_the_seed_alone() -> None:
    one, same, other = (initialize(GLM(BASE), seed) for seed in (3, 3, 4))
    pairs = list(zip(one.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert all(not torch.equal(a, c) for a, _, c in pairs if a.dim() > 1)


def test_initial_weights_have_the_documented_deviations() -> None:
    model = initialize(GLM(GLMConfig.named("laptop")))
    state = dict(model.named_parameters())
    residual = (2 * 6) ** -0.5
    for name, deviation in {
        "embedding.weight": 0.02,
        "layers.3.attention.qkv.weight": 192**-0.5,
        "layers.3.attention.out.weight": 192**-0.5 * residual,
        "layers.3.mlp.gate_up.weight": 192**-0.5,
        "layers.3.mlp.down.weight": 512**-0.5 * residual,
    }.items():
        assert state[name].std().item() == pytest.approx(deviation, rel=0.03)
        assert abs(state[name].mean().item()) < 0.05 * deviation
    assert (state["final_norm.weight"] == 1).all()
    assert (state["layers.0.attention.qkv.bias"] == 0).all()
    tokens = random_tokens(model.config, 2, 30)
    loss = torch.nn.functional.cross_entropy(model(tokens).logits.flatten(0, 1), tokens.flatten())
    assert abs(loss.item() - np.log(model.config.vocab_size)) < 0.2
