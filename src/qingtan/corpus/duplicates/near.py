"""Documents that are nearly the same, by their signatures: locality-sensitive hashing on disk.

Each signature is cut into bands. Documents that agree in a whole band meet in a bucket, are
compared there by their whole signatures, and what is alike makes a pair; last, the pairs are gone
through in the order of the documents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.duplicates.partitions import (
    Partitions,
    append_by,
    count_rows,
    new_originals,
    read_records,
    read_rows,
)
from qingtan.corpus.duplicates.settings import NearDuplicatesTable
from qingtan.corpus.duplicates.signatures import is_signed
from qingtan.errors import UserError

RunMap = Callable[[Callable[[Path], Path], Iterable[Path]], Iterable[Path]]

_RESULT_FILE = "near-duplicates.npy"
# A member of a bucket is compared with so many members just before it and with so many of the
# first, so that the comparisons grow no faster than the documents. Up to nine members, that is
# everyone with everyone. A larger bucket is of a template, or of a passage that many documents
# share; documents that are alike beyond it share other, smaller buckets too.
_PREVIOUS = 8
_FIRST = 8
_VERIFIED_PAIRS = 1 << 15
# Documents whose pairs are gone through together, as a power of two.
_RANGE_BITS = 18


def find_near(
    signatures: Sequence[Path],
    table: NearDuplicatesTable,
    work: Path,
    *,
    candidates: NDArray[np.bool_] | None = None,
    groups: NDArray[np.integer[Any]] | None = None,
    run_map: RunMap = map,
) -> NDArray[np.int64]:
    """Find the documents that are near-duplicates of an earlier document that is kept.

    The first of a pair is kept. Of three in a row, the third stays when only the second is like
    it, for the second is dropped. Memory stays flat however many documents there are. After an
    interruption, call it again. The result depends neither on how the documents are shared out
    among the files nor on `run_map`.

    Args:
        signatures: .npy files of (n, permutations) uint32, in the order of the documents.
        work: a folder to work in; it is made where there is none. It takes 16 bytes a document
            and band, and one byte a number of a signature.
        candidates: (documents,) bool, which documents are looked at; all by default.
        groups: (documents,) integers; only documents of a group are compared. By default all are.
        run_map: calls a function for each of many paths and gives the results back in any order,
            such as `Pool.imap_unordered`; the function and its results can be pickled.

    Returns:
        (documents,) int64, mapped from a file in `work`: -1, or the first kept document that is
        alike.

    Raises:
        UserError: a file is missing or damaged, or there are more than 2**32 documents.
    """
    documents = count_rows(signatures, "uint32", table.permutations)
    if documents > 1 << 32:
        raise UserError(f"{documents:,} documents are more than 2**32; make several corpora")
    path = work / _RESULT_FILE
    with new_originals(path, documents) as (folder, originals):
        short = folder / "signatures"
        partitions = Partitions(folder / "bands", documents * table.banding[0])
        _spread(signatures, table, candidates, groups, short, partitions)
        (folder / "pairs").mkdir()
        match = partial(match_partition, signatures=short, table=table)
        ranges = folder / "ranges"
        ranges.mkdir()
        for pairs in run_map(match, partitions.paths()):
            for part in read_records(pairs, 1):
                append_by(ranges, part[:, 0] >> np.uint64(32 + _RANGE_BITS), part)
            pairs.unlink()
        for pairs in sorted(ranges.iterdir()):
            _decide(pairs, originals)
    return np.asarray(np.load(path, mmap_mode="r"))


def _spread(
    signatures: Sequence[Path],
    table: NearDuplicatesTable,
    candidates: NDArray[np.bool_] | None,
    groups: NDArray[np.integer[Any]] | None,
    short: Path,
    partitions: Partitions,
) -> None:
    """Write the shortened signatures, and (key of a band, document) to the partitions."""
    with short.open("wb") as file:
        for first, rows in read_rows(signatures):
            file.write(_shorten(rows).tobytes())
            wanted = is_signed(rows)
            if candidates is not None:
                wanted &= candidates[first : first + len(rows)]
            places = np.flatnonzero(wanted)
            group = np.zeros(len(places), np.uint64)
            if groups is not None:
                group = groups[first + places].astype(np.uint64)
            keys = _band_keys(rows[places], group, table)
            numbers = np.repeat((first + places).astype(np.uint64), keys.shape[1])
            partitions.add(keys.ravel(), np.column_stack([keys.ravel(), numbers]))


def _shorten(rows: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return a byte for each number: unequal ones agree in 1 of 256, which is less than the noise.

    Li and König, b-Bit Minwise Hashing, WWW 2010.
    """
    return (rows * np.uint32(0x9E3779B1) >> np.uint32(24)).astype(np.uint8)


