"""Plain text and Markdown."""

import re
from collections.abc import Iterable, Iterator

from qingtan.corpus.reading.encodings import decode, to_utf8
from qingtan.corpus.reading.lines import (
    find_lines,
    find_paragraphs,
    find_whole,
    read_lines,
    read_paragraphs,
    read_whole,
    take_found,
)
from qingtan.corpus.reading.records import Parsed, Run, explain_too_long
from qingtan.corpus.reading.settings import FormatTable
from qingtan.corpus.reading.streams import Chunks

_FINDERS = {"file": find_whole, "paragraphs": find_paragraphs, "lines": find_lines}
# YAML between two lines of three hyphens at the very beginning. Its first line must be a key, for
# three hyphens may also be a rule across the page.
_FRONT_MATTER = (
    r"\A---[ \t]*\r?\n(?=[^\s:][^:\n]*:(?:[ \t\r\n]))"
    r"(?:(?!(?:---|\.\.\.)[ \t]*\r?(?:\n|\Z)).*\n)+(?:---|\.\.\.)[ \t]*\r?(?:\n|\Z)"
)
_FRONT_MATTER_TEXT = re.compile(_FRONT_MATTER)
_FRONT_MATTER_BYTES = re.compile(_FRONT_MATTER.encode())
# Front matter is looked for in so many bytes of a file that is read by lines.
_HEAD_BYTES = 1 << 16


def read_text(chunks: Chunks, table: FormatTable) -> Iterator[Run]:
    """Yield runs of documents: as they are when the file is one, else in UTF-8."""
    if table.split == "file":
        return read_whole(chunks, table)
    return _read_split(to_utf8(chunks, table.encoding), table)


def read_markdown(chunks: Chunks, table: FormatTable) -> Iterator[Run]:
    """Yield runs as `read_text` does; blank lines take the place of front matter."""
    if table.split == "file":
        return read_whole(chunks, table)
    return _read_split(_blank_front_matter(to_utf8(chunks, table.encoding)), table)


def _read_split(chunks: Iterable[bytes], table: FormatTable) -> Iterator[Run]:
    read = read_lines if table.split == "lines" else read_paragraphs
    return read(chunks, table)


def take_text(run: Run, count: int, table: FormatTable) -> tuple[Run, int]:
    """Return the first documents of a run."""
    return take_found(run, count, _FINDERS[table.split])


def parse_text(run: Run, table: FormatTable) -> Parsed:
    """Yield {"text": …} for each document."""
    encoding = table.encoding if table.split == "file" else "utf-8"
    for place, start, end in _FINDERS[table.split](run.data):
        yield run.line + place, _parse_document(run.data[start:end], encoding, table)


def parse_markdown(run: Run, table: FormatTable) -> Parsed:
    """Yield {"text": …} for each document, without the front matter of a file."""
    for line, value in parse_text(run, table):
        if table.split == "file" and isinstance(value, dict):
            text = _FRONT_MATTER_TEXT.sub("", value["text"])
            yield line, {"text": text} if text.strip() else "no text besides the front matter"
        else:
            yield line, value


def _parse_document(data: bytes, encoding: str, table: FormatTable) -> dict[str, str] | str:
    if len(data) > table.max_record_bytes:
        return explain_too_long(table)
    try:
        text = decode(data, encoding)
    except UnicodeDecodeError as error:
        return explain_undecodable(error)
    return {"text": text.removesuffix("\r") if table.split != "file" else text}


def explain_undecodable(error: UnicodeDecodeError) -> str:
    """Return the reason why such a document is rejected."""
    return (
        f"cannot be decoded as {error.encoding}: {error.reason} at byte {error.start};"
        " name the encoding in the source's format"
    )


def _blank_front_matter(chunks: Iterable[bytes]) -> Iterator[bytes]:
    stream = iter(chunks)
    head = b""
    while len(head) < _HEAD_BYTES and (chunk := next(stream, None)) is not None:
        head += chunk
    found = _FRONT_MATTER_BYTES.match(head)
    if found:
        yield b"\n" * found[0].count(b"\n")
    yield head[found.end() :] if found else head
    yield from stream
