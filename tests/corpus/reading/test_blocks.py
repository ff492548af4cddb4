"""Blocks: what is in them, where they end, and how much memory they take."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard

from qingtan.corpus.reading import (
    RAW_SCHEMA,
    FormatTable,
    Rejected,
    list_files,
    parse,
    read_raw,
)

from .reading import read, texts, write


def blocks_of(path: Path, **options: int) -> list[pa.RecordBatch]:
    return list(read_raw(list_files(path), FormatTable(), **options))


def test_small_files_share_a_block_and_large_ones_have_several(tmp_path: Path) -> None:
    for number in range(100):
        write(tmp_path, f"{number:03}.txt", f"第{number}篇")
    (block,) = blocks_of(tmp_path)
    assert block.schema == RAW_SCHEMA
    assert block.num_rows == 100
    assert [record.file for record in parse(block, FormatTable())] == [
        f"{number:03}.txt" for number in range(100)
    ]
    write(tmp_path, "large.jsonl", '{"text": "一二三四五"}\n' * 10_000)
    blocks = blocks_of(tmp_path, block_bytes=100_000)
    assert len(blocks) == 3
    assert all(100_000 <= block.nbytes < 120_000 for block in blocks[:-1])


def test_blocks_are_the_same_every_time_and_can_travel(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl.gz", "".join(f'{{"n": {n}}}\n' for n in range(10_000)))
    write(tmp_path, "b.csv", "n\n" + "".join(f'"{n}\n"\n' for n in range(10_000)))
    first, second = (blocks_of(tmp_path, block_bytes=10_000) for _ in range(2))
    assert first == second
    assert len(first) > 5
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, RAW_SCHEMA) as stream:
        for block in first:
            stream.write_batch(block)
    with pa.ipc.open_stream(sink.getvalue()) as stream:
        received = [record for block in stream for record in parse(block, FormatTable())]
    assert [int(record.value["n"]) for record in received] == [*range(10_000)] * 2


def test_the_lines_of_rows_are_those_of_their_first_records(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", '"第一\n列"\n' + '"1\n2"\n\n' * 3000)
    for block in blocks_of(path, block_bytes=2000):
        (first, *_) = parse(block, FormatTable())
        assert block.column("line")[0].as_py() == first.line


def test_a_limit_counts_records_over_all_files(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", '{"text": "1"}\n\nbad\n{"text": "3"}\n')
    write(tmp_path, "b.txt", "4")
    write(tmp_path, "c.md", "5")
    found = [getattr(r, "value", {"text": "bad"})["text"] for r in read(tmp_path)]
    assert found == ["1", "bad", "3", "4", "5"]
    for limit in range(7):
        assert len(read(tmp_path, limit=limit)) == min(limit, 5)
    assert blocks_of(tmp_path, limit=0) == []


def test_a_limit_reads_no_further_than_needed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt.gz", "一\n" * 1_000_000)
    path.write_bytes(path.read_bytes()[:-10])
    assert len(read(path, limit=10, split="lines")) == 10


# Reads a file in a process of its own, for its memory to be told; prints records and MiB.
MEASURE = """
import resource, sys
from pathlib import Path
from qingtan.corpus.reading import FormatTable, Rejected, list_files, parse, read_raw
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
files = list_files(Path(sys.argv[1]))
small = list_files(Path(sys.argv[2]))
table = FormatTable(max_record_bytes=1 << 20, split=sys.argv[3])
for block in read_raw(small, table): list(parse(block, table))
before = peak()
found = [record for block in read_raw(files, table) for record in parse(block, table)]
print(*("rejected" if isinstance(r, Rejected) else "record" for r in found), peak() - before)
"""
BODIES = {
    "a.jsonl.zst": (b'{"text": "', b'"}', "file"),
    "a.csv.zst": (b'text\n1\n"', b'"', "file"),
    "a.txt.zst": (b"", b"", "file"),
    "b.txt.zst": (b"", b"", "lines"),
    "c.txt.zst": (b"a\nb", b"", "paragraphs"),
    "a.html.zst": (b"<p>", b"</p>", "file"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_record_without_end_is_never_held(tmp_path: Path, name: str) -> None:
    head, tail, split = BODIES[name]
    path = tmp_path / "long" / name
    path.parent.mkdir()
    with path.open("wb") as file, zstandard.ZstdCompressor(level=1).stream_writer(file) as stream:
        stream.write(head)
        for _ in range(200 if "jsonl" in name else 64):
            stream.write(b"x" * (1 << 20))
        stream.write(tail)
    small = write(tmp_path, f"small/{name}", head + tail)
    command = [sys.executable, "-c", MEASURE, str(path), str(small), split]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    *found, grown = printed
    assert found == (["record", "rejected"] if "csv" in name else ["rejected"])
    assert int(grown) < 40


def test_what_follows_a_record_that_is_too_long_is_read(tmp_path: Path) -> None:
    long = "长" * 200_000
    path = write(tmp_path, "a.txt", f"{long}\n一\n\n二\n{long}\n三\n\n四")
    table = {"split": "lines", "max_record_bytes": 1000}
    for block_bytes in (1 << 10, 1 << 23):
        found = read(path, block_bytes=block_bytes, **table)
        assert [(r.line, isinstance(r, Rejected)) for r in found] == [
            (1, True),
            (2, False),
            (4, False),
            (5, True),
            (6, False),
            (8, False),
        ]
    assert texts(write(tmp_path, "b.txt", f"一\n\n二\n{'x' * 500}"), split="paragraphs")[0] == "一"
    found = read(path, split="paragraphs", max_record_bytes=1000)
    assert [(r.line, isinstance(r, Rejected)) for r in found] == [(1, True), (4, True), (8, False)]
    assert "max_record_bytes = 1000" in found[0].reason
