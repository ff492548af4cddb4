"""Rows of one cache that start with prefixes of their own; see also `test_model`."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.glm.cache import KVCache

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


@settings(max_examples=25, deadline=None)
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


def test_a_cache_grows_and_keeps_what_it_holds() -> None:
    model = random_model(BASE)
    tokens = random_tokens(BASE, 1, 10)
    cache = KVCache(BASE, 1, 7, prefix=random_prefix(2))
    model(tokens[:, :5], cache=cache)
    with pytest.raises(UserError, match="holds 7 tokens; this needs 12"):
        model(tokens[:, 5:], cache=cache)
    cache.grow(12)
    assert cache.capacity == 12
    got = model(tokens[:, 5:], cache=cache).logits
    expected = model(tokens, prefix=random_prefix(2)).logits[:, 5:]
    torch.testing.assert_close(got, expected, **CLOSE)


def test_a_prefix_longer_than_the_cache_is_refused() -> None:
    cache = KVCache(BASE, 1, 3)
    with pytest.raises(UserError, match="holds 3 tokens; this prefix has 4"):
        cache.set_prefix(0, random_prefix(4))
