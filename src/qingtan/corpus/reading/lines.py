"""Records that are made of lines: JSON Lines, lines of text, paragraphs."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from qingtan.corpus.reading.records import Run, too_long
from qingtan.corpus.reading.settings import FormatTable

# What a blank line may hold. The last two bytes are of the ideographic space, E3 80 80, the only
# character in UTF-8 that is made of them alone.
_BLANK = b" \t\r\f\v\xe3\x80"
_BLANK_LINE = re.compile(rb"^[" + _BLANK + rb"]*\n", re.MULTILINE)


class Span(NamedTuple):
    """A record within a run.

    Attributes:
        place: lines of the run before it.
        start: where it begins in the run's bytes.
        end: where it ends, without the end of its last line.
    """

    place: int
    start: int
    end: int


Find = Callable[[bytes], Iterator[Span]]


def is_blank(line: bytes) -> bool:
    """Whether a line, without its end, holds nothing but spaces."""
    return not line.strip(_BLANK)


def whole_lines(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Yield a stream's bytes in pieces that end where a line ends, but for the last.

    Of a line of more than `limit` bytes parts may be left out; it is still longer than `limit`.
    """
    pending: list[bytes] = []
    size = 0
    for chunk in chunks:
        if size > limit:  # enough of this line is held, but for a sign that it is not blank
            rest, ended, chunk = chunk.partition(b"\n")
            chunk = rest.strip(_BLANK)[:1] + ended + chunk
        end = chunk.rfind(b"\n") + 1
        if end:
            yield b"".join([*pending, chunk[:end]])
            pending, size = [], 0
        pending.append(chunk[end:])
        size += len(chunk) - end
    if size:
        yield b"".join(pending)


def read_lines(chunks: Iterable[bytes], table: FormatTable) -> Iterator[Run]:
    """Yield runs of whole lines."""
    line = 1
    for data in whole_lines(chunks, table.max_record_bytes):
        yield Run(line, data)
        line += data.count(b"\n")


def read_paragraphs(chunks: Iterable[bytes], table: FormatTable) -> Iterator[Run]:
    """Yield runs of whole paragraphs, cut where a line is blank."""
    pending: list[bytes] = []
    size, line, skipping = 0, 1, False
    for data in whole_lines(chunks, table.max_record_bytes):
        if skipping:
            blank = _BLANK_LINE.search(data)
            start = blank.end() if blank else len(data)
            line += data.count(b"\n", 0, start)
            data, skipping = data[start:], not blank
        end = _find_cut(data)
        if end:
            run = Run(line, b"".join([*pending, data[:end]]))
            yield run
            line += run.data.count(b"\n")
            pending, size, data = [], 0, data[end:]
        pending.append(data)
        size += len(data)
        if data.endswith(b"\n") and size - 1 > table.max_record_bytes:
            yield too_long(line, table)
            line += sum(piece.count(b"\n") for piece in pending)
            pending, size, skipping = [], 0, True
    if size:
        yield Run(line, b"".join(pending))


def _find_cut(data: bytes) -> int:
    """Return where a late blank line ends, 0 when no line is blank."""
    end = data.rfind(b"\n\n") + 2  # nearly always there, and found fastest
    if end >= 2:
        return end
    blanks = deque(_BLANK_LINE.finditer(data), maxlen=1)
    return blanks[0].end() if blanks else 0


def read_whole(chunks: Iterable[bytes], table: FormatTable) -> Iterator[Run]:
    """Yield the file as one record; none when it is blank."""
    pieces: list[bytes] = []
    size = 0
    for chunk in chunks:
        pieces.append(chunk)
        size += len(chunk)
        if size > table.max_record_bytes:
            yield too_long(1, table)
            return
    data = b"".join(pieces)
    if data.strip(_BLANK + b"\n"):
        yield Run(1, data)


def find_whole(data: bytes) -> Iterator[Span]:
    """Yield all of it."""
    yield Span(0, 0, len(data))


def find_lines(data: bytes) -> Iterator[Span]:
    """Yield the lines that are not blank."""
    start = 0
    for place, line in enumerate(data.split(b"\n")):
        end = start + len(line)
        if not is_blank(line):
            yield Span(place, start, end)
        start = end + 1


def find_paragraphs(data: bytes) -> Iterator[Span]:
    """Yield the runs of lines between blank lines."""
    paragraph: Span | None = None
    last = 0
    for line in find_lines(data):
        if paragraph and line.place == last + 1:
            paragraph = paragraph._replace(end=line.end)
        else:
            if paragraph:
                yield paragraph
            paragraph = line
        last = line.place
    if paragraph:
        yield paragraph


def take_found(run: Run, count: int, find: Find) -> tuple[Run, int]:
    """Return the first records of a run, as a run, and how many there were."""
    spans = list(islice(find(run.data), count))
    return Run(run.line, run.data[: spans[-1].end if spans else 0]), len(spans)
