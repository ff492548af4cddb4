"""quantize, matmul and embed of every table against numpy in float64."""

import numpy as np
import pytest
from numpy.typing import NDArray

from native.packed import (
    FORMATS,
    GROUP,
    QUANTIZED,
    Activations,
    from_bf16,
    largest,
    product,
    to_bf16,
    unpacked,
)
from qingtan.native import Kernels, Matrix, Pool

Floats = NDArray[np.float32]
ROWS = [1, 2, 3, 4, 5, 8, 17, 64]
SHAPES = [(16, 32), (1, 64), (40, 96), (56, 416), (130, 1056)]


def normal(rows: int, columns: int, seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def error_of(
    out: Floats, given: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Against the product in float64, in proportion to the sum of magnitudes."""
    whole = np.abs(given) @ np.abs(weights.T)
    error: NDArray[np.float64] = np.abs(out - given @ weights.T) / np.maximum(whole, 1e-300)
    return error


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("n", "k"), SHAPES)
@pytest.mark.parametrize("fmt", QUANTIZED)
def test_integer_products(
    kernels: Kernels, fmt: str, n: int, k: int, rows: int, pool: Pool
) -> None:
    matrix = Matrix(normal(n, k, 1), fmt, pool)
    given = Activations(kernels, normal(rows, k, 2))
    out = product(kernels, matrix, given)
    weights = unpacked(matrix, pool).astype(np.float64)
    assert error_of(out, given.rounded(), weights).max() < 1e-6
    # Against activations as they were: as far as rounding to 127 steps leads.
    assert error_of(out, given.x.astype(np.float64), weights).max() < 0.02


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("n", "k"), [*SHAPES, (40, 34), (7, 2)])
@pytest.mark.parametrize("fmt", ["f32", "bf16"])
def test_float_products(kernels: Kernels, fmt: str, n: int, k: int, rows: int, pool: Pool) -> None:
    matrix = Matrix(normal(n, k, 3), fmt, pool)
    given = Activations(kernels, normal(rows, k, 4))
    out = product(kernels, matrix, given)
    weights = unpacked(matrix, pool).astype(np.float64)
    exact = error_of(out, given.x.astype(np.float64), weights).max()
    if fmt == "bf16" and exact > 1e-5:  # instructions for bf16 round the activations too
        rounded = from_bf16(to_bf16(given.x)).astype(np.float64)
        assert error_of(out, rounded, weights).max() < 1e-5
    else:
        assert exact < 1e-5


def test_f32_takes_odd_numbers_of_columns(kernels: Kernels, pool: Pool) -> None:
    weights, x = normal(19, 33, 5), normal(6, 33, 6)
    out = product(kernels, Matrix(weights, "f32", pool), Activations(kernels, x))
    assert error_of(out, x.astype(np.float64), weights.astype(np.float64)).max() < 1e-6


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_way_to_share_the_work_gives_the_same_bits(
    kernels: Kernels, fmt: str, pool: Pool
) -> None:
    n, k, rows = 120, 416, 37
    matrix = Matrix(normal(n, k, 7), fmt, pool)
    x = normal(rows, k, 8)
    whole = product(kernels, matrix, Activations(kernels, x))
    for begin in range(0, 8, 3):
        for end in range(begin, 9, 2):
            part = product(kernels, matrix, Activations(kernels, x), begin, end)
            columns = slice(16 * begin, 16 * end)
            assert np.array_equal(part[:, columns], whole[:, columns])
            part[:, columns] = -1
            assert (part == -1).all()
    for start, count in [(0, 1), (3, 2), (5, 3), (11, 4), (20, 17), (36, 1)]:
        some = Activations(kernels, x[start : start + count].copy())
        assert np.array_equal(product(kernels, matrix, some), whole[start : start + count])


@pytest.mark.parametrize("fmt", FORMATS)
def test_bias_is_added_and_columns_beyond_are_left_alone(
    kernels: Kernels, fmt: str, pool: Pool
) -> None:
    matrix = Matrix(normal(35, 64, 9), fmt, pool)
    given = Activations(kernels, normal(5, 64, 10))
    bias = normal(1, 35, 11)[0]
    plain = product(kernels, matrix, given)
    moved = product(kernels, matrix, given, bias=bias, columns=50)
    np.testing.assert_allclose(moved[:, :35], plain + bias, rtol=1e-5, atol=1e-5)
    assert (moved[:, 35:] == -1).all()


@pytest.mark.parametrize("fmt", QUANTIZED)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_greatest_numbers_do_not_overflow(
    kernels: Kernels, fmt: str, sign: int, pool: Pool
) -> None:
    rng = np.random.default_rng(12)
    signs = rng.choice([-1.0, 1.0], 1024).astype(np.float32)
    matrix = Matrix(np.tile(signs, (20, 1)), fmt, pool)
    given = Activations(kernels, np.tile(sign * signs, (3, 1)))
    # With AVX2 no two neighbours are more than 128 together, and 64 each is the worst.
    assert (np.abs(given.q) == (64 if kernels.name == "avx2" else 127)).all()
    out = product(kernels, matrix, given)
    weights = unpacked(matrix, pool).astype(np.float64)
    np.testing.assert_allclose(out, given.rounded() @ weights.T, rtol=1e-5)


@pytest.mark.parametrize("fmt", FORMATS)
def test_zeros_give_zeros(kernels: Kernels, fmt: str, pool: Pool) -> None:
    zeros = np.zeros((18, 64), np.float32)
    some = normal(18, 64, 13)
    assert not product(kernels, Matrix(zeros, fmt, pool), Activations(kernels, some)).any()
    assert not product(kernels, Matrix(some, fmt, pool), Activations(kernels, zeros)).any()


def test_no_rows_are_no_work(kernels: Kernels, pool: Pool) -> None:
    matrix = Matrix(normal(16, 32, 14), "q8", pool)
    assert product(kernels, matrix, Activations(kernels, normal(0, 32, 0))).shape == (0, 16)


@pytest.mark.parametrize("size", [1e-42, 1e-36, 1e-20, 1.0, 1e20, 3e37])
def test_quantize_rounds_to_the_nearest_of_127_steps(kernels: Kernels, size: float) -> None:
    x = (np.random.default_rng(15).uniform(-1, 1, (7, 160)) * size).astype(np.float32)
    x[2, :32] = 0
    given = Activations(kernels, x)
    groups = x.reshape(7, 5, GROUP).astype(np.float64)
    levels = given.q.reshape(7, 5, GROUP).astype(np.int64)
    scales = given.scales.astype(np.float64)
    assert np.array_equal(given.sums, levels.sum(2))
    assert np.abs(levels).max() <= 127
    assert not levels[2, 0].any()
    assert scales[2, 0] == 0
    error = np.abs(levels * scales[:, :, None] - groups)
    assert (error <= 0.5001 * scales[:, :, None] + 2e-36).all()
    if size > 1e-30:
        np.testing.assert_allclose(scales, largest(groups, kernels) / 127, rtol=1e-6)


def test_quantize_works_on_its_rows_only(kernels: Kernels) -> None:
    x = normal(9, 96, 16)
    whole = Activations(kernels, x)
    q, scales = np.full((9, 96), -128, np.int8), np.full((9, 3), -1, np.float32)
    sums = np.full((9, 3), -9999, np.int32)
    kernels.quantize(x, q, scales, sums, 4, 7)
    assert np.array_equal(q[4:7], whole.q[4:7])
    assert np.array_equal(scales[4:7], whole.scales[4:7])
    assert np.array_equal(sums[4:7], whole.sums[4:7])
    others = [0, 1, 2, 3, 7, 8]
    assert (q[others] == -128).all()
    assert (scales[others] == -1).all()
    assert (sums[others] == -9999).all()


@pytest.mark.parametrize("fmt", FORMATS)
def test_embed_is_a_row_of_the_matrix(kernels: Kernels, fmt: str, pool: Pool) -> None:
    matrix = Matrix(normal(50, 96, 17), fmt, pool)
    rows = unpacked(matrix, pool)
    for row in (0, 1, 15, 16, 33, 49):
        out = np.empty(96, np.float32)
        kernels.embed(matrix, row, out)
        assert np.array_equal(out, rows[row])
