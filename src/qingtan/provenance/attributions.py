"""Whom the records themselves name: thousands of strings, kept in a file beside the record."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import zstandard
from pydantic import BaseModel, ConfigDict, ValidationError

from qingtan.errors import UserError

ATTRIBUTIONS_FILE = "attributions.jsonl.zst"
_LEVEL = 10

# By a source's name and licence: the distinct attributions that its records carry.
Attributions = Mapping[tuple[str, str], frozenset[str]]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: str
    licence: str
    attribution: str


def join_attributions(
    many: Iterable[Mapping[tuple[str, str], Collection[str]]],
) -> dict[tuple[str, str], frozenset[str]]:
    """Return the distinct attributions of several records, by source and licence."""
    joined: dict[tuple[str, str], set[str]] = {}
    for attributions in many:
        for key, texts in attributions.items():
            joined.setdefault(key, set()).update(texts)
    return {key: frozenset(texts) for key, texts in joined.items() if texts}


def write_attributions(folder: Path, attributions: Attributions) -> None:
    """Write `attributions.jsonl.zst`, one attribution a line, sorted; without any, no file.

    The file is written beside and renamed; an earlier one is replaced or removed.
    """
    path = folder / ATTRIBUTIONS_FILE
    lines = [
        _Line(source=name, licence=licence, attribution=text).model_dump_json() + "\n"
        for (name, licence), texts in sorted(attributions.items())
        for text in sorted(texts)
    ]
    if not lines:
        path.unlink(missing_ok=True)
        return
    partial = path.with_name(f".{path.name}.partial")
    try:
        compressor = zstandard.ZstdCompressor(level=_LEVEL)
        partial.write_bytes(compressor.compress("".join(lines).encode()))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_attributions(folder: Path) -> dict[tuple[str, str], frozenset[str]]:
    """Read what `write_attributions` wrote; without a file there are none.

    Raises:
        UserError: the file is damaged; the message names it and the line.
    """
    path = folder / ATTRIBUTIONS_FILE
    if not path.is_file():
        return {}
    read: dict[tuple[str, str], set[str]] = {}
    number = 0
    try:
        with zstandard.open(path, "rt", encoding="utf-8", newline="\n") as file:
            for text in file:
                number += 1
                line = _Line.model_validate_json(text)
                read.setdefault((line.source, line.licence), set()).add(line.attribution)
    except (zstandard.ZstdError, UnicodeDecodeError, EOFError) as error:
        raise UserError(f"{path}: damaged: {error}; copy it anew") from None
    except ValidationError as error:
        raise UserError(f"{path}, line {number}: not an attribution: {error}") from None
    return {key: frozenset(texts) for key, texts in read.items()}
