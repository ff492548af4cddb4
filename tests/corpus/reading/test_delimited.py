"""CSV and TSV, held against the csv module."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qingtan.corpus.reading import Record, Rejected
from qingtan.errors import UserError

from .reading import read, values, write


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "csv.zst"])
def test_quoted_line_ends_are_within_a_value(tmp_path: Path, suffix: str) -> None:
    path = write(
        tmp_path, f"a.{suffix}", '\n题,"text"\r\n甲,"一""二""\n\n三,四"\r\n\r\n乙,5" 软盘\n'
    )
    assert read(path) == [
        Record(f"a.{suffix}", 3, {"题": "甲", "text": '一"二"\n\n三,四'}),
        Record(f"a.{suffix}", 7, {"题": "乙", "text": '5" 软盘'}),
    ]


def test_delimiters(tmp_path: Path) -> None:
    assert values(write(tmp_path, "a.tsv", "a\tb\n1,2\t3\n")) == [{"a": "1,2", "b": "3"}]
    assert values(write(tmp_path, "a.csv", "a;b\n1,2;3"), delimiter=";") == [{"a": "1,2", "b": "3"}]
    assert values(write(tmp_path, "b.csv", "a|b\n1|3"), delimiter="|") == [{"a": "1", "b": "3"}]


def test_bad_rows_are_rejected_alone(tmp_path: Path) -> None:
    rows = ["1,2", "3", "4,5,6", '"7"x,8', "9,\x80\xff", "10,11", '"12,13', "14,15"]
    data = "a,b\n" + "\n".join(rows) + "\n"
    path = write(tmp_path, "a.csv", data.encode("latin-1"))
    found = read(path, encoding="utf-8")
    assert [item.value["a"] for item in found if isinstance(item, Record)] == ["1", "10", "14"]
    reasons = {item.line: item.reason for item in found if isinstance(item, Rejected)}
    assert list(reasons) == [3, 4, 5, 6, 8]
    assert reasons[3] == "1 columns, but the header has 2"
    assert reasons[4] == "3 columns, but the header has 2"
    assert reasons[5].startswith("not CSV: ")
    assert reasons[6].startswith("cannot be decoded")
    assert reasons[8] == "not CSV: a quote is opened and never closed"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("a,b,a", "line 1: two columns are called 'a'"),
        ("\n\na,,c", "line 3: column 2 has no name"),
        ('a,"b"x', "line 1: the header: not CSV"),
        ('"a,b', "line 1: the header: not CSV: a quote"),
    ],
)
def test_a_header_that_names_no_columns_is_an_error(
    tmp_path: Path, header: str, message: str
) -> None:
    path = write(tmp_path, "a.csv", header + "\n1,2,3")
    with pytest.raises(UserError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("data", ["", "a,b", "a,b\n", "\n\n"])
def test_no_rows_are_no_records(tmp_path: Path, data: str) -> None:
    assert read(write(tmp_path, "a.csv", data)) == []


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-8-sig"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, "a.csv", '题目,"text"\n春晓,"春眠\n不觉晓"\n'.encode(encoding))
    for block_bytes in (1, 200, 1 << 20):
        assert values(path, block_bytes=block_bytes) == [{"题目": "春晓", "text": "春眠\n不觉晓"}]


def test_long_values_and_too_long_rows(tmp_path: Path) -> None:
    long, longer = "长" * 100_000, "更\n" * 300_000
    path = write(tmp_path, "a.csv", f'a,b\n1,{long}\n2,"{longer}"\n3,"{longer}\n4,z\n"\n5,x\n')
    for block_bytes in (1 << 16, 1 << 20, 8 << 20):
        found = read(path, block_bytes=block_bytes, max_record_bytes=400_000)
        assert [(item.line, isinstance(item, Record)) for item in found] == [
            (2, True),
            (3, False),
            (300_004, False),
            (600_007, True),
        ]


ROWS = st.lists(
    st.lists(st.text(st.sampled_from('a"\n\r,\t 汉'), max_size=8), min_size=2, max_size=2),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS,
    end=st.sampled_from(["\n", "\r\n"]),
    quote_all=st.booleans(),
    suffix=st.sampled_from(["csv", "tsv"]),
    block_bytes=st.integers(1, 1000),
    limit=st.none() | st.integers(1, 8),
)
def test_rows_are_those_of_the_csv_module(
    tmp_path: Path,
    rows: list[list[str]],
    end: str,
    quote_all: bool,
    suffix: str,
    block_bytes: int,
    limit: int | None,
) -> None:
    delimiter = {"csv": ",", "tsv": "\t"}[suffix]
    text = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    if not quote_all:  # by itself the writer does not quote a carriage return
        rows = [[value.replace("\r", "") for value in row] for row in rows]
    writer.writerows([["第一\n列", "b"], *rows])
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(text.getvalue().encode())
    reference = csv.DictReader(
        io.StringIO(text.getvalue(), newline=""), delimiter=delimiter, strict=True
    )
    found = read(path, limit, block_bytes)
    assert [item.value for item in found if isinstance(item, Record)] == list(reference)[:limit]
    assert not any(isinstance(item, Rejected) for item in found)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from('ab"\n\r,'), max_size=40), block_bytes=st.integers(1, 1000))
def test_any_text_gives_the_same_rows_in_any_blocks(
    tmp_path: Path, text: str, block_bytes: int
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + text, newline="")
    found = read(path, block_bytes=block_bytes)
    assert found == read(path)
    # Each line that stands alone as a good row, with no quote anywhere before it, is found.
    before = text.partition('"')[0].split("\n")[:-1]
    good = [line.removesuffix("\r").split(",") for line in before]
    expected = [row for row in good if len(row) == 2 and "\r" not in "".join(row)]
    rows = [list(item.value.values()) for item in found if isinstance(item, Record)]
    assert rows[: len(expected)] == expected
