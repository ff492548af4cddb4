"""JSON Lines: whole, broken and hostile."""

import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qingtan.corpus.reading import Record, Rejected

from .reading import read, values, write


@pytest.mark.parametrize(
    "name", [f"{s}{c}" for s in ("jsonl", "ndjson") for c in ("", ".gz", ".zst")]
)
def test_every_compression_gives_the_same_records(tmp_path: Path, name: str) -> None:
    records = [{"text": f"第{i}行\n“换行”"} for i in range(1000)]
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path = write(tmp_path, f"data.{name}", lines)
    expected = [Record(f"data.{name}", i, record) for i, record in enumerate(records, start=1)]
    assert read(path) == expected


def test_bad_lines_are_numbered_and_the_rest_is_read(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbf{"a": 1}\r\n\nnot json\n[1]\n \t\r\n{"a": "\xff"}\n{"b": 2}'
    path = write(tmp_path, "data.jsonl", data)
    first, second, third, fourth, last = read(path)
    assert first == Record("data.jsonl", 1, {"a": 1})
    assert isinstance(second, Rejected)
    assert (second.line, second.reason.split(":")[0]) == (3, "not JSON")
    assert third == Rejected("data.jsonl", 4, "not a JSON object")
    assert isinstance(fourth, Rejected)
    assert last == Record("data.jsonl", 7, {"b": 2})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": NaN}', "not JSON: "),
        ('{"a": Infinity}', "not JSON: "),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"a": "\0"}', "not JSON: "),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "not JSON: "),
        ("[" * 100_000, "not JSON: "),
        ('{"a": 1} {"b": 2}', "not JSON: "),
        ('"a"', "not a JSON object"),
    ],
    ids=["nan", "infinity", "surrogate", "nul", "deep", "deep-open", "two", "string"],
)
def test_what_is_no_json_object_is_rejected_alone(tmp_path: Path, line: str, reason: str) -> None:
    path = write(tmp_path, "data.jsonl", f'{{"n": 1}}\n{line}\n{{"n": 3}}\n')
    first, bad, last = read(path)
    assert first == Record("data.jsonl", 1, {"n": 1})
    assert last == Record("data.jsonl", 3, {"n": 3})
    assert isinstance(bad, Rejected)
    assert reason in bad.reason


def test_several_frames_and_joined_files_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl.zst"
    mark = b"\xef\xbb\xbf"
    frames = [mark + b'{"a": 1}\n{"a"', b": 2}\n", mark + b'{"a": 3}\n']
    path.write_bytes(b"".join(map(zstandard.compress, frames)))
    assert values(path) == [{"a": 1}, {"a": 2}, {"a": 3}]


LINES = st.lists(
    st.one_of(
        st.dictionaries(st.text(max_size=3), st.text(max_size=20), max_size=3).map(
            lambda value: json.dumps(value).encode()
        ),
        st.sampled_from([b"", b"  ", b"\r", b"nothing", b"[]", b'{"a":"' + b"x" * 90 + b'"}']),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=LINES,
    ended=st.booleans(),
    block_bytes=st.integers(1, 2000),
    limit=st.none() | st.integers(1, 12),
    suffix=st.sampled_from(["", ".gz", ".zst"]),
)
def test_any_blocks_give_what_plain_reading_gives(
    tmp_path: Path,
    lines: list[bytes],
    ended: bool,
    block_bytes: int,
    limit: int | None,
    suffix: str,
) -> None:
    most = 80
    path = write(tmp_path, f"data.jsonl{suffix}", b"\n".join(lines) + b"\n" * ended)
    expected: list[tuple[int, object]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line) if len(line) <= most else None
        except ValueError:
            value = None
        expected.append((number, value if isinstance(value, dict) else "rejected"))
    found = read(path, limit, block_bytes, max_record_bytes=most)
    assert expected[:limit] == [
        (item.line, item.value if isinstance(item, Record) else "rejected") for item in found
    ]
