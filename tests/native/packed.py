"""What the packed formats hold, read from their bytes as native/kernels.h describes them."""

import numpy as np
from numpy.typing import NDArray

from qingtan.native import Kernels, Matrix, Pool

Floats = NDArray[np.float32]
FORMATS = ["f32", "bf16", "q8", "q4"]
QUANTIZED = ["q8", "q4"]
BLOCK_ROWS, GROUP = 16, 32


def decoded(data: NDArray[np.uint8], fmt: str, n: int, k: int) -> Floats:
    """The packed bytes as a matrix (n rounded up to whole blocks, k)."""
    blocks = -(-n // BLOCK_ROWS)
    if fmt == "f32":
        columns = data.view(np.float32).reshape(blocks, k, BLOCK_ROWS)
        return columns.transpose(0, 2, 1).reshape(-1, k)
    if fmt == "bf16":
        pairs = data.view(np.uint16).reshape(blocks, k // 2, BLOCK_ROWS, 2)
        return from_bf16(pairs.transpose(0, 2, 1, 3).reshape(-1, k))
    levels, scales = levels_and_scales(data, fmt, n, k)
    return (levels * scales[:, :, None].astype(np.float32)).reshape(-1, k).astype(np.float32)


def levels_and_scales(
    data: NDArray[np.uint8], fmt: str, n: int, k: int
) -> tuple[NDArray[np.int32], NDArray[np.float16]]:
    """Whole numbers (rows, groups, 32) and scales (rows, groups) of q8 or q4."""
    blocks, groups = -(-n // BLOCK_ROWS), k // GROUP
    vectors = 8 if fmt == "q8" else 4
    whole = data.reshape(blocks, groups, vectors * 64 + 2 * BLOCK_ROWS)
    stored = whole[:, :, : vectors * 64].reshape(blocks, groups, vectors, BLOCK_ROWS, 4)
    if fmt == "q4":
        stored = np.concatenate([stored & 15, stored >> 4], axis=2)
    levels = stored.astype(np.int32) - (128 if fmt == "q8" else 8)
    by_row = levels.transpose(0, 3, 1, 2, 4).reshape(-1, groups, GROUP)
    scales = np.ascontiguousarray(whole[:, :, vectors * 64 :]).view(np.float16)
    return by_row, scales.transpose(0, 2, 1).reshape(-1, groups)


def from_bf16(bits: NDArray[np.uint16]) -> Floats:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def to_bf16(x: Floats) -> NDArray[np.uint16]:
    """To nearest, ties to even, for finite numbers."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def unpacked(matrix: Matrix, pool: Pool) -> Floats:
    out = np.empty(matrix.shape, np.float32)
    matrix.unpack(out, pool)
    return out


def largest(groups: NDArray[np.float64], kernels: Kernels | None) -> NDArray[np.float64]:
    """What becomes 127 in groups (…, 32): the largest number; with AVX2 of the sums of pairs."""
    sizes = np.abs(groups)
    if kernels is not None and kernels.name == "avx2":
        sizes = sizes.reshape(*groups.shape[:-1], GROUP // 2, 2).sum(-1)
    most: NDArray[np.float64] = sizes.max(-1)
    return most


class Activations:
    """Rows (rows, k) and their quantized form, by one table."""

    def __init__(self, kernels: Kernels, x: Floats) -> None:
        rows, k = x.shape
        self.x = x
        self.q = np.zeros((rows, k), np.int8)
        self.scales = np.zeros((rows, k // GROUP), np.float32)
        self.sums = np.zeros((rows, k // GROUP), np.int32)
        if k % GROUP == 0:
            kernels.quantize(x, self.q, self.scales, self.sums, 0, rows)

    def rounded(self) -> NDArray[np.float64]:
        """What the integer products compute with."""
        steps: NDArray[np.float64] = np.repeat(self.scales, GROUP, axis=1).astype(np.float64)
        return np.multiply(self.q, steps, dtype=np.float64)


def product(
    kernels: Kernels,
    matrix: Matrix,
    given: Activations,
    begin: int = 0,
    end: int | None = None,
    bias: Floats | None = None,
    columns: int | None = None,
) -> Floats:
    """The product (rows, columns), −1 where nothing was written."""
    n, _ = matrix.shape
    out = np.full((len(given.x), columns or n), -1, np.float32)
    end = -(-n // BLOCK_ROWS) if end is None else end
    if matrix.format in QUANTIZED:
        quantized = {"q": given.q, "scales": given.scales, "sums": given.sums}
        kernels.matmul(matrix, given.x, out, begin, end, bias, **quantized)
    else:
        kernels.matmul(matrix, given.x, out, begin, end, bias)
    return out
