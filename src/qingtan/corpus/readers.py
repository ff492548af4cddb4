"""Files of records, read as a stream: one reader for each kind of file."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from qingtan.errors import UserError

CHUNK_BYTES = 1 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Record:
    """One record of a file, unchecked but for being an object.

    Attributes:
        line: its line, from 1.
    """

    line: int
    value: dict[str, Any]


@dataclass(frozen=True)
class Rejected:
    """A line that is no record, or a record that cannot be used."""

    line: int
    reason: str


def read_records(path: Path) -> Iterator[Record | Rejected]:
    """Yield the records of a file in its order; a bad line is yielded as `Rejected`.

    Raises:
        UserError: the file is missing or cannot be read to its end, or no reader knows its suffix.
    """
    suffix = "".join(path.suffixes[-2:]) if path.suffix in (".gz", ".zst") else path.suffix
    reader = READERS.get(suffix)
    if reader is None:
        raise UserError(f"{path}: no reader for {suffix or 'no suffix'}; use {', '.join(READERS)}")
    try:
        yield from reader(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def _read_plain(path: Path) -> Iterator[Record | Rejected]:
    with path.open("rb") as file:
        yield from _parse(_lines(iter(lambda: file.read(CHUNK_BYTES), b"")))


def _read_gzip(path: Path) -> Iterator[Record | Rejected]:
    with gzip.open(path, "rb") as file:
        yield from _parse(_lines(iter(lambda: file.read(CHUNK_BYTES), b"")))


def _read_zstd(path: Path) -> Iterator[Record | Rejected]:
    with path.open("rb") as file:
        yield from _parse(_lines(_decompress(file)))


def _decompress(file: BinaryIO) -> Iterator[bytes]:
    # zstandard's own stream reader takes the end of a file cut short for the end of the data.
    frame = None
    while chunk := file.read(CHUNK_BYTES):
        while chunk:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(chunk)
            if not frame.eof:
                break
            chunk, frame = frame.unused_data, None
    if frame is not None:
        raise EOFError("the compressed data end in the middle")


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    yield rest


def _parse(lines: Iterable[bytes]) -> Iterator[Record | Rejected]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.removeprefix(BYTE_ORDER_MARK).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            yield Rejected(number, f"not JSON: {error}")
            continue
        if isinstance(value, dict):
            yield Record(number, value)
        else:
            yield Rejected(number, "not a JSON object")


# A new kind of file is one more line here.
READERS: dict[str, Callable[[Path], Iterator[Record | Rejected]]] = {
    ".jsonl": _read_plain,
    ".jsonl.gz": _read_gzip,
    ".jsonl.zst": _read_zstd,
}
