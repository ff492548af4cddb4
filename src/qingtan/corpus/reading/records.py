"""What reading gives: records and what was rejected; and the runs of bytes in between."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from qingtan.corpus.reading.settings import FormatTable
from qingtan.corpus.reading.streams import Chunks


@dataclass(slots=True)  # not frozen, for that triples the time to make one
class Record:
    """One record of a file, unchecked but for being an object.

    Attributes:
        file: the file's name as reported.
        line: the line where it begins, from 1; in Parquet, its row.
    """

    file: str
    line: int
    value: dict[str, Any]


@dataclass(slots=True)
class Rejected:
    """A place of a file that is no record, or a record that cannot be used."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class Run:
    """Whole records of one file, one after another, not yet parsed.

    Attributes:
        line: the line of the first byte, from 1; in Parquet, the row.
        rejected: this is a single record that cannot be parsed; `data` is the reason, in UTF-8.
    """

    line: int
    data: bytes
    rejected: bool = False


# What parsing a run gives: a line with the record's value, or with the reason why there is none.
Parsed = Iterator[tuple[int, dict[str, Any] | str]]


@dataclass(frozen=True)
class Format:
    """How files of one kind are read.

    Attributes:
        read: finds the runs of a file; raises ValueError when the file as a whole is unusable.
        take: the first n records of a run, as a run, and how many there were (at most n).
        parse: the records of a run.
        compressed: whether the file may be compressed (.gz, .zst).
    """

    name: str
    read: Callable[[Chunks, FormatTable], Iterator[Run]]
    take: Callable[[Run, int, FormatTable], tuple[Run, int]]
    parse: Callable[[Run, FormatTable], Parsed]
    compressed: bool = True


def too_long(line: int, table: FormatTable) -> Run:
    """Return the run that stands for a record that exceeds the limit."""
    return Run(line, explain_too_long(table).encode(), rejected=True)


def explain_too_long(table: FormatTable) -> str:
    """Return the reason why such a record is rejected."""
    return (
        f"longer than max_record_bytes = {table.max_record_bytes}; split the record, or raise"
        " max_record_bytes in the source's format"
    )
