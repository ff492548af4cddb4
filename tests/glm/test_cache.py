"""Rows of one cache with prefixes of their own, and sequences on blocks; see also `test_model`."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.glm.cache import KVCache, PagedCache

from .samples import BASE, random_model, random_tokens

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
ROWS, CAPACITY = 3, 24


def random_prefix(length: int) -> torch.Tensor | None:
    if not length:
        return None
    shape = (BASE.num_hidden_layers, 2, BASE.num_key_value_heads, length, BASE.head_dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(length))


@st.composite
def plans(draw: st.DrawFn) -> list[tuple[list[int], int, tuple[int, int] | None]]:
    """Passes: rows, the tokens that each gets, and a row that then begins anew with a prefix."""
    rows = st.permutations(range(ROWS)).flatmap(
        lambda order: st.integers(1, ROWS).map(lambda count: order[:count])
    )
    renewed = st.none() | st.tuples(st.integers(0, ROWS - 1), st.integers(0, 4))
    return draw(st.lists(st.tuples(rows, st.integers(1, 4), renewed), min_size=1, max_size=5))


@settings(max_examples=25)
@given(plan=plans(), first=st.lists(st.integers(0, 4), min_size=ROWS, max_size=ROWS))
def test_every_row_goes_on_as_if_alone_with_its_prefix(
    plan: list[tuple[list[int], int, tuple[int, int] | None]], first: list[int]
) -> None:
    model = random_model(BASE)
    cache = KVCache(BASE, ROWS, CAPACITY, prefix=random_prefix(2))
    prefixes, histories = list(first), [[] for _ in range(ROWS)]
    for row, length in enumerate(first):
        cache.set_prefix(row, random_prefix(length))
    for seed, (rows, count, renewed) in enumerate(plan):
        tokens = random_tokens(BASE, len(rows), count, seed=seed)
        logits = model(tokens, cache=cache, rows=torch.tensor(rows)).logits
        for row, new, got in zip(rows, tokens.tolist(), logits, strict=True):
            histories[row] += new
            alone = model(torch.tensor([histories[row]]), prefix=random_prefix(prefixes[row]))
            torch.testing.assert_close(got, alone.logits[0, -count:], **CLOSE)
        if renewed is not None:
            row, prefixes[row] = renewed
            cache.set_prefix(row, random_prefix(prefixes[row]))
            histories[row] = []
    assert cache.prefix_lengths.tolist() == prefixes
    expected = [p + len(history) for p, history in zip(prefixes, histories, strict=True)]
    assert cache.lengths.tolist() == expected


def test_several_rows_go_back_to_their_own_lengths() -> None:
    model = random_model(BASE)
    tokens = random_tokens(BASE, 2, 8)
    cache = KVCache(BASE, 2, 12)
    cache.set_prefix(1, random_prefix(3))
    model(tokens, cache=cache)
    cache.rewind(torch.tensor([1, 0]), torch.tensor([2, 5]))
    assert cache.lengths.tolist() == [5, 3 + 2]
    other = random_tokens(BASE, 2, 3, seed=9)
    got = model(other, cache=cache).logits
    for row, kept, prefix in ((0, 5, None), (1, 2, random_prefix(3))):
        whole = torch.cat([tokens[row : row + 1, :kept], other[row : row + 1]], 1)
        expected = model(whole, prefix=prefix).logits[0, kept:]
        torch.testing.assert_close(got[row], expected, **CLOSE)


def test_a_prefix_longer_than_the_cache_is_refused() -> None:
    cache = KVCache(BASE, 1, 3)
    with pytest.raises(UserError, match="holds 3 tokens; this prefix has 4"):
        cache.set_prefix(0, random_prefix(4))


@settings(max_examples=25)
@given(
    order=st.permutations(range(10)),
    block_tokens=st.integers(1, 4),
    lengths=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    count=st.integers(1, 3),
    prefix_length=st.integers(0, 2),
)
def test_sequences_on_blocks_in_any_order_go_on_as_if_alone(
    order: list[int], block_tokens: int, lengths: tuple[int, int], count: int, prefix_length: int
) -> None:
    model = random_model(BASE)
    cache = PagedCache(BASE, 20, block_tokens)
    # Ten blocks each, of which those that the pass needs are given.
    tables = torch.tensor([order, [10 + block for block in order]])
    prefix, known = random_prefix(prefix_length), random_tokens(BASE, 2, 8)

    def run(row: slice, start: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        positions = start[:, None] + torch.arange(tokens.shape[1])
        places = positions + prefix_length
        blocks = -(-(int(places.max()) + 1) // block_tokens)
        step = cache.place(tables[row, :blocks], places, positions)
        return model(tokens, cache=step).logits

    for row, length in enumerate(lengths):
        if prefix is not None:
            cache.put_prefix(tables[row], prefix)
        if length:
            run(slice(row, row + 1), torch.tensor([0]), known[row : row + 1, :length])
    new = random_tokens(BASE, 2, count, seed=3)
    got = run(slice(2), torch.tensor(lengths), new)
    for row, length in enumerate(lengths):
        whole = torch.cat([known[row, :length], new[row]])[None]
        expected = model(whole, prefix=prefix).logits[0, length:]
        torch.testing.assert_close(got[row], expected, **CLOSE)


def test_what_float16_cannot_hold_harms_no_later_sequence() -> None:
    """The place after a short sequence still holds what an overflowing one left there."""
    model = random_model(BASE).to(torch.float16)
    tokens = random_tokens(BASE, 1, 3)
    cache = KVCache(BASE, 1, 8, torch.float16)
    bias = model.layers[0].attention.qkv.bias
    kept = bias.clone()
    with torch.no_grad():
        bias.fill_(torch.inf)
        model(random_tokens(BASE, 1, 8), cache=cache)
        bias.copy_(kept)
    cache.rewind(0, 0)
    positions = torch.arange(3)[None]
    step = cache.place(torch.tensor([[0]]), positions, positions)
    assert step.seen == 8
    got = model(tokens, cache=step).logits
    torch.testing.assert_close(got, model(tokens).logits, rtol=1e-2, atol=1e-2)
