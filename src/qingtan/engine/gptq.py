"""Rounding that makes up for itself: GPTQ (Frantar et al. 2022, arXiv:2210.17323).

Of a matrix's columns one after another is rounded, and the error that this makes in the products
with the inputs x that the matrix sees is taken back by the columns that are still to be rounded.
How far each can is in H = Σ x xᵀ.
"""

import numpy as np
from numpy.typing import NDArray

from qingtan.glm.packed import FORMATS
from qingtan.glm.quantization import Precision
from qingtan.native import Matrix, Pool

GROUP = 32
_BLOCK = 128  # columns whose errors reach the later ones at once, as one product
_DAMPING = 0.01  # of H's mean diagonal, added to the diagonal; section 3.3, step 3
_BLOCK_ROWS = 16
_LEVELS: dict[Precision, tuple[int, int]] = {"int8": (-127, 127), "int4": (-8, 7)}
CALIBRATED: tuple[Precision, ...] = tuple(_LEVELS)

Floats = NDArray[np.float32]


def pack_compensated(
    weights: Floats, products: NDArray[np.float64], precision: Precision, pool: Pool
) -> Matrix:
    """Round a matrix so that W x changes little for the inputs x that it sees.

    Groups of 32 columns have the scales that `Matrix` would choose for them as they are when
    their turn comes.

    Args:
        weights: W, float32 (n, k), k a multiple of 32.
        products: H = Σ x xᵀ (k, k), float64.
        precision: int8 or int4.

    Raises:
        ValueError: a number is not finite, or too large for the format.
    """
    columns, factor = weights.T.copy(), _factor(products)
    k, n = columns.shape
    levels = np.empty((k, n), np.int8)
    scales = np.empty((k // GROUP, n), np.float16)
    for begin in range(0, k, _BLOCK):
        end = min(begin + _BLOCK, k)
        errors = np.empty((end - begin, n), np.float32)
        for column in range(begin, end):
            if column % GROUP == 0:
                group = columns[column : column + GROUP]
                scales[column // GROUP] = _choose_scales(group.T, precision, pool)
            width = scales[column // GROUP].astype(np.float32)
            levels[column] = _round(columns[column], width, precision)
            error = (columns[column] - levels[column] * width) / factor[column, column]
            columns[column + 1 : end] -= factor[column, column + 1 : end, None] * error
            errors[column - begin] = error
        columns[end:] -= factor[begin:end, end:].T @ errors
    return Matrix.from_levels(
        np.ascontiguousarray(levels.T), np.ascontiguousarray(scales.T), FORMATS[precision], pool
    )


def _factor(products: NDArray[np.float64]) -> Floats:
    """Return the upper triangular U with UᵀU = H⁻¹, H damped.

    Backwards in rows and columns, Cholesky gives H = R Rᵀ with R upper triangular; U = R⁻¹.
    """
    damped = products.copy()
    # An input that was 0 always, as those of filled up columns are, is damped alone.
    damped[np.diag_indices_from(damped)] += _DAMPING * np.diagonal(products).mean() or 1.0
    backwards = np.linalg.cholesky(damped[::-1, ::-1])
    inverse: NDArray[np.float64] = np.linalg.inv(backwards[::-1, ::-1])
    return inverse.astype(np.float32)


def _choose_scales(group: Floats, precision: Precision, pool: Pool) -> NDArray[np.float16]:
    """Return the scales (n,) that packing gives rows of one group, (n, 32).

    They are the last 32 bytes of each block of 16 rows (native/kernels.h).
    """
    packed = Matrix(np.ascontiguousarray(group), FORMATS[precision], pool)
    blocks = packed.data.reshape(-(-len(group) // _BLOCK_ROWS), -1)
    scales = np.ascontiguousarray(blocks[:, -2 * _BLOCK_ROWS :]).view(np.float16)
    return scales.reshape(-1)[: len(group)]


def _round(numbers: Floats, widths: Floats, precision: Precision) -> Floats:
    """Return the nearest levels, 0 where the scale is 0."""
    quotients = np.divide(numbers, widths, out=np.zeros_like(numbers), where=widths != 0)
    return np.clip(np.rint(quotients), *_LEVELS[precision])
