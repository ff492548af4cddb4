from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from native.packed import (
    FORMATS,
    GROUP,
    QUANTIZED,
    decoded,
    from_bf16,
    levels_and_scales,
    to_bf16,
    unpacked,
)
from qingtan.native import Matrix, Pool

Floats = NDArray[np.float32]
SHAPES = [(1, 32), (16, 64), (33, 96), (40, 224)]


def weights(n: int, k: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((n, k)).astype(np.float32)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_the_bytes_lie_as_described(fmt: str, n: int, k: int, pool: Pool) -> None:
    matrix = Matrix(weights(n, k), fmt, pool)
    meaning = decoded(matrix.data, fmt, n, k)
    assert np.array_equal(meaning[:n], unpacked(matrix, pool))
    assert not meaning[n:].any()
    assert matrix.shape == (n, k)
    assert matrix.format == fmt


@pytest.mark.parametrize(("n", "k"), [(5, 1), (17, 7)])
def test_f32_takes_any_number_of_columns(n: int, k: int, pool: Pool) -> None:
    rows = weights(n, k)
    assert np.array_equal(decoded(Matrix(rows, "f32", pool).data, "f32", n, k)[:n], rows)


def test_f32_and_bf16_keep_or_round_each_number(pool: Pool) -> None:
    rows = weights(33, 50)
    assert np.array_equal(unpacked(Matrix(rows, "f32", pool), pool), rows)
    rounded = unpacked(Matrix(rows, "bf16", pool), pool)
    assert np.array_equal(rounded, from_bf16(to_bf16(rows)))


@pytest.mark.parametrize("fmt", QUANTIZED)
def test_padding_is_zero_with_scale_zero(fmt: str, pool: Pool) -> None:
    levels, scales = levels_and_scales(Matrix(weights(3, 64), fmt, pool).data, fmt, 3, 64)
    assert not levels[3:].any()
    assert not scales[3:].any()


def test_q8_is_the_nearest_number_of_127_steps(pool: Pool) -> None:
    rows = weights(40, 96)
    levels, scales = levels_and_scales(Matrix(rows, "q8", pool).data, "q8", 40, 96)
    groups = rows.reshape(40, 3, GROUP)
    assert np.array_equal(scales[:40], (np.abs(groups).max(2) / np.float32(127)).astype(np.float16))
    steps = groups / scales[:40, :, None].astype(np.float64)
    assert np.abs(steps - levels[:40]).max() < 0.5001
    assert np.abs(levels).max() == 127


def squared_error(rows: Floats, scales: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of q4 for each group, with scales (groups), as fp16 rounds them."""
    groups = rows.reshape(-1, GROUP).astype(np.float64)
    steps = scales.astype(np.float16).astype(np.float64)[:, None]
    errors: NDArray[np.float64] = np.clip(np.rint(groups / steps), -8, 7) * steps - groups
    sums: NDArray[np.float64] = (errors**2).sum(1)
    return sums


@pytest.mark.parametrize("distribution", ["standard_normal", "standard_laplace"])
def test_q4_is_close_to_the_best_of_many_scales(distribution: str, pool: Pool) -> None:
    rng = np.random.default_rng(1)
    drawn = (
        rng.standard_normal((96, 256)) if "normal" in distribution else rng.laplace(size=(96, 256))
    )
    rows = drawn.astype(np.float32)
    error = ((unpacked(Matrix(rows, "q4", pool), pool) - rows).astype(np.float64) ** 2).sum()
    groups = rows.reshape(-1, GROUP)
    most = groups[np.arange(len(groups)), np.abs(groups).argmax(1)].astype(np.float64)
    spans = [sign * span for sign in (-1, 1) for span in np.arange(5, 10, 0.05)]
    searched = np.min([squared_error(rows, most / span) for span in spans], axis=0).sum()
    # A search without the fitted scale may even lose.
    assert error < 1.02 * searched
    assert error < 0.95 * squared_error(rows, most / -8).sum()


@settings(max_examples=60)
@given(
    exponent=st.integers(-44, 4),
    fmt=st.sampled_from(QUANTIZED),
    seed=st.integers(0, 2**32 - 1),
    zeros=st.floats(0, 1),
)
def test_no_number_is_off_by_more_than_its_step(
    exponent: int, fmt: str, seed: int, zeros: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = (rng.standard_normal((3, 64)) * 10.0**exponent).astype(np.float32)
    rows[rng.random(rows.shape) < zeros] = 0
    one = Pool(1)
    result = unpacked(Matrix(rows, fmt, one), one)
    most = np.abs(rows.reshape(3, 2, GROUP)).max(2).repeat(GROUP, axis=1)
    # A step of q8 is max / 127; of q4 at most max / 6.6, and 1.2 may be cut off at its shorter
    # side. Scales below fp16's smallest, 2^-24, are nothing.
    step = most / 127 * 0.51 if fmt == "q8" else most / 6.6 * 1.3
    assert (np.abs(result - rows) <= step + 128 * 2.0**-24).all()


def test_small_weights_keep_their_greatest(pool: Pool) -> None:
    """Below 127 · 2^-14 a scale has fewer digits, yet nothing is cut off."""
    rows = weights(16, 64) * np.float32(1e-4)
    result = unpacked(Matrix(rows, "q8", pool), pool)
    assert np.abs(result - rows).max() <= np.abs(rows).max() / 127 * 0.6 + 2.0**-24


def test_every_half_and_bfloat_is_read_right(pool: Pool) -> None:
    bits = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    halves = np.where(np.isfinite(bits.view(np.float16)), bits, 0).view(np.float16)
    assert np.array_equal(
        unpacked(Matrix(halves, "f32", pool), pool).view(np.uint32),
        halves.astype(np.float32).view(np.uint32),
    )
    bfloats = np.where(np.isfinite(from_bf16(bits)), bits, 0).astype(np.uint16)
    assert np.array_equal(unpacked(Matrix(bfloats, "f32", pool), pool), from_bf16(bfloats))
    assert np.array_equal(unpacked(Matrix(bfloats, "bf16", pool), pool), from_bf16(bfloats))


@pytest.mark.parametrize("fmt", FORMATS)
def test_any_number_of_threads_packs_the_same_bytes(fmt: str) -> None:
    rows = weights(200, 96)
    one, *more = [Matrix(rows, fmt, Pool(threads)).data.copy() for threads in (1, 2, 5)]
    assert all(np.array_equal(one, other) for other in more)


def test_the_bytes_outlive_their_matrix(pool: Pool) -> None:
    data = Matrix(weights(64, 64), "q8", pool).data
    assert np.array_equal(data, Matrix(weights(64, 64), "q8", pool).data)
    assert not data.flags.writeable
    assert data.ctypes.data % 64 == 0


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused(fmt: str, bad: float, pool: Pool) -> None:
    rows = weights(40, 64)
    rows[37, 63] = bad
    with pytest.raises(ValueError, match="not finite"):
        Matrix(rows, fmt, pool)


@pytest.mark.parametrize("fmt", QUANTIZED)
def test_a_number_too_large_for_its_scale_is_refused(fmt: str, pool: Pool) -> None:
    with pytest.raises(ValueError, match="too large"):
        Matrix(np.full((1, 32), 1e8, np.float32), fmt, pool)


@pytest.mark.parametrize(
    ("rows", "fmt", "message"),
    [
        (np.zeros((4, 33), np.float32), "q8", "rows: k must be"),
        (np.zeros((4, 16), np.float32), "q4", "rows: k must be"),
        (np.zeros((4, 3), np.float32), "bf16", "rows: k must be"),
        (np.zeros((4, 0), np.float32), "f32", "rows: k must be"),
        (np.zeros((0, 32), np.float32), "q8", "rows: must not be empty"),
        (np.zeros((4, 32), np.float64), "q8", "rows: must be float32"),
        (np.zeros(32, np.float32), "q8", r"rows: must have the shape \(any, any\), not \(32\)"),
        (np.zeros((4, 64), np.float32)[:, ::2], "q8", "rows: must be contiguous"),
        (np.zeros((32, 4), np.float32).T, "q8", "rows: must be contiguous"),
        (np.zeros((4, 32), np.float32), "q5", "format: must be f32, bf16, q8 or q4, not q5"),
    ],
)
def test_what_cannot_be_packed_is_named(rows: Floats, fmt: str, message: str, pool: Pool) -> None:
    with pytest.raises(ValueError, match=message):
        Matrix(rows, fmt, pool)


MOST = {"q8": (-127, 127), "q4": (-8, 7)}


def drawn_levels(fmt: str, n: int, k: int) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    rng = np.random.default_rng(n)
    least, most = MOST[fmt]
    levels = rng.integers(least, most + 1, (n, k)).astype(np.int8)
    return levels, rng.standard_normal((n, k // GROUP)).astype(np.float16)


@pytest.mark.parametrize("fmt", QUANTIZED)
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_given_levels_are_kept_exactly(fmt: str, n: int, k: int, pool: Pool) -> None:
    levels, scales = drawn_levels(fmt, n, k)
    matrix = Matrix.from_levels(levels, scales, fmt, pool)
    assert matrix.shape == (n, k)
    steps = np.repeat(scales.astype(np.float32), GROUP, axis=1)
    assert np.array_equal(unpacked(matrix, pool), levels * steps)
    assert not decoded(matrix.data, fmt, n, k)[n:].any()


@pytest.mark.parametrize("fmt", QUANTIZED)
def test_levels_and_scales_out_of_range_are_refused(fmt: str, pool: Pool) -> None:
    least, most = MOST[fmt]
    for bad in [least - 1] + [most + 1] * (most < 127):
        levels, scales = drawn_levels(fmt, 20, 64)
        levels[19, 63] = bad
        with pytest.raises(ValueError, match="levels: must lie"):
            Matrix.from_levels(levels, scales, fmt, pool)
    for scale in (np.nan, np.inf):
        levels, scales = drawn_levels(fmt, 20, 64)
        scales[19, 1] = scale
        with pytest.raises(ValueError, match="scales must be finite"):
            Matrix.from_levels(levels, scales, fmt, pool)


@pytest.mark.parametrize(
    ("levels", "scales", "fmt", "message"),
    [
        (np.zeros((4, 64), np.int8), np.zeros((4, 2), np.float16), "f32", "format: must be q8"),
        (np.zeros((4, 64), np.uint8), np.zeros((4, 2), np.float16), "q8", "levels: must be int8"),
        (np.zeros((4, 33), np.int8), np.zeros((4, 1), np.float16), "q8", "levels: k must be"),
        (np.zeros((0, 64), np.int8), np.zeros((0, 2), np.float16), "q8", "levels: must not"),
        (np.zeros((4, 64), np.int8), np.zeros((4, 1), np.float16), "q8", "scales: must have"),
        (np.zeros((4, 64), np.int8), np.zeros((4, 2), np.float32), "q8", "scales: must be"),
    ],
)
def test_levels_that_do_not_fit_are_named(
    levels: NDArray[np.int8], scales: NDArray[np.float16], fmt: str, message: str, pool: Pool
) -> None:
    with pytest.raises(ValueError, match=message):
        Matrix.from_levels(levels, scales, fmt, pool)


@pytest.mark.parametrize("fmt", FORMATS)
def test_packed_bytes_are_used_where_they_lie(fmt: str, pool: Pool) -> None:
    packed = Matrix(weights(40, 64), fmt, pool)
    data = packed.data  # read-only
    again = Matrix.from_packed(data, fmt, 40, 64)
    assert len(data) == Matrix.packed_bytes(fmt, 40, 64)
    assert again.data.ctypes.data == data.ctypes.data
    expected = unpacked(packed, pool)
    del packed, data
    assert np.array_equal(unpacked(again, pool), expected)


def test_packed_bytes_may_be_mapped(tmp_path: Path, pool: Pool) -> None:
    packed = Matrix(weights(40, 64), "q4", pool)
    packed.data.tofile(tmp_path / "m")
    matrix = Matrix.from_packed(np.memmap(tmp_path / "m", np.uint8, "r"), "q4", 40, 64)
    (tmp_path / "m").unlink()
    assert np.array_equal(unpacked(matrix, pool), unpacked(packed, pool))


def test_packed_bytes_that_do_not_fit_are_named(pool: Pool) -> None:
    data = Matrix(weights(40, 64), "q8", pool).data
    room = np.zeros(len(data) + 128, np.uint8)
    start = -room.ctypes.data % 64
    Matrix.from_packed(room[start : start + len(data)], "q8", 40, 64)
    for array, fmt, n, k, message in (
        (data, "q8", 40, 96, "data: must have the shape"),
        (data[:-1], "q8", 40, 64, "data: must have the shape"),
        (data, "q8", 40, 63, "k: must be a whole number"),
        (data, "q8", 0, 64, "n: must lie"),
        (data, "q8", 2**40, 64, "n: must lie"),
        (data, "q9", 40, 64, "format: must be"),
        (data.view(np.int8), "q8", 40, 64, "data: must be uint8"),
        (room[start + 1 : start + 1 + len(data)], "q8", 40, 64, "data: must begin at a multiple"),
    ):
        with pytest.raises(ValueError, match=message):
            Matrix.from_packed(array, fmt, n, k)
