"""Arrays larger than memory: records spread over files by a key, and results mapped from disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import UserError

# Sorting so many records of 16 bytes and looking at them takes about 80 MB.
PARTITION_RECORDS = 1 << 20
# Rows of input at a time.
_BLOCK_ROWS = 1 << 14


class Partitions:
    """Files in a folder, each for an equal part of the keys from 0 to 2**64.

    Records are appended as they come: those of a file stand in the order of their adding.
    """

    def __init__(self, folder: Path, expected_records: int) -> None:
        self.folder = folder
        self.count = max(1, -(-expected_records // PARTITION_RECORDS))
        folder.mkdir()

    def add(self, keys: NDArray[np.uint64], records: NDArray[np.uint64]) -> None:
        """Append (n, …) records to the files that their (n,) keys belong to."""
        parts = ((keys >> np.uint64(32)) * np.uint64(self.count)) >> np.uint64(32)
        append_by(self.folder, parts, records)

    def paths(self) -> list[Path]:
        """Return the files that hold records."""
        return sorted(self.folder.iterdir())


def append_by(
    folder: Path, parts: NDArray[np.unsignedinteger[Any]], records: NDArray[np.uint64]
) -> None:
    """Append each record to the file of `folder` that is named by its part."""
    if not len(parts):
        return
    order = np.argsort(parts, kind="stable")
    names, firsts = np.unique(parts[order], return_index=True)
    for name, rows in zip(names.tolist(), np.split(records[order], firsts[1:]), strict=True):
        with (folder / f"{name:010d}").open("ab") as file:
            file.write(rows.tobytes())


def read_records(path: Path, columns: int) -> Iterator[NDArray[np.uint64]]:
    """Yield the records of a file, (n, columns), at most twice a usual partition's at a time."""
    with path.open("rb") as file:
        while data := file.read(2 * PARTITION_RECORDS * columns * 8):
            yield np.frombuffer(data, np.uint64).reshape(-1, columns)


def count_rows(paths: Sequence[Path], dtype: str, columns: int) -> int:
    """Return how many rows .npy files hold together.

    Raises:
        UserError: a file is missing or damaged, or no array of (n, columns) of that dtype.
    """
    total = 0
    for path in paths:
        array = _open(path)
        if array.dtype != dtype or array.ndim != 2 or array.shape[1] != columns:
            raise UserError(
                f"{path}: {array.dtype} {array.shape}, but {dtype} (n, {columns}) is expected; "
                "it was made with other settings, make it again"
            )
        total += len(array)
    return total


def read_rows(paths: Sequence[Path]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the rows of .npy files in blocks: the number of the first, and the rows."""
    before = 0
    for path in paths:
        array = _open(path)
        for first in range(0, len(array), _BLOCK_ROWS):
            yield before + first, array[first : first + _BLOCK_ROWS]
        before += len(array)


def _open(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; make it again") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: damaged, make it again: {error}") from None
    return array


@contextmanager
def new_originals(path: Path, documents: int) -> Iterator[tuple[Path, NDArray[np.int64]]]:
    """Yield a folder for what is in between, and (documents,) int64 of -1 to fill, on disk.

    The array becomes the .npy file `path` when the block ends without an exception; the folder is
    removed, and so is what a killed process left of it.
    """
    folder = path.with_name(f".{path.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        result = folder / "result.npy"
        originals = np.lib.format.open_memmap(result, "w+", np.dtype(np.int64), (documents,))
        originals[:] = -1
        yield folder, originals
        originals.flush()
        result.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
