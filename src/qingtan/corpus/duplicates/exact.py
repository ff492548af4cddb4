"""Documents that are exactly the same, by their digests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.duplicates.partitions import (
    Partitions,
    count_rows,
    new_originals,
    read_records,
    read_rows,
)

DIGEST_BYTES = 16
_RESULT_FILE = "exact-duplicates.npy"


def find_exact(digests: Sequence[Path], work: Path) -> NDArray[np.int64]:
    """Find the documents whose digest an earlier document has.

    Memory stays flat however many documents there are. After an interruption, call it again.

    Args:
        digests: .npy files of (n, 16) uint8, evenly spread, in the order of the documents.
        work: a folder to work in; it is made where there is none.

    Returns:
        (documents,) int64, mapped from a file in `work`: -1, or the first document with the same
        digest.

    Raises:
        UserError: a file is missing or damaged.
    """
    documents = count_rows(digests, "uint8", DIGEST_BYTES)
    path = work / _RESULT_FILE
    with new_originals(path, documents) as (folder, originals):
        partitions = Partitions(folder / "digests", documents)
        for first, rows in read_rows(digests):
            halves = np.ascontiguousarray(rows).view("<u8").astype(np.uint64)
            numbers = np.arange(first, first + len(rows), dtype=np.uint64)
            partitions.add(halves[:, 0], np.column_stack([halves, numbers]))
        for partition in partitions.paths():
            _match_partition(partition, originals)
    return np.asarray(np.load(path, mmap_mode="r"))


def _match_partition(path: Path, originals: NDArray[np.int64]) -> None:
    kept = np.zeros((0, 3), np.uint64)
    for part in read_records(path, 3):
        records = np.concatenate([kept, part])
        # A stable sort: documents of one digest stay in order.
        records = records[np.lexsort((records[:, 1], records[:, 0]))]
        is_first = np.ones(len(records), np.bool_)
        is_first[1:] = (records[1:, :2] != records[:-1, :2]).any(axis=1)
        kept = records[is_first]
        numbers = records[:, 2].astype(np.int64)
        firsts = numbers[is_first][np.cumsum(is_first) - 1]
        originals[numbers[~is_first]] = firsts[~is_first]
