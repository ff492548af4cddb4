"""Packed checkpoints: matrices as the kernels (native/kernels.h) read them, mapped as they are.

The folder is a checkpoint in ChatGLM3's layout but for its tensors. `config.json` names the
precisions (`Quantization`); in `model.safetensors` a matrix is a row of bytes (U8), padded to a
multiple of 64, and begins at a multiple of 64 bytes of the file; norms and biases are F32. As no
other program has a model of that type and these shapes, none takes it for what it is not.

Where the feed-forward's width is no whole number of a precision's groups, it is filled up: gates
and ups with rows of zeros, the matrix behind them with columns of zeros. That changes nothing, for
silu(0) · 0 = 0; `config.json` says the model's own width.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import UserError
from qingtan.files import read_json
from qingtan.glm.config import GLMConfig
from qingtan.glm.layouts import CONFIG_FILE, check_tensors, stored_names, tensor_shapes
from qingtan.glm.quantization import Precision, Quantization
from qingtan.glm.stored import Stored, open_stored
from qingtan.native import Matrix, Pool

LAYOUT = "chatglm"
WEIGHTS_FILE = "model.safetensors"
FORMATS: dict[Precision, str] = {"float32": "f32", "bf16": "bf16", "int8": "q8", "int4": "q4"}
# The numbers along a row that a format packs together.
_GROUPS: dict[Precision, int] = {"float32": 1, "bf16": 2, "int8": 32, "int4": 32}
_ALIGNMENT = 64
_TABLES = ("embedding.weight", "head.weight")
_GATE_UP = ".mlp.gate_up.weight"

Tensor = Matrix | NDArray[np.float32]


def stored_quantization(folder: Path) -> Quantization | None:
    """Return how a checkpoint's matrices are stored, None where they are plain floats.

    Raises:
        UserError: `config.json` is missing or says what is not known.
    """
    path = folder / CONFIG_FILE
    return Quantization.from_json(read_json(path), str(path))


def precision_of(name: str, quantization: Quantization) -> Precision:
    """Return the precision of one of our matrices."""
    chosen = quantization.head if name in _TABLES else quantization.precision
    assert chosen is not None
    return chosen


def packed_shapes(config: GLMConfig, quantization: Quantization) -> dict[str, tuple[int, ...]]:
    """Return `tensor_shapes` with the feed-forward's width filled up to whole groups."""
    group = _GROUPS[quantization.precision]
    width = -(-config.intermediate_size // group) * group
    return tensor_shapes(replace(config, intermediate_size=width))


def fill_up(name: str, matrix: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return one of our matrices, of any type, with zeros where its packed shape is larger.

    Args:
        name: of the matrix.
        matrix: (n, k); itself where its shape is `shape`.
        shape: as `packed_shapes` gives it.
    """
    if matrix.shape == shape:
        return matrix
    filled = np.zeros(shape, matrix.dtype)
    for own, place in zip(_parts(name, matrix), _parts(name, filled), strict=True):
        place[: own.shape[0], : own.shape[1]] = own
    return filled


def cut_off(name: str, matrix: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return one of our matrices without what `fill_up` has put there.

    Args:
        shape: the model's own, as `tensor_shapes` gives it.
    """
    if matrix.shape == shape:
        return matrix
    own = np.empty(shape, matrix.dtype)
    for place, filled in zip(_parts(name, own), _parts(name, matrix), strict=True):
        place[...] = filled[: place.shape[0], : place.shape[1]]
    return own


def check_packable(folder: Path, config: GLMConfig, quantization: Quantization) -> None:
    """Check that the rows of all matrices are whole groups of their precision, or can be filled up.

    Raises:
        UserError: those of one are not; the message names it.
    """
    for name, shape in _matrices(config, quantization).items():
        precision = precision_of(name, quantization)
        if shape[1] % _GROUPS[precision]:
            raise UserError(
                f"{folder}: {name} has rows of {shape[1]} numbers, and {precision} packs "
                f"{_GROUPS[precision]} together; choose another precision, such as float32"
            )


def read_packed(folder: Path, config: GLMConfig, quantization: Quantization) -> dict[str, Tensor]:
    """Map a packed checkpoint.

    Returns:
        By our names: matrices of `packed_shapes`, whose bytes stay in the file until they are used,
        and norms and biases as float32 arrays.

    Raises:
        UserError: the file is missing or damaged, or does not fit `config.json`.
    """
    check_packable(folder, config, quantization)
    stored = open_stored(folder)
    plan = _plan(config, quantization)
    check_tensors(
        folder,
        {entry.name: entry.shape for entry in plan.values()},
        {name: tensor.shape for name, tensor in stored.items()},
    )
    files = {file: np.memmap(file, np.uint8, "r") for file in {t.file for t in stored.values()}}
    shapes = packed_shapes(config, quantization)
    tensors: dict[str, Tensor] = {}
    for name, entry in plan.items():
        tensor = stored[entry.name]
        if tensor.dtype != entry.dtype:
            raise UserError(
                f"{tensor.file}: tensor {entry.name} has dtype {tensor.dtype}, not {entry.dtype}"
            )
        if entry.dtype == "F32":
            tensors[name] = tensor.floats()
        else:
            fmt = FORMATS[precision_of(name, quantization)]
            tensors[name] = _view(tensor, files[tensor.file], fmt, *shapes[name])
    return tensors


def unpack(matrix: Matrix, pool: Pool) -> NDArray[np.float32]:
    """Return a matrix (n, k) in float32, as it is after rounding."""
    out = np.empty(matrix.shape, np.float32)
    matrix.unpack(out, pool)
    return out


def read_unpacked(
    folder: Path, config: GLMConfig, quantization: Quantization, pool: Pool
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the tensors of a packed checkpoint by our names, in float32 as they are after rounding.

    Raises:
        UserError: see `read_packed`.
    """
    shapes = tensor_shapes(config)
    for name, tensor in read_packed(folder, config, quantization).items():
        if isinstance(tensor, Matrix):
            yield name, cut_off(name, unpack(tensor, pool), shapes[name])
        else:
            yield name, tensor


def write_packed(
    folder: Path,
    config: GLMConfig,
    quantization: Quantization,
    tensors: Iterable[tuple[str, Tensor]],
) -> None:
    """Write the tensors of a packed checkpoint, one after another.

    Args:
        folder: to write into.
        tensors: every tensor by our name, packed as `quantization` says, in any order.
    """
    plan = _plan(config, quantization)
    header = _header(plan)
    places = {entry.name: len(header) + entry.begin for entry in plan.values()}
    with (folder / WEIGHTS_FILE).open("wb") as file:
        file.write(header)
        written = set()
        for name, tensor in tensors:
            array = tensor.data if isinstance(tensor, Matrix) else tensor
            file.seek(places[plan[name].name])
            file.write(np.ascontiguousarray(array).data)
            written.add(name)
        assert written == plan.keys()
        file.truncate(len(header) + sum(entry.nbytes for entry in plan.values()))


class _Entry:
    """A tensor's place in the file that is written: name, type, shape, and its first byte."""

    def __init__(self, name: str, dtype: str, shape: tuple[int, ...], begin: int) -> None:
        self.name, self.dtype, self.shape, self.begin = name, dtype, shape, begin
        self.nbytes = shape[0] * (4 if dtype == "F32" else 1)


def _parts(name: str, matrix: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the parts of a matrix that are filled up each for itself: gates and ups, as views."""
    if name.endswith(_GATE_UP):
        return np.split(matrix, 2)
    return [matrix]


def _matrices(config: GLMConfig, quantization: Quantization) -> dict[str, tuple[int, ...]]:
    shapes = packed_shapes(config, quantization)
    return {name: shape for name, shape in shapes.items() if len(shape) == 2}


def _plan(config: GLMConfig, quantization: Quantization) -> dict[str, _Entry]:
    """Return every tensor's entry by our name: matrices first, whose sizes keep the alignment."""
    sizes: list[tuple[str, str, tuple[int, ...]]] = []
    for name, (n, k) in _matrices(config, quantization).items():
        size = Matrix.packed_bytes(FORMATS[precision_of(name, quantization)], n, k)
        sizes.append((name, "U8", (-(-size // _ALIGNMENT) * _ALIGNMENT,)))
    sizes += [(n, "F32", s) for n, s in tensor_shapes(config).items() if len(s) == 1]
    plan: dict[str, _Entry] = {}
    begin = 0
    for name, dtype, shape in sizes:
        plan[name] = _Entry(stored_names(LAYOUT, name)[0], dtype, shape, begin)
        begin += plan[name].nbytes
    return plan


def _header(plan: Mapping[str, _Entry]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "qingtan"}}
    for entry in plan.values():
        place = [entry.begin, entry.begin + entry.nbytes]
        entries[entry.name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": place}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _view(tensor: Stored, file: NDArray[np.uint8], fmt: str, n: int, k: int) -> Matrix:
    size = Matrix.packed_bytes(fmt, n, k)
    try:
        return Matrix.from_packed(file[tensor.offset : tensor.offset + size], fmt, n, k)
    except ValueError as error:
        raise UserError(
            f"{tensor.file}: a matrix at byte {tensor.offset}: {error}; convert the original again"
        ) from None