def _band_keys(
    rows: NDArray[np.uint32], group: NDArray[np.uint64], table: NearDuplicatesTable
) -> NDArray[np.uint64]:
    """Return (documents, bands): a hash of each band, its number and the document's group."""
    bands, length = table.banding
    numbers = rows[:, : bands * length].reshape(-1, bands, length)
    band = np.arange(bands, dtype=np.uint64)
    keys: NDArray[np.uint64] = group[:, None] * np.uint64(bands) + band
    for i in range(length):
        keys = (keys ^ numbers[:, :, i].astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(32)
    return keys


def match_partition(path: Path, signatures: Path, table: NearDuplicatesTable) -> Path:
    """Compare the documents that meet in the buckets of a partition.

    Args:
        path: records (key, document), two uint64 each, by rising document.
        signatures: the shortened signatures, a byte a number.

    Returns:
        A file in the folder `pairs` beside the partition's folder: uint64, the later document
        times 2**32 plus the earlier.
    """
    rows = np.memmap(signatures, np.uint8, "r").reshape(-1, table.permutations)
    result = path.parents[1] / "pairs" / path.name
    with result.open("wb") as file:
        before = np.zeros((0, 2), np.uint64)
        for part in read_records(path, 2):
            records = np.concatenate([before, part])
            order = np.argsort(records[:, 0], kind="stable")
            records = records[order]
            start, stop = _buckets(records[:, 0])
            # Most buckets hold one document alone.
            some = np.flatnonzero(stop - start > 1)
            rank = some - start[some]
            for pairs in _pairs(records[some, 1], rank, order[some] >= len(before)):
                for alike in _alike(_sorted_set(pairs), rows, table.threshold):
                    file.write(alike.tobytes())
            # Members that later ones, in the next part of a file grown large, are compared with.
            place = np.arange(len(records))
            before = records[(place - start < _FIRST) | (stop - place <= _PREVIOUS)]
    return result


def _buckets(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the bucket of each of the sorted keys begins and where it ends."""
    firsts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sizes = np.diff(np.append(firsts, len(keys)))
    return np.repeat(firsts, sizes), np.repeat(firsts + sizes, sizes)


def _pairs(
    documents: NDArray[np.uint64], rank: NDArray[np.int64], is_new: NDArray[np.bool_]
) -> Iterator[NDArray[np.uint64]]:
    """Yield which documents to compare, each new one with some before it in its bucket.

    Args:
        documents: (n,), bucket after bucket.
        rank: (n,), which of its bucket each is, from 0.
    """
    for back in range(1, _PREVIOUS + 1):
        later = np.flatnonzero(is_new & (rank >= back))
        yield _pack(documents[later], documents[later - back])
    for first in range(_FIRST):
        later = np.flatnonzero(is_new & (rank > first + _PREVIOUS))
        yield _pack(documents[later], documents[later - rank[later] + first])


def _pack(later: NDArray[np.uint64], earlier: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (later << np.uint64(32)) | earlier


def _unpack(pairs: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    later, earlier = pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)
    return later.astype(np.int64), earlier.astype(np.int64)


def _sorted_set(pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # np.unique hashes, which takes ten times as long for millions of pairs.
    pairs = np.sort(pairs)
    is_first = np.ones(len(pairs), np.bool_)
    is_first[1:] = pairs[1:] != pairs[:-1]
    return pairs[is_first]


def _alike(
    pairs: NDArray[np.uint64], rows: NDArray[np.uint8], threshold: float
) -> Iterator[NDArray[np.uint64]]:
    """Yield the pairs whose signatures agree as far as the threshold asks."""
    # The epsilon: 0.7 of 10 numbers are 7, though 0.7 * 10 is a little more in floating point.
    needed = math.ceil(threshold * rows.shape[1] - 1e-9)
    for first in range(0, len(pairs), _VERIFIED_PAIRS):
        some = pairs[first : first + _VERIFIED_PAIRS]
        later, earlier = _unpack(some)
        yield some[np.count_nonzero(rows[later] == rows[earlier], axis=1) >= needed]


def _decide(path: Path, originals: NDArray[np.int64]) -> None:
    """Drop each document of a range that is like an earlier kept one; the ranges before are done.

    Sorted pairs: all of a document's come before those in which it is the earlier one.
    """
    pairs = np.zeros(0, np.uint64)
    for part in read_records(path, 1):
        pairs = _sorted_set(np.concatenate([pairs, part[:, 0]]))
    begin = int(path.name) << _RANGE_BITS
    later, earlier = _unpack(pairs)
    kept_or_open = (earlier >= begin) | (originals[earlier] < 0)
    found = originals[begin : begin + (1 << _RANGE_BITS)].tolist()
    for document, other in zip(
        (later[kept_or_open] - begin).tolist(), earlier[kept_or_open].tolist(), strict=True
    ):
        if found[document] < 0 and (other < begin or found[other - begin] < 0):
            found[document] = other
    originals[begin : begin + len(found)] = found
