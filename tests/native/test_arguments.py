"""Nothing malformed reaches a kernel: each argument is refused by its name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qingtan.native import Kernels, Matrix, Pool

F32, F16, I8, I32 = np.float32, np.float16, np.int8, np.int32


def zeros(*shape: int, dtype: type = F32) -> Any:
    return np.zeros(shape, dtype)


def good(pool: Pool) -> dict[str, dict[str, Any]]:
    """Arguments of each kernel that are right."""
    matrix = Matrix(zeros(20, 64), "q8", pool)
    cache = {
        "cache_keys": zeros(3, 2, 4, 8, dtype=F16),
        "cache_values": zeros(3, 2, 4, 8, dtype=F16),
        "table": np.array([2, 0], I32),
    }
    quantized = {
        "q": zeros(5, 64, dtype=I8),
        "scales": zeros(5, 2),
        "sums": zeros(5, 2, dtype=I32),
    }
    return {
        "quantize": {"x": zeros(5, 64), **quantized, "begin": 0, "end": 5},
        "matmul": {
            "matrix": matrix, "x": zeros(5, 64), "out": zeros(5, 24), "begin": 0, "end": 2,
            "bias": zeros(20), **quantized,
        },
        "embed": {"matrix": matrix, "row": 19, "out": zeros(64)},
        "rms_norm": {
            "x": zeros(5, 8), "weight": zeros(8), "epsilon": 1.0, "out": zeros(5, 8),
            "begin": 0, "end": 5,
        },
        "add": {"x": zeros(7), "y": zeros(7)},
        "silu_mul": {"gate_up": zeros(5, 16), "out": zeros(5, 8), "begin": 0, "end": 5},
        "rotate": {"x": zeros(3, 8), "cosines": zeros(2), "sines": zeros(2)},
        "store": {"keys": zeros(2, 8), "values": zeros(2, 8), **cache, "position": 7},
        "attention": {
            "queries": zeros(6, 20), "q_offset": 4, "heads_per_group": 2, **cache, "group": 1,
            "first": 2, "rows": 4, "start": 4, "scale": 1.0, "out": zeros(6, 20), "begin": 0,
            "end": 4,
        },
    }  # fmt: skip


BAD: list[tuple[str, str, Any, str]] = [
    ("quantize", "x", zeros(5, 33), "x: k must be"),
    ("quantize", "x", zeros(5, 64, dtype=np.float64), "x: must be float32"),
    ("quantize", "x", zeros(64), "x: must have the shape"),
    ("quantize", "x", zeros(64, 5).T, "x: must be contiguous"),
    ("quantize", "q", zeros(5, 64, dtype=np.uint8), "q: must be int8"),
    ("quantize", "q", zeros(4, 64, dtype=I8), r"q: must have the shape \(5, 64\), not \(4, 64\)"),
    ("quantize", "scales", zeros(5, 3), "scales: must have"),
    ("quantize", "sums", zeros(5, 1, dtype=I32), "sums: must have"),
    ("quantize", "end", 6, "end: must lie from 0 to 5, not at 6"),
    ("quantize", "begin", -1, "begin: must lie"),
    ("matmul", "x", zeros(5, 96), "x: must have"),
    ("matmul", "x", zeros(4, 64), "q: must have"),
    ("matmul", "q", None, "q, scales, sums: needed"),
    ("matmul", "scales", zeros(2, 5), "scales: must have"),
    ("matmul", "sums", zeros(5, 2), "sums: must be int32"),
    ("matmul", "bias", zeros(24), "bias: must have"),
    ("matmul", "out", zeros(5, 19), "out: must have a column"),
    ("matmul", "out", zeros(5, 48)[:, ::2], "out: must be contiguous"),
    ("matmul", "end", 3, "end: must lie"),
    ("matmul", "begin", 3, "begin: must lie"),
    ("embed", "row", 20, "row: must lie"),
    ("embed", "row", -1, "row: must lie"),
    ("embed", "out", zeros(32), "out: must have"),
    ("rms_norm", "weight", zeros(7), "weight: must have"),
    ("rms_norm", "out", zeros(4, 8), "out: must have"),
    ("rms_norm", "end", 6, "end: must lie"),
    ("add", "y", zeros(8), "y: must have"),
    ("add", "x", zeros(7, 1), "x: must have"),
    ("silu_mul", "gate_up", zeros(5, 15), "gate_up: must have"),
    ("silu_mul", "begin", 6, "begin: must lie"),
    ("rotate", "cosines", zeros(3), "sines: must have"),
    ("rotate", "x", zeros(3, 3), "cosines: more pairs"),
    ("store", "position", 8, "table: must name a block"),
    ("store", "position", -1, "position: must lie"),
    ("store", "table", np.array([2, 3], I32), "table: block: must lie from 0 to 2, not at 3"),
    ("store", "table", np.array([2, -1], I32), "table: block: must lie"),
    ("store", "table", np.array([2, 0], np.int64), "table: must be int32"),
    ("store", "keys", zeros(3, 8), "keys: must have"),
    ("store", "cache_values", zeros(3, 2, 4, 4, dtype=F16), "cache_values: must have"),
    ("store", "cache_keys", zeros(3, 2, 4, 8), "cache_keys: must be float16 or int8"),
    ("store", "cache_keys", zeros(3, 2, 4, 8, dtype=I8), "cache_values: must be int8"),
    ("store", "cache_key_scales", zeros(3, 2, 4), "cache_key_scales: only for int8"),
    ("attention", "cache_value_scales", zeros(3, 2, 4), "cache_value_scales: only for int8"),
    ("attention", "queries", zeros(6, 19), "queries: has no room"),
    ("attention", "out", zeros(6, 19), "out: has no room"),
    ("attention", "out", zeros(5, 20), "out: must have"),
    ("attention", "q_offset", -4, "q_offset: must lie"),
    ("attention", "q_offset", 2**31 - 1, "queries: has no room"),
    ("attention", "heads_per_group", 0, "heads_per_group: must lie"),
    ("attention", "heads_per_group", 2**31 - 1, "queries: has no room"),
    ("attention", "group", 2, "group: must lie"),
    ("attention", "first", 3, "first: must lie"),
    ("attention", "first", -1, "first: must lie"),
    ("attention", "rows", 7, "first: must lie"),
    ("attention", "start", 5, "table: must name a block"),
    ("attention", "start", -1, "start: must lie"),
    ("attention", "start", 2**31 - 1, "start: must lie"),
    ("attention", "table", np.array([0], I32), "table: must name a block"),
    ("attention", "end", 5, "end: must lie"),
]


def call(kernels: Kernels, name: str, arguments: dict[str, Any]) -> None:
    kernel: Callable[..., None] = getattr(kernels, name)
    kernel(**arguments)


def test_right_arguments_pass(kernels: Kernels, pool: Pool) -> None:
    for name, arguments in good(pool).items():
        call(kernels, name, arguments)


@pytest.mark.parametrize(
    ("kernel", "argument", "value", "message"), BAD, ids=[f"{b[0]}-{b[1]}-{b[3]}" for b in BAD]
)
def test_each_wrong_argument_is_named(
    kernels: Kernels, pool: Pool, kernel: str, argument: str, value: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        call(kernels, kernel, {**good(pool)[kernel], argument: value})


@pytest.mark.parametrize(
    ("blocks", "message"), [((3, 2, 3, 8), "power of two"), ((3, 2, 4, 6), "multiple of 4")]
)
def test_caches_of_an_impossible_layout_are_refused(
    kernels: Kernels, pool: Pool, blocks: tuple[int, ...], message: str
) -> None:
    cache = {"cache_keys": zeros(*blocks, dtype=F16), "cache_values": zeros(*blocks, dtype=F16)}
    with pytest.raises(ValueError, match=message):
        call(kernels, "attention", {**good(pool)["attention"], **cache})


@pytest.mark.parametrize("kernel", ["store", "attention"])
@pytest.mark.parametrize("side", ["key", "value"])
@pytest.mark.parametrize(
    ("scales", "message"),
    [
        (None, "needed for int8"),
        (zeros(3, 2, 5), "must have the shape"),
        (zeros(3, 2, 4, dtype=F16), "must be float32"),
    ],
)
def test_bytes_need_scales_of_their_shape(
    kernels: Kernels, pool: Pool, kernel: str, side: str, scales: Any, message: str
) -> None:
    arguments = good(pool)[kernel] | {
        "cache_keys": zeros(3, 2, 4, 8, dtype=I8),
        "cache_values": zeros(3, 2, 4, 8, dtype=I8),
        "cache_key_scales": zeros(3, 2, 4),
        "cache_value_scales": zeros(3, 2, 4),
    }
    call(kernels, kernel, arguments)
    name = f"cache_{side}_scales"
    with pytest.raises(ValueError, match=f"^{name}: {message}"):
        call(kernels, kernel, arguments | {name: scales})


def test_what_may_not_be_written_is_refused(kernels: Kernels, pool: Pool) -> None:
    fixed = zeros(7)
    fixed.flags.writeable = False
    with pytest.raises(TypeError):
        kernels.add(fixed, zeros(7))
    kernels.add(zeros(7), fixed)
