"""The kernels beside the products, of every table, against numpy in float64."""

from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from qingtan.native import Kernels, tables

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)


def normal(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("width", [1, 7, 16, 64, 100, 4096])
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_rms_norm(kernels: Kernels, width: int, size: float) -> None:
    x, weight = normal(5, width) * np.float32(size), normal(width, seed=1)
    out = np.full((5, width), -1, np.float32)
    kernels.rms_norm(x, weight, 1e-5, out, 1, 4)
    exact = x.astype(np.float64)
    exact = exact / np.sqrt((exact**2).mean(1, keepdims=True) + np.float32(1e-5)) * weight
    np.testing.assert_allclose(out[1:4], exact[1:4], rtol=2e-6)
    assert (out[[0, 4]] == -1).all()
    kernels.rms_norm(x, weight, 1e-5, x, 1, 4)
    assert np.array_equal(x[1:4], out[1:4])


@pytest.mark.parametrize("count", [0, 1, 15, 16, 33, 1000])
def test_add(kernels: Kernels, count: int) -> None:
    x, y = normal(count), normal(count, seed=1)
    whole = x + y
    kernels.add(x, y)
    assert np.array_equal(x, whole)


@pytest.mark.parametrize("width", [1, 5, 16, 50, 1000])
def test_silu_mul(kernels: Kernels, width: int) -> None:
    gate_up = normal(4, 2 * width) * np.float32(6)
    gate_up.reshape(-1)[: min(width, 4)] = [-100, 100, -0.0, 1e-30][: min(width, 4)]
    out = np.full((4, width), -1, np.float32)
    kernels.silu_mul(gate_up, out, 0, 3)
    gate, up = gate_up[:, :width].astype(np.float64), gate_up[:, width:].astype(np.float64)
    np.testing.assert_allclose(
        out[:3], (gate / (1 + np.exp(-gate)) * up)[:3], rtol=2e-6, atol=1e-37
    )
    assert (out[3] == -1).all()


@pytest.mark.parametrize(("head_dim", "rotary"), [(128, 64), (64, 32), (48, 24), (20, 20), (12, 6)])
def test_rotate(kernels: Kernels, head_dim: int, rotary: int) -> None:
    x = normal(3, head_dim)
    angles = np.random.default_rng(1).uniform(0, 6, rotary // 2)
    cosines, sines = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    pairs = x[:, :rotary].astype(np.float64).reshape(3, -1, 2)
    turned = (pairs[..., 0] + 1j * pairs[..., 1]) * (cosines + 1j * sines)
    exact = np.stack([turned.real, turned.imag], axis=-1).reshape(3, rotary)
    rest = x[:, rotary:].copy()
    kernels.rotate(x, cosines, sines)
    np.testing.assert_allclose(x[:, :rotary], exact, rtol=1e-6, atol=1e-6)
    assert np.array_equal(x[:, rotary:], rest)


class Cache:
    """Keys and values of `positions` tokens, float16 or int8, in shuffled blocks."""

    def __init__(
        self, positions: int, groups: int, block_tokens: int, head_dim: int, number: str = "f16"
    ) -> None:
        needed = -(-positions // block_tokens)
        shape = (needed + 2, groups, block_tokens, head_dim)
        dtype = np.int8 if number == "q8" else np.float16
        self.keys, self.values = np.zeros(shape, dtype), np.zeros(shape, dtype)
        self.table = np.random.default_rng(5).permutation(needed + 2)[:needed].astype(np.int32)
        self.scales: dict[str, Floats] = {}
        if number == "q8":
            for name in ("cache_key_scales", "cache_value_scales"):
                self.scales[name] = np.zeros(shape[:3], np.float32)

    def fill(self, kernels: Kernels, keys: Floats, values: Floats) -> None:
        """Store (positions, groups, head_dim)."""
        for position in range(len(keys)):
            kernels.store(
                keys[position], values[position], self.keys, self.values, self.table, position,
                **self.scales,
            )  # fmt: skip

    def ordered(self, array: NDArray[Number]) -> NDArray[Number]:
        """(positions of whole blocks, groups, head_dim), or without head_dim for scales."""
        return array[self.table].swapaxes(1, 2).reshape(-1, *np.delete(array.shape, [0, 2]))

    def plain(self, side: str) -> Doubles:
        """What keys or values stand for: (positions of whole blocks, groups, head_dim)."""
        numbers = self.ordered(getattr(self, side + "s")).astype(np.float64)
        if self.scales:
            numbers *= self.ordered(self.scales[f"cache_{side}_scales"])[..., None]
        return numbers


@pytest.mark.parametrize("block_tokens", [1, 4, 16])
@pytest.mark.parametrize("head_dim", [4, 20, 64])
def test_store_rounds_to_half(kernels: Kernels, block_tokens: int, head_dim: int) -> None:
    rng = np.random.default_rng(2)
    cache = Cache(9, 2, block_tokens, head_dim)
    exponents = rng.uniform(-30, 17, (2, 9, 2, head_dim))
    keys, values = (rng.choice([-1, 1], exponents.shape) * 2.0**exponents).astype(np.float32)
    keys.reshape(-1)[:6] = [65504, 65519.99, 65520, 2.0**-25, 1.5 * 2.0**-24, 2.5 * 2.0**-24]
    values.reshape(-1)[:4] = [0, -0.0, np.inf, 1 + 2.0**-11]
    wanted = [np.clip(array, -65504, 65504).astype(np.float16) for array in (keys, values)]
    cache.fill(kernels, keys, values)
    for array, rounded in zip([cache.keys, cache.values], wanted, strict=True):
        assert np.array_equal(cache.ordered(array)[:9].view(np.uint16), rounded.view(np.uint16))
        unused = np.setdiff1d(np.arange(len(array)), cache.table)
        assert not array[unused].any()


@pytest.mark.parametrize("block_tokens", [1, 4, 16])
@pytest.mark.parametrize("head_dim", [4, 20, 64])
def test_store_quantizes_each_token(kernels: Kernels, block_tokens: int, head_dim: int) -> None:
    rng = np.random.default_rng(2)
    cache = Cache(9, 2, block_tokens, head_dim, "q8")
    given = {side: normal(9, 2, head_dim, seed=i) for i, side in enumerate(["key", "value"])}
    for array in given.values():
        array *= 2.0 ** rng.uniform(-30, 10, (9, 2, 1)).astype(np.float32)
        array[0, 0, :3] = [1e9, -np.inf, 300]
        array[0, 1] = 0
        array[1, 0] = 1e-37
        array[1, 1, :4] = [127, 0.5, -1.5, 2.5]  # ties go to even
        array[1, 1, 4:] = 0
        array[2, 0, -1] = np.nan
    cache.fill(kernels, given["key"], given["value"])
    for side, array in given.items():
        clipped = np.clip(array, -65504, 65504).astype(np.float64)
        scales = cache.ordered(cache.scales[f"cache_{side}_scales"])[:9]
        exact = np.abs(clipped).max(2) / 127
        exact[1, 0] = 0
        np.testing.assert_allclose(scales, exact, rtol=1e-7)  # NaN where a number is none
        error = np.abs(cache.plain(side)[:9] - clipped)
        allowed = np.where(exact == 0, 1e-36, exact * 0.50001)
        assert (error <= allowed[..., None])[~np.isnan(exact)].all()
        numbers = cache.ordered(getattr(cache, side + "s"))[:9]
        assert np.array_equal(numbers[1, 1, :4], [127, 0, -2, 2])
        assert np.array_equal(numbers[0, 0, :3], [127, -127, 1])
        assert numbers[~np.isnan(exact)].min() >= -127
        unused = np.setdiff1d(np.arange(len(cache.keys)), cache.table)
        assert not cache.scales[f"cache_{side}_scales"][unused].any()


@pytest.mark.parametrize("head_dim", [4, 36, 128])
def test_all_tables_store_the_same_bytes(head_dim: int) -> None:
    keys, values = normal(20, 2, head_dim) * np.float32(3), normal(20, 2, head_dim, seed=1)
    stored = []
    for kernels in tables():
        cache = Cache(20, 2, 8, head_dim, "q8")
        cache.fill(kernels, keys, values)
        stored.append((cache.keys, cache.values, *cache.scales.values()))
    for other in stored[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(stored[0], other, strict=True))


def exact_attention(
    queries: Doubles, keys: Doubles, values: Doubles, start: int, scale: float
) -> Doubles:
    """Rows (rows, heads, head_dim) from position `start`, over (positions, head_dim)."""
    scores = np.einsum("rhd,pd->rhp", queries, keys) * scale
    rows = np.arange(len(queries))[:, None, None]
    scores = np.where(np.arange(len(keys)) <= start + rows, scores, -np.inf)
    weights = np.exp(scores - scores.max(2, keepdims=True))
    mixed: Doubles = np.einsum("rhp,pd->rhd", weights / weights.sum(2, keepdims=True), values)
    return mixed


@pytest.mark.parametrize("number", ["f16", "q8"])
@pytest.mark.parametrize("head_dim", [4, 20, 32, 48, 64, 128])
@pytest.mark.parametrize(("heads", "block_tokens"), [(1, 16), (3, 16), (4, 1), (16, 32)])
@pytest.mark.parametrize(("start", "rows"), [(0, 1), (0, 19), (70, 1), (130, 5), (200, 70)])
def test_attention(
    kernels: Kernels, number: str, head_dim: int, heads: int, block_tokens: int, start: int,
    rows: int,
) -> None:  # fmt: skip
    groups, group, first = 2, 1, 2
    cache = Cache(start + rows, groups, block_tokens, head_dim, number)
    shape = (start + rows, groups, head_dim)
    cache.fill(kernels, normal(*shape, seed=1), normal(*shape, seed=2))
    offset, scale = head_dim + 4, head_dim**-0.5
    queries = normal(rows + 3, offset + heads * head_dim + 8, seed=3) * np.float32(2)

    def attend(begin: int, end: int) -> Floats:
        out = np.full((rows + 3, offset + heads * head_dim + 4), -7, np.float32)
        kernels.attention(
            queries, offset, heads, cache.keys, cache.values, group, first, rows, start,
            cache.table, scale, out, begin, end, **cache.scales,
        )  # fmt: skip
        return out

    columns = slice(offset, offset + heads * head_dim)
    out = attend(0, rows)
    mine = queries[first : first + rows, columns].reshape(rows, heads, head_dim)
    keys, values = (cache.plain(side)[: start + rows, group] for side in ("key", "value"))
    exact = exact_attention(mine.astype(np.float64), keys, values, start, scale)
    result = out[first : first + rows, columns].reshape(rows, heads, head_dim)
    np.testing.assert_allclose(result, exact, rtol=1e-4, atol=3e-6)
    # Any part alone gives the same bits, and nothing else is written.
    for begin, end in {(0, 1), (rows // 2, rows), (rows - 1, rows), (rows // 3, rows // 2)}:
        part = attend(begin, end)
        written = slice(first + begin, first + end)
        assert np.array_equal(part[written, columns], out[written, columns])
        part[written, columns] = -7
        assert (part == -7).all()


def test_bytes_lose_little_of_attention(kernels: Kernels) -> None:
    """int8 beside the numbers that were stored: 1 in 127 at most, of each number."""
    cache = Cache(300, 1, 16, 64, "q8")
    keys, values = normal(300, 1, 64, seed=1), normal(300, 1, 64, seed=2)
    cache.fill(kernels, keys, values)
    queries, out = normal(1, 64, seed=3), np.zeros((1, 64), np.float32)
    kernels.attention(
        queries, 0, 1, cache.keys, cache.values, 0, 0, 1, 299, cache.table, 0.125, out, 0, 1,
        **cache.scales,
    )  # fmt: skip
    rows, *sides = (x.astype(np.float64) for x in (queries[:, None], keys[:, 0], values[:, 0]))
    exact = exact_attention(rows, sides[0], sides[1], 299, 0.125)[:, 0]
    error = np.sqrt(np.mean((out - exact) ** 2) / np.mean(exact**2))
    assert 1e-4 < error < 0.02  # not float16 in disguise, and near


@pytest.mark.parametrize("number", ["f16", "q8"])
@pytest.mark.parametrize("size", [30.0, 1000.0])
def test_attention_to_one_key_alone(kernels: Kernels, number: str, size: float) -> None:
    """Scores so far apart that all but one weight vanish, and none overflows."""
    cache = Cache(100, 1, 16, 32, number)
    keys = normal(100, 1, 32, seed=1)
    keys[37] = 5
    cache.fill(kernels, keys, normal(100, 1, 32, seed=2))
    queries = np.full((1, 32), size, np.float32)
    out = np.zeros((1, 32), np.float32)
    kernels.attention(
        queries, 0, 1, cache.keys, cache.values, 0, 0, 1, 99, cache.table, 1.0, out, 0, 1,
        **cache.scales,
    )  # fmt: skip
    assert np.array_equal(out[0], cache.plain("value")[37, 0].astype(np.float32))
