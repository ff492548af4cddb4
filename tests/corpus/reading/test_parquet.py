"""Parquet files."""

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qingtan.corpus.reading import Record, Rejected
from qingtan.errors import UserError

from .reading import read, values

ROWS: list[dict[str, Any]] = [
    {
        "text": f"第{i}篇" * (i % 7) if i % 5 else None,
        "n": i,
        "score": i / 4,
        "messages": [{"role": "user", "content": f"问{i}"}, {"role": "assistant", "content": "答"}],
    }
    for i in range(3000)
]


def write_rows(folder: Path, table: pa.Table, **options: Any) -> Path:
    path = folder / "a.parquet"
    pq.write_table(table, path, **options)
    return path


@pytest.mark.parametrize("options", [{}, {"row_group_size": 7}, {"compression": "zstd"}])
def test_nested_rows_are_python_objects(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write_rows(tmp_path, pa.Table.from_pylist(ROWS), **options)
    expected = [Record("a.parquet", i, row) for i, row in enumerate(ROWS, start=1)]
    assert read(path) == expected
    assert read(path, block_bytes=3000) == expected
    assert read(path, limit=1500) == expected[:1500]


def test_columns_are_renamed(tmp_path: Path) -> None:
    path = write_rows(tmp_path, pa.table({"content": ["甲"], "when": [datetime.date(2024, 1, 2)]}))
    assert values(path, fields={"text": "content"}) == [
        {"text": "甲", "when": datetime.date(2024, 1, 2)}
    ]


def test_a_row_that_is_too_long_is_rejected_alone(tmp_path: Path) -> None:
    path = write_rows(tmp_path, pa.table({"text": ["a", "b" * 5000, "c", "d", "e" * 5000]}))
    found = read(path, max_record_bytes=1000)
    assert [(item.line, isinstance(item, Record)) for item in found] == [
        (1, True),
        (2, False),
        (3, True),
        (4, True),
        (5, False),
    ]


def test_a_value_that_is_no_text_is_rejected_alone(tmp_path: Path) -> None:
    data = pa.array([b"ok", b"\xff\xfe", b"\xe7\x94\xb2"], pa.binary())
    column = pa.StringArray.from_buffers(3, *data.buffers()[1:])
    first, bad, last = read(write_rows(tmp_path, pa.table({"text": column})))
    assert first == Record("a.parquet", 1, {"text": "ok"})
    assert isinstance(bad, Rejected)
    assert last == Record("a.parquet", 3, {"text": "甲"})


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = write_rows(tmp_path, pa.Table.from_pylist(ROWS))
    data = path.read_bytes()
    for damaged in (data[:-100], data[:4] + bytes(len(data) // 2) + data[4:], b"", b"PAR1"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"a\.parquet: cannot be read"):
            read(path)


def test_two_columns_of_one_name_are_an_error(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(UserError, match="two columns are called 'a'"):
        read(write_rows(tmp_path, table))
