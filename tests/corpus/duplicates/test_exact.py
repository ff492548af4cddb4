"""Exact duplicates against a dictionary."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qingtan.corpus.duplicates import find_exact, partitions
from qingtan.errors import UserError


def write_split(folder: Path, rows: NDArray, cuts: list[int]) -> list[Path]:
    paths = []
    for i, part in enumerate(np.split(rows, sorted(cuts))):
        paths.append(folder / f"{i}.npy")
        np.save(paths[-1], part)
    return paths


def first_of_each(keys: list[int]) -> list[int]:
    first: dict[int, int] = {}
    return [-1 if first.setdefault(key, i) == i else first[key] for i, key in enumerate(keys)]


@pytest.mark.parametrize("partition_records", [2, 1 << 20])
@settings(max_examples=40)
@given(keys=st.lists(st.integers(0, 12), max_size=60), data=st.data())
def test_all_exact_duplicates_are_found(
    partition_records: int, keys: list[int], data: st.DataObject
) -> None:
    rng = np.random.default_rng(0)
    digests = rng.integers(0, 256, (13, 16), dtype=np.uint8)
    digests[1, 8:] = digests[0, 8:]  # equal halves are not equal digests
    digests[2, :8] = digests[0, :8]
    cuts = data.draw(st.lists(st.integers(0, len(keys)), max_size=3))
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "PARTITION_RECORDS", partition_records)
        work = Path(name)
        paths = write_split(work, digests[keys].reshape(-1, 16), cuts)
        originals = find_exact(paths, work / "work")
        assert originals.dtype == np.int64
        assert originals.tolist() == first_of_each(keys)


def test_it_begins_again_after_a_killed_process(tmp_path: Path) -> None:
    rows = np.repeat(np.arange(48, dtype=np.uint8).reshape(3, 16), 2, axis=0)
    paths = write_split(tmp_path, rows, [2])
    leftover = tmp_path / ".exact-duplicates.npy.partial" / "digests"
    leftover.mkdir(parents=True)
    (leftover / "0000000000").write_bytes(b"half of a record")
    assert find_exact(paths, tmp_path).tolist() == [-1, 0, -1, 2, -1, 4]
    assert not leftover.parent.exists()


def test_damaged_and_unfit_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "digests.npy"
    with pytest.raises(UserError, match=r"digests\.npy: no such file"):
        find_exact([path], tmp_path)
    path.write_bytes(b"?" * 100)
    with pytest.raises(UserError, match=r"digests\.npy: damaged"):
        find_exact([path], tmp_path)
    np.save(path, np.zeros((3, 8), np.uint8))
    with pytest.raises(UserError, match=r"digests\.npy: uint8 \(3, 8\), but uint8 \(n, 16\)"):
        find_exact([path], tmp_path)


MEMORY_SCRIPT = """\
import resource
import sys
from pathlib import Path
import numpy as np
from qingtan.corpus.duplicates import find_exact, partitions
partitions.PARTITION_RECORDS = 1 << 16
work = Path(sys.argv[1])
rng = np.random.default_rng(0)
paths = [work / f"{i}.npy" for i in range(8)]
for path in paths:
    digests = rng.integers(0, 256, (250_000, 16), dtype=np.uint8)
    digests[: len(digests) // 2] = 7  # a million documents that are all the same
    np.save(path, digests)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
originals = find_exact(paths, work)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert np.count_nonzero(originals == 0) == 999_999
assert np.count_nonzero(originals >= 0) == 999_999
print((after - before) * (1 if sys.platform == "darwin" else 1024))
"""


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Two million documents, half of which fall into one partition.

    Sorted at once, their records of 24 bytes would take 150 MB; mapped files count with 48 MB.
    """
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) < 100e6
