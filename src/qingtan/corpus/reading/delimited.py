"""CSV and TSV: columns under a header, where a quoted value may hold line ends."""

import csv
import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any

from qingtan.corpus.reading.encodings import to_utf8
from qingtan.corpus.reading.records import Parsed, Run, explain_too_long, too_long
from qingtan.corpus.reading.settings import FormatTable
from qingtan.corpus.reading.streams import Chunks
from qingtan.corpus.reading.text import explain_undecodable

_QUOTE_OR_LINE_END = re.compile(rb'["\n]')


def read_csv(chunks: Chunks, table: FormatTable) -> Iterator[Run]:
    """Yield runs of whole rows, each with the header before it.

    Raises:
        ValueError: the header has an empty or a repeated name, or cannot be read.
    """
    return _read(chunks, table, table.delimiter)


def read_tsv(chunks: Chunks, table: FormatTable) -> Iterator[Run]:
    """Yield runs as `read_csv` does."""
    return _read(chunks, table, "\t")


def take_csv(run: Run, count: int, table: FormatTable) -> tuple[Run, int]:
    """Return the first rows of a run."""
    return _take(run, count, table.delimiter)


def take_tsv(run: Run, count: int, table: FormatTable) -> tuple[Run, int]:
    """Return the first rows of a run."""
    return _take(run, count, "\t")


def parse_csv(run: Run, table: FormatTable) -> Parsed:
    """Yield each row as an object of strings."""
    return _parse(run, table, table.delimiter)


def parse_tsv(run: Run, table: FormatTable) -> Parsed:
    """Yield each row as an object of strings."""
    return _parse(run, table, "\t")


@cache
def _row_pattern(delimiter: str) -> re.Pattern[bytes]:
    """Return what one row is, its line end included, as the csv module reads it.

    A quote opens a quoted value only at the value's beginning; elsewhere it is a character.
    """
    separator = re.escape(delimiter.encode())
    rest = rb"[^" + separator + rb"\n]*+"
    value = rb'(?:"[^"]*+(?:""[^"]*+)*+"' + rest + rb'|(?!")' + rest + rb")"
    return re.compile(value + rb"(?:" + separator + value + rb")*+\n")


@cache
def _rows_pattern(delimiter: str) -> re.Pattern[bytes]:
    return re.compile(rb"(?:" + _row_pattern(delimiter).pattern + rb")*+")


def _read(chunks: Chunks, table: FormatTable, delimiter: str) -> Iterator[Run]:
    header = b""
    for run in _read_rows(to_utf8(chunks, table.encoding), table, delimiter):
        line, data = run.line, run.data
        if not header and run.rejected:
            raise ValueError(f"line {line}: the header: {data.decode()}")
        if not header and (first := next(_rows(data, delimiter), None)):
            place, row = first
            header = row[0]
            _check_header(header, line + place, delimiter)
            line += data.count(b"\n", 0, row.end())
            data = data[row.end() :]
        if run.rejected:
            yield run
        elif header and data:
            yield Run(line, header + data)


def _check_header(header: bytes, line: int, delimiter: str) -> None:
    names = _split(header, delimiter)
    if isinstance(names, str):
        raise ValueError(f"line {line}: the header: {names}")
    for column, name in enumerate(names, start=1):
        if not name.strip():
            raise ValueError(f"line {line}: column {column} has no name; name it")
        if names.count(name) > 1:
            raise ValueError(f"line {line}: two columns are called {name!r}; rename one")


def _split(row: bytes, delimiter: str) -> list[str] | str:
    """Return the values of a row, or the reason why there are none."""
    try:
        return next(csv.reader([row.decode()], delimiter=delimiter, strict=True))
    except UnicodeDecodeError as error:
        return explain_undecodable(error)
    except csv.Error as error:
        return f"not CSV: {error}"


def _read_rows(chunks: Iterator[bytes], table: FormatTable, delimiter: str) -> Iterator[Run]:
    data, line, skipping, quoted = b"", 1, False, False
    for chunk in chunks:
        if skipping:
            end, quoted = _find_row_end(chunk, quoted)
            line += chunk.count(b"\n", 0, end or len(chunk))
            chunk, skipping = chunk[end:], not end
        if skipping:
            continue
        data += chunk
        end = _end_of_rows(data, delimiter)
        if end:
            yield Run(line, data[:end])
            line += data.count(b"\n", 0, end)
            data = data[end:]
        if len(data) > table.max_record_bytes:
            yield too_long(line, table)
            line += data.count(b"\n")
            data, skipping, quoted = b"", True, data.count(b'"') % 2 == 1
    yield from _read_last_rows(data, line, delimiter)


def _read_last_rows(data: bytes, line: int, delimiter: str) -> Iterator[Run]:
    data = data if data.endswith(b"\n") or not data else data + b"\n"
    while data:
        end = _end_of_rows(data, delimiter)
        if end:
            yield Run(line, data[:end])
        else:
            # The rows below the quote are tried on their own, so that they are not lost with it.
            end = data.index(b"\n") + 1
            yield Run(line, b"not CSV: a quote is opened and never closed", rejected=True)
        line += data.count(b"\n", 0, end)
        data = data[end:]


def _find_row_end(data: bytes, quoted: bool) -> tuple[int, bool]:
    """Return where the first line end outside quotes ends, or 0; and whether quotes are open."""
    place = 0
    while True:
        if quoted:  # the usual case by far, and the one that has to be fast
            place = data.find(b'"', place) + 1
            if not place:
                return 0, True
        found = _QUOTE_OR_LINE_END.search(data, place)
        if found is None or found[0] == b"\n":
            return (found.end() if found else 0), False
        place, quoted = found.end(), True


def _end_of_rows(data: bytes, delimiter: str) -> int:
    found = _rows_pattern(delimiter).match(data)
    return found.end() if found else 0


def _rows(data: bytes, delimiter: str) -> Iterator[tuple[int, re.Match[bytes]]]:
    """Yield the rows that are not blank, each with the number of lines before it."""
    place = 0
    for row in _row_pattern(delimiter).finditer(data):
        if row[0] not in (b"\n", b"\r\n"):
            yield place, row
        place += row[0].count(b"\n")


def _take(run: Run, count: int, delimiter: str) -> tuple[Run, int]:
    rows = list(islice(_rows(run.data, delimiter), count + 1))  # one more, which is the header
    return Run(run.line, run.data[: rows[-1][1].end()]), len(rows) - 1


def _parse(run: Run, table: FormatTable, delimiter: str) -> Parsed:
    # Python's limit on a value is 128 KiB, for the whole process; ours is on the record.
    csv.field_size_limit(max(csv.field_size_limit(), table.max_record_bytes))
    rows = _rows(run.data, delimiter)
    _, header = next(rows)
    names = _split(header[0], delimiter)
    first = run.line - header[0].count(b"\n")
    for place, row in rows:
        yield first + place, _parse_row(row[0], names, delimiter, table)


def _parse_row(
    row: bytes, names: list[str] | str, delimiter: str, table: FormatTable
) -> dict[str, Any] | str:
    if len(row) > table.max_record_bytes:
        return explain_too_long(table)
    values = _split(row, delimiter)
    if isinstance(values, str):
        return values
    if len(values) != len(names):
        return f"{len(values)} columns, but the header has {len(names)}"
    return dict(zip(names, values, strict=True))
