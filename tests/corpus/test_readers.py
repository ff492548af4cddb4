"""Files of records, whole and broken."""

from pathlib import Path

import pytest
import zstandard

from qingtan.corpus.readers import Record, Rejected, read_records
from qingtan.errors import UserError


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_every_compression_gives_the_same_records(write_records, suffix: str) -> None:
    records = [{"text": f"第{i}行\n“换行”"} for i in range(1000)]
    path = write_records(f"data.{suffix}", records)
    assert list(read_records(path)) == [Record(i, r) for i, r in enumerate(records, start=1)]


def test_bad_lines_are_numbered_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\nnot json\n[1]\n{"a": "\xff"}\n{"b": 2}')
    first, second, third, fourth, last = read_records(path)
    assert first == Record(1, {"a": 1})
    assert isinstance(second, Rejected)
    assert second.line == 3
    assert second.reason.startswith("not JSON")
    assert third == Rejected(4, "not a JSON object")
    assert isinstance(fourth, Rejected)
    assert last == Record(6, {"b": 2})


def test_a_line_may_be_nested_too_deep(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("[" * 100_000 + "\n")
    assert [type(item) for item in read_records(path)] == [Rejected]


def test_several_zstd_frames_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl.zst"
    path.write_bytes(zstandard.compress(b'{"a": 1}\n{"a"') + zstandard.compress(b": 2}\n"))
    assert [item.value for item in read_records(path)] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst"])
def test_a_file_cut_short_is_named(write_records, suffix: str) -> None:
    path = write_records(f"data.{suffix}", [{"text": f"{i * i}"} for i in range(5000)])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=f"data.{suffix}: cannot be read"):
        list(read_records(path))


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst"])
def test_a_file_that_is_not_compressed_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data.{suffix}"
    path.write_bytes(b'{"text": "plain"}\n' * 10)
    with pytest.raises(UserError, match="cannot be read"):
        list(read_records(path))


def test_missing_files_and_unknown_suffixes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jsonl: no such file"):
        list(read_records(tmp_path / "none.jsonl"))
    with pytest.raises(UserError, match=r"data\.xml: no reader for \.xml; use \.jsonl"):
        list(read_records(tmp_path / "data.xml"))
