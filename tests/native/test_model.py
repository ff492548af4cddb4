"""The model in C++ against plain numpy in float64, and itself in other batches and parts."""

from dataclasses import replace

import numpy as np
import pytest
from tests.native import reference as ref
from tests.native.reference import (
    PLAIN,
    Chunk,
    Doubles,
    Floats,
    Native,
    Pairs,
    Shape,
    forward,
    low_rank,
    native,
    packed,
)

from qingtan.native import Cache, Kernels, Matrix, Pool

# Against weights, and for q8 and q4 activations too, as the formats round them. What lies between
# two fp16 numbers (in the cache), or two steps of q8, may go to the other one. bf16 weights
# multiply float32 or, with AVX512_BF16, bf16 activations.
TOLERANCES = {"f32": 1e-4, "bf16": 3e-2, "q8": 1e-2, "q4": 1e-2}


def tokens_of(count: int, seed: int = 0, shape: Shape = PLAIN) -> list[int]:
    return [int(t) for t in np.random.default_rng(seed).integers(0, shape.vocabulary, count)]


def table_of(first: int, tokens: int) -> list[int]:
    """Blocks from `first` on, the last one first."""
    return list(range(first, first - (-tokens // ref.BLOCK_TOKENS)))[::-1]


def error(logits: Floats, exact: Doubles) -> float:
    """The largest, relative to the logits' scale."""
    return float(np.abs(logits - exact).max() / exact.std())


@pytest.mark.parametrize("fmt", ["f32", "bf16", "q8", "q4"])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_logits_in_each_format(kernels: Kernels, pool: Pool, fmt: str, count: int) -> None:
    model = native(PLAIN, kernels, pool, fmt)
    tokens = tokens_of(count)
    (logits,), _ = forward(model, model.cache(), [Chunk(tokens, table_of(3, count))])
    exact, _ = ref.reference(PLAIN, model.weights, tokens, formats=fmt, kernels=kernels)
    # A number half way between two steps may go to the other, and the rows from there on with it.
    rows = np.abs(logits - exact).max(1) / exact.std()
    assert np.median(rows) < TOLERANCES[fmt]


SHAPES = {
    "tied": replace(PLAIN, tied=True),
    "without bias": replace(PLAIN, bias=False),
    "one group": replace(PLAIN, heads=5, groups=1),
    "a group each": replace(PLAIN, heads=3, groups=3),
    "narrow heads": replace(PLAIN, head_dim=4),
    "heads of 20": replace(PLAIN, head_dim=20),
    "wide heads": replace(PLAIN, head_dim=128, heads=4),
    "odd sizes": replace(PLAIN, hidden=50, ffn=33, vocabulary=101),
    "another base": replace(PLAIN, theta=500_000.0, epsilon=1e-3),
    "one layer": replace(PLAIN, layers=1),
}


@pytest.mark.parametrize("name", SHAPES)
def test_logits_of_each_shape(kernels: Kernels, pool: Pool, name: str) -> None:
    shape = SHAPES[name]
    model = native(shape, kernels, pool)
    tokens = tokens_of(35, shape=shape)
    (logits,), _ = forward(model, model.cache(), [Chunk(tokens, table_of(0, 35))])
    exact, _ = ref.reference(shape, model.weights, tokens)
    assert error(logits, exact) < 2e-4


def test_without_rounding_of_the_cache(pool: Pool) -> None:
    model = native(PLAIN, None, pool)
    tokens = tokens_of(50)
    (logits,), _ = forward(model, model.cache(), [Chunk(tokens, table_of(0, 50))])
    exact, _ = ref.reference(PLAIN, model.weights, tokens, round_cache=False)
    assert error(logits, exact) < 3e-3


def test_formats_may_be_mixed(kernels: Kernels, pool: Pool) -> None:
    formats = {
        "embedding": "bf16", "head": "f32", "qkv": "q4", "out": "q8", "gate_up": "f32",
        "down": "bf16",
    }  # fmt: skip
    model = native(PLAIN, kernels, pool, formats)
    tokens = tokens_of(20)
    (logits,), _ = forward(model, model.cache(), [Chunk(tokens, table_of(0, 20))])
    exact, _ = ref.reference(PLAIN, model.weights, tokens, formats=formats, kernels=kernels)
    assert error(logits, exact) < 3e-2


def mixed_batch(model: Native, cache: Cache) -> list[Chunk]:
    """A prompt, its middle, and two sequences that decode, of which one has a long past."""
    long, short, chat = tokens_of(200, 1), tokens_of(9, 2), tokens_of(60, 3)
    past = [
        Chunk(long[:-1], table_of(0, 200)),
        Chunk(short[:-1], table_of(30, 9)),
        Chunk(chat[:21], table_of(40, 60)),
    ]
    forward(model, cache, past)
    return [
        Chunk(tokens_of(70, 4), table_of(60, 70), hidden=True),
        Chunk(long[-1:], table_of(0, 200), start=199),
        Chunk(chat[21:], table_of(40, 60), start=21, hidden=True),
        Chunk(short[-1:], table_of(30, 9), start=8),
    ]


@pytest.mark.parametrize("fmt", ["f32", "bf16", "q8", "q4"])
def test_a_batch_gives_what_its_sequences_give_alone(
    kernels: Kernels, pool: Pool, fmt: str
) -> None:
    model = native(PLAIN, kernels, pool, fmt)
    cache = model.cache()
    together, hidden = forward(model, cache, mixed_batch(model, cache))
    cache = model.cache()
    sums = []
    for chunk, logits in zip(mixed_batch(model, cache), together, strict=True):
        (alone,), sum_alone = forward(model, cache, [chunk])
        assert np.array_equal(alone, logits)
        sums += list(sum_alone)
    assert np.array_equal(np.stack(sums), hidden)


@pytest.mark.parametrize("fmt", ["f32", "q8"])
@pytest.mark.parametrize("sizes", [[1] * 75, [64, 11], [10, 1, 40, 24]])
def test_chunks_give_what_the_whole_prompt_gives(
    kernels: Kernels, pool: Pool, fmt: str, sizes: list[int]
) -> None:
    model = native(PLAIN, kernels, pool, fmt)
    whole = Chunk(tokens_of(75), table_of(5, 75))
    (expected,), _ = forward(model, model.cache(), [whole])
    cache = model.cache()
    ends = np.cumsum(sizes)
    parts = [whole.part(int(end) - size, int(end)) for size, end in zip(sizes, ends, strict=True)]
    logits = np.concatenate([forward(model, cache, [part])[0][0] for part in parts])
    assert np.array_equal(logits, expected)


# So wide that every operator is cut into parts.
LARGE = replace(PLAIN, hidden=256, heads=12, head_dim=32, ffn=512, vocabulary=1500, layers=2)


@pytest.mark.parametrize("fmt", ["f32", "q8", "q4"])
def test_any_number_of_threads_gives_the_same(fmt: str) -> None:
    results = []
    for threads in (1, 2, 3):
        model = native(LARGE, None, Pool(threads), fmt)
        adapter = low_rank(model, 8, seed=1)
        model.model.add_adapter(packed(adapter, model.pool))
        cache = model.cache()
        batch = mixed_batch(model, cache)
        batch[0] = replace(batch[0], adapter=0)
        logits, hidden = forward(model, cache, batch)
        results.append((np.concatenate(logits), hidden))
    for others, other_hidden in results[1:]:
        assert np.array_equal(others, results[0][0])
        assert np.array_equal(other_hidden, results[0][1])


def test_only_the_rows_that_are_wanted(pool: Pool) -> None:
    model = native(PLAIN, None, pool)
    tokens = np.array(tokens_of(12), np.int32)
    sequences, tables = np.array([[12, 0, 0, -1]], np.int32), np.array([[1, 0]], np.int32)
    (expected,), _ = forward(model, model.cache(), [Chunk(list(tokens), [1, 0])])
    rows = np.array([11, 0, 5, 11], np.int32)
    logits = np.zeros((4, PLAIN.vocabulary), np.float32)
    nothing, none = np.zeros(0, np.int32), np.zeros((0, PLAIN.hidden), np.float32)
    model.model.forward(tokens, sequences, tables, rows, model.cache(), logits, nothing, none)
    assert np.array_equal(logits, expected[rows])


def test_hidden_states_are_added_up(kernels: Kernels, pool: Pool) -> None:
    model = native(PLAIN, kernels, pool)
    tokens = [tokens_of(count, count) for count in (7, 1, 30)]
    asked = [True, False, True]
    chunks = [
        Chunk(some, table_of(10 * i, 30), hidden=wish)
        for i, (some, wish) in enumerate(zip(tokens, asked, strict=True))
    ]
    _, hidden = forward(model, model.cache(), chunks)
    for row, some in zip(hidden, (tokens[0], tokens[2]), strict=True):
        exact = ref.reference(PLAIN, model.weights, some)[1].sum(0)
        np.testing.assert_allclose(row, exact, atol=2e-5 * np.abs(exact).max())


@pytest.mark.parametrize("length", [1, 8, 13])
def test_a_prefix_is_seen_and_takes_no_rotary_position(
    kernels: Kernels, pool: Pool, length: int
) -> None:
    model = native(PLAIN, kernels, pool)
    prefix_shape = (PLAIN.layers, 2, PLAIN.groups, length, PLAIN.head_dim)
    prefix = np.random.default_rng(8).standard_normal(prefix_shape).astype(np.float32)
    tokens, cache, table = tokens_of(30), model.cache(), table_of(2, 30 + length)
    for layer, (keys, values) in enumerate(prefix):
        cache.write(layer, keys, values, np.array(table, np.int32))
    whole = Chunk(tokens, table, prefix=length)
    logits = np.concatenate(
        [forward(model, cache, [whole.part(a, b)])[0][0] for a, b in ((0, 17), (17, 18), (18, 30))]
    )
    exact, _ = ref.reference(PLAIN, model.weights, tokens, prefix)
    assert error(logits, exact) < 2e-4


def merged(weights: dict[str, Floats], adapter: Pairs) -> dict[str, Floats]:
    """B · A added to the weights."""
    result = dict(weights)
    for i, layer in enumerate(adapter):
        for place, (down, up) in layer.items():
            added = up.astype(np.float64) @ down
            result[f"{i}.{place}"] = (weights[f"{i}.{place}"] + added).astype(np.float32)
    return result


@pytest.mark.parametrize(
    ("rank", "places"), [(1, ref.PLACES), (8, ("qkv",)), (19, ref.PLACES), (4, ("out", "down"))]
)
def test_an_adapter_is_added_to_the_weights(
    kernels: Kernels, pool: Pool, rank: int, places: tuple[str, ...]
) -> None:
    model = native(PLAIN, kernels, pool)
    adapter = low_rank(model, rank, 2, places)
    assert model.model.add_adapter(packed(adapter, pool)) == 0
    tokens = tokens_of(45)
    (logits,), _ = forward(model, model.cache(), [Chunk(tokens, table_of(0, 45), adapter=0)])
    exact, _ = ref.reference(PLAIN, merged(model.weights, adapter), tokens)
    assert error(logits, exact) < 2e-4


@pytest.mark.parametrize("fmt", ["f32", "q8"])
def test_adapters_in_one_batch_do_not_mix(kernels: Kernels, pool: Pool, fmt: str) -> None:
    model = native(PLAIN, kernels, pool, fmt)
    nothing: list[dict[str, tuple[Matrix, Matrix] | None]] = [{"qkv": None}] * PLAIN.layers
    for adapter in (low_rank(model, 8, 1), low_rank(model, 3, 2, ("qkv", "down"))):
        model.model.add_adapter(packed(adapter, pool))
    assert model.model.add_adapter(nothing) == 2
    counts, adapters = [5, 1, 40, 1, 33, 2, 1], [0, 0, 1, -1, 1, 2, 0]
    chunks = [
        Chunk(tokens_of(count, i), table_of(10 * i, 40), adapter=adapter)
        for i, (count, adapter) in enumerate(zip(counts, adapters, strict=True))
    ]
    together, _ = forward(model, model.cache(), chunks)
    for chunk, logits in zip(chunks, together, strict=True):
        (alone,), _ = forward(model, model.cache(), [chunk])
        assert np.array_equal(alone, logits)
    (plain,), _ = forward(model, model.cache(), [replace(chunks[5], adapter=-1)])
    assert np.array_equal(plain, together[5])
    (other,), _ = forward(model, model.cache(), [replace(chunks[2], adapter=0)])
    assert not np.array_equal(other, together[2])


def test_bytes_count_each_matrix_once(pool: Pool) -> None:
    shape = replace(PLAIN, tied=True)
    model = native(shape, None, pool, "q8")
    names = ["embedding", *(f"{i}.{place}" for i in range(3) for place in ref.PLACES)]
    blocks = {name: -(-len(model.weights[name]) // 16) for name in names}
    groups = {name: model.weights[name].shape[1] // 32 for name in names}
    assert model.model.bytes == sum(blocks[name] * groups[name] * 544 for name in names)
    before = model.model.bytes
    model.model.add_adapter(packed(low_rank(model, 16, 1, ("out",)), pool))
    assert model.model.bytes == before + 3 * 16 * 4 * (96 + 64)


def test_a_model_keeps_what_it_was_given() -> None:
    """Matrices, layers and the pool are gone for everyone else."""
    tokens = tokens_of(10)
    model = native(PLAIN, None, Pool(2), "q8")
    del model.pool
    (logits,), _ = forward(model, model.cache(), [Chunk(tokens, table_of(0, 10))])
    filler = [np.full(100_000, 255, np.uint8) for _ in range(20)]
    (again,), _ = forward(model, model.cache(), [Chunk(tokens, table_of(0, 10))])
    assert np.array_equal(logits, again)
    assert len(filler) == 20
