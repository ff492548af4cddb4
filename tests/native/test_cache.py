"""The paged cache by itself."""

import resource
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qingtan.native import Cache

Floats = NDArray[np.float32]


def numbers(groups: int, tokens: int, head_dim: int, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    keys, values = rng.standard_normal((2, groups, tokens, head_dim)).astype(np.float32)
    return keys, values


def halves(array: Floats) -> Floats:
    return array.astype(np.float16).astype(np.float32)


@settings(max_examples=40)
@given(
    groups=st.integers(1, 4),
    head_dim=st.integers(1, 8).map(lambda i: 4 * i),
    block_tokens=st.sampled_from([1, 2, 16, 64]),
    tokens=st.integers(0, 50),
    data=st.data(),
)
def test_what_was_written_is_read(
    groups: int, head_dim: int, block_tokens: int, tokens: int, data: st.DataObject
) -> None:
    needed = -(-tokens // block_tokens)
    cache = Cache(3, groups, head_dim, needed + 2, block_tokens)
    order = data.draw(st.permutations(range(needed + 2)))
    table = np.array(order, np.int32)
    given_numbers = [numbers(groups, tokens, head_dim, layer) for layer in range(3)]
    for layer, (keys, values) in enumerate(given_numbers):
        cache.write(layer, keys, values, table)
    for layer, (keys, values) in enumerate(given_numbers):
        read_keys, read_values = cache.read(layer, tokens, table)
        assert np.array_equal(read_keys, halves(keys))
        assert np.array_equal(read_values, halves(values))
    rest = np.array(order[needed:], np.int32)
    for layer in range(3):
        assert not np.stack(cache.read(layer, 2 * block_tokens, rest)).any()


def test_a_block_is_copied_in_all_layers() -> None:
    cache = Cache(2, 2, 8, 4, block_tokens=4)
    given_numbers = [numbers(2, 8, 8, layer) for layer in range(2)]
    for layer, (keys, values) in enumerate(given_numbers):
        cache.write(layer, keys, values, np.array([3, 1], np.int32))
    cache.copy(1, 0)
    cache.copy(3, 3)
    for layer, pair in enumerate(given_numbers):
        for read, array in zip(cache.read(layer, 8, np.array([3, 0], np.int32)), pair, strict=True):
            assert np.array_equal(read, halves(array))


def test_sizes() -> None:
    cache = Cache(layers=3, groups=2, head_dim=20, blocks=5, block_tokens=8)
    assert Cache.block_bytes(3, 2, 20, 8) == 3 * 2 * 2 * 8 * 20 * 2
    assert Cache.block_bytes(3, 2, 20) == 3 * 2 * 2 * 16 * 20 * 2
    assert cache.bytes == 5 * Cache.block_bytes(3, 2, 20, 8)
    assert (cache.blocks, cache.block_tokens) == (5, 8)


def resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_untouched_memory_takes_none() -> None:
    before = resident_bytes()
    cache = Cache(4, 2, 64, (2 << 30) // Cache.block_bytes(4, 2, 64))
    table = np.array([cache.blocks - 1], np.int32)
    cache.write(3, *numbers(2, 16, 64), table)
    assert cache.read(3, 16, table)[0].any()
    assert resident_bytes() - before < 16 << 20


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 2, 8, 4, 4), "layers: must lie"),
        ((2, 0, 8, 4, 4), "groups: must lie"),
        ((2, 2, 6, 4, 4), "head_dim: must be a multiple of 4"),
        ((2, 2, 8, 0, 4), "blocks: must lie"),
        ((2, 2, 8, 2**30, 4), "blocks: must lie"),
        ((2, 2, 8, 4, 12), "block_tokens: must be a power of two"),
        ((2**30, 2**30, 2**30, 1, 4), "layers, groups"),
    ],
)
def test_impossible_caches_are_refused(sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Cache(*sizes)


def test_too_large_a_cache_is_refused() -> None:
    with pytest.raises(MemoryError):
        Cache(1000, 1000, 1000, 2_000_000, 1024)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": 2}, "layer: must lie from 0 to 1"),
        ({"layer": -1}, "layer: must lie"),
        ({"keys": np.zeros((1, 5, 8), np.float32)}, "keys: must have the shape"),
        ({"values": np.zeros((2, 6, 8), np.float32)}, "values: must have the shape"),
        ({"values": np.zeros((2, 5, 8))}, "values: must be float32"),
        ({"table": np.array([0], np.int32)}, "table: must name a block"),
        ({"table": np.array([0, 4], np.int32)}, "table: must lie from 0 to 3"),
        ({"table": np.array([0, 1])}, "table: must be int32"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, object], message: str) -> None:
    cache = Cache(2, 2, 8, 4, block_tokens=4)
    keys, values = numbers(2, 5, 8)
    right = {"layer": 0, "keys": keys, "values": values, "table": np.array([0, 1], np.int32)}
    with pytest.raises(ValueError, match=f"^{message}"):
        cache.write(**{**right, **change})  # type: ignore[arg-type]
    everything = cache.read(0, 16, np.arange(4, dtype=np.int32))
    assert not np.stack(everything).any()


def test_wrong_blocks_are_refused() -> None:
    cache = Cache(2, 2, 8, 4, block_tokens=4)
    for source, target in ((0, 4), (-1, 0), (4, 0), (0, 2**40)):
        with pytest.raises(ValueError, match="must lie from 0 to 3"):
            cache.copy(source, target)
    with pytest.raises(ValueError, match="tokens: must lie"):
        cache.read(0, -1, np.zeros(1, np.int32))
    with pytest.raises(ValueError, match="table: must name"):
        cache.read(0, 5, np.zeros(1, np.int32))
