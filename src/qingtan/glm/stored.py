"""Tensors of safetensors files, mapped into memory with numpy alone.

The safetensors library has no view for numpy without a copy, and no bfloat16, so the header is read
here: 8 bytes of its length, JSON with each tensor's type, shape and place, then the tensors
(https://github.com/huggingface/safetensors, "Format"). What the library refuses is refused here.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import UserError
from qingtan.files import read_json

# bfloat16 has no type in numpy: its bits.
_DTYPES: dict[str, type[np.generic]] = {
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,
    "I8": np.int8,
    "U8": np.uint8,
}
FLOATS = ("F32", "F16", "BF16")
_LENGTH_BYTES = 8
_MOST_HEADER_BYTES = 100_000_000  # the library's limit
_MOST_DIMENSIONS = 8


@dataclass(frozen=True)
class Stored:
    """A tensor in a file.

    Attributes:
        file: the safetensors file.
        dtype: F32, F16, BF16, I8 or U8.
        shape: its lengths.
        offset: where it begins, in bytes of the file.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return math.prod(self.shape) * np.dtype(_DTYPES[self.dtype]).itemsize

    def map(self) -> NDArray[Any]:
        """Return it as a read-only array, BF16 as uint16, in a mapping of its own.

        With the array go the pages that were read of it, which would otherwise count as memory of
        the process for as long as the file is mapped.
        """
        kind = _DTYPES[self.dtype]
        if not self.nbytes:
            return np.empty(self.shape, kind)
        array = np.memmap(self.file, kind, "r", self.offset, self.shape)
        return array if array.flags.aligned else array.copy()

    def floats(self) -> NDArray[np.float32]:
        """Return a float tensor as float32, a copy."""
        array = self.map()
        if self.dtype == "BF16":
            return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return array.astype(np.float32)


def open_stored(folder: Path, stem: str = "model") -> dict[str, Stored]:
    """Return the tensors of a checkpoint's safetensors by name; only the headers are read.

    Args:
        stem: of the files' names: `model.safetensors`, or `model.safetensors.index.json`.

    Raises:
        UserError: a file is missing or damaged, has a tensor of another type, or two files have
            one of the same name; the message names the file and the tensor.
    """
    files = list_files(folder, f"{stem}.safetensors")
    if not files:
        pickled = list_files(folder, f"pytorch_{stem}.bin")
        hint = (
            f"; {pickled[0].name} is a pickle, which can run code when it is opened: load it with "
            "load_model(folder, allow_pickle=True) and write it anew with save_model"
            if pickled
            else ""
        )
        raise UserError(f"{folder}: holds no {stem}.safetensors, whole or with an index{hint}")
    stored: dict[str, Stored] = {}
    for file in files:
        tensors = _read_header(file)
        if twice := stored.keys() & tensors.keys():
            name = min(twice)
            raise UserError(f"{file}: tensor {name} stands in {stored[name].file.name} too")
        stored |= tensors
    return stored


def list_files(folder: Path, name: str) -> list[Path]:
    """Return the file of this name, or those that its index names; none where there is neither.

    Raises:
        UserError: the index is damaged, or names what is no such file of the folder.
    """
    index = folder / f"{name}.index.json"
    if index.exists():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise UserError(f"{index}: holds no weight_map")
        names = sorted({str(file) for file in weight_map.values()})
        for file in names:
            if Path(file).name != file or Path(file).suffix != Path(name).suffix:
                raise UserError(f"{index}: names {file!r}, which is no such file of this folder")
        return [folder / file for file in names]
    return [folder / name] if (folder / name).exists() else []


def _read_header(path: Path) -> dict[str, Stored]:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if length > min(_MOST_HEADER_BYTES, size - _LENGTH_BYTES):
                raise UserError(
                    f"{path}: damaged or truncated: its header would have {length} bytes, of "
                    f"{size} in the file"
                )
            header = file.read(length)
    except FileNotFoundError:
        raise UserError(f"{path}: the index names this file, and it is missing") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    start = _LENGTH_BYTES + length
    tensors = {
        name: _read_entry(path, name, entry, start) for name, entry in _parse(path, header).items()
    }
    _check_places(path, tensors, start, size)
    return tensors


def _parse(path: Path, header: bytes) -> dict[str, Any]:
    """Return the header's entries of tensors."""
    try:
        entries = json.loads(header.decode(), object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: its header is not JSON: {error}") from None
    if not isinstance(entries, dict):
        raise UserError(f"{path}: damaged: its header is no JSON object")
    if not isinstance(entries.pop("__metadata__", {}), dict):
        raise UserError(f"{path}: damaged: __metadata__ is no JSON object")
    return entries


def _distinct(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name} stands there twice")
        found[name] = value
    return found


def _read_entry(path: Path, name: str, entry: Any, start: int) -> Stored:
    """Return a tensor whose size fits its shape; where it may lie is checked with all others."""
    if not isinstance(entry, dict):
        raise UserError(f"{path}: tensor {name}: damaged: its entry is no JSON object")
    dtype, shape, place = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise UserError(f"{path}: tensor {name} has dtype {dtype}; known are {', '.join(_DTYPES)}")
    if not _are_sizes(shape) or not _are_sizes(place) or len(place) != 2:
        raise UserError(f"{path}: tensor {name}: damaged: shape {shape}, data_offsets {place}")
    begin, end = place
    stored = Stored(path, dtype, tuple(shape), start + begin)
    if stored.nbytes != end - begin:
        raise UserError(
            f"{path}: tensor {name}: damaged: {dtype} of shape {shape} takes {stored.nbytes} "
            f"bytes, not {end - begin}"
        )
    return stored


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    if not isinstance(value, list) or len(value) > _MOST_DIMENSIONS:
        return False
    return all(type(size) is int and 0 <= size < 2**63 for size in value)


def _check_places(path: Path, tensors: dict[str, Stored], start: int, size: int) -> None:
    """Check that the tensors fill the file from the header to its end, without hole or overlap."""
    end = start
    for name, stored in sorted(tensors.items(), key=lambda t: (t[1].offset, t[1].nbytes)):
        if stored.offset != end:
            raise UserError(
                f"{path}: tensor {name}: damaged: begins at byte {stored.offset} of the file, "
                f"where {end} was expected"
            )
        end += stored.nbytes
    if end != size:
        raise UserError(
            f"{path}: damaged or truncated: its tensors end at byte {end}, the file at {size}"
        )
