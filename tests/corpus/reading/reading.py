"""Writing files and reading them back, for the tests of this folder."""

import gzip
from pathlib import Path
from typing import Any

import zstandard

from qingtan.corpus.reading import (
    FormatTable,
    InputFile,
    Record,
    Rejected,
    list_files,
    parse,
    read_raw,
)

COMPRESS = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


def write(folder: Path, name: str, data: bytes | str) -> Path:
    """Write a file, compressed as its name says."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = data.encode() if isinstance(data, str) else data
    suffix = path.suffix if path.suffix in COMPRESS else ""
    path.write_bytes(COMPRESS[suffix](data))
    return path


def read(
    path: Path, limit: int | None = None, block_bytes: int = 8 << 20, **table: Any
) -> list[Record | Rejected]:
    """Read a file or folder to its end."""
    settings = FormatTable(**table)
    files: list[InputFile] = list_files(path)
    blocks = read_raw(files, settings, limit, block_bytes)
    return [record for block in blocks for record in parse(block, settings)]


def values(path: Path, **table: Any) -> list[dict[str, Any]]:
    """Read a file or folder in which nothing is rejected."""
    found = read(path, **table)
    assert not [record for record in found if isinstance(record, Rejected)]
    return [record.value for record in found]


def texts(path: Path, **table: Any) -> list[str]:
    """Read the texts of a file or folder in which nothing is rejected."""
    return [value["text"] for value in values(path, **table)]
