"""Which format a file has, by its suffix."""

import re

from qingtan.corpus.reading.delimited import (
    parse_csv,
    parse_tsv,
    read_csv,
    read_tsv,
    take_csv,
    take_tsv,
)
from qingtan.corpus.reading.html import parse_html, take_page
from qingtan.corpus.reading.jsonl import parse_jsonl, read_jsonl, take_jsonl
from qingtan.corpus.reading.lines import read_whole
from qingtan.corpus.reading.parquet import parse_parquet, read_parquet, take_rows
from qingtan.corpus.reading.records import Format
from qingtan.corpus.reading.streams import COMPRESSIONS
from qingtan.corpus.reading.text import (
    parse_markdown,
    parse_text,
    read_markdown,
    read_text,
    take_text,
)

_JSONL = Format("jsonl", read_jsonl, take_jsonl, parse_jsonl)
_MARKDOWN = Format("markdown", read_markdown, take_text, parse_markdown)
_HTML = Format("html", read_whole, take_page, parse_html)

# A new format is one more line here.
READERS: dict[str, Format] = {
    ".jsonl": _JSONL,
    ".ndjson": _JSONL,
    ".parquet": Format("parquet", read_parquet, take_rows, parse_parquet, compressed=False),
    ".txt": Format("text", read_text, take_text, parse_text),
    ".md": _MARKDOWN,
    ".markdown": _MARKDOWN,
    ".html": _HTML,
    ".htm": _HTML,
    ".csv": Format("csv", read_csv, take_csv, parse_csv),
    ".tsv": Format("tsv", read_tsv, take_tsv, parse_tsv),
}
FORMATS: dict[str, Format] = {reader.name: reader for reader in READERS.values()}


def find_format(name: str) -> Format | None:
    """Return the format that a file's name tells, None when no reader knows it."""
    stem, dot, suffix = name.lower().rpartition(".")
    if dot + suffix in COMPRESSIONS:
        _, dot, suffix = stem.rpartition(".")
        reader = READERS.get(dot + suffix)
        return reader if reader and reader.compressed else None
    return READERS.get(dot + suffix)


def explain_unknown(name: str) -> str:
    """Return what to say of a file that no reader knows."""
    known = f"{', '.join(READERS)}, and all but .parquet also as {' or '.join(COMPRESSIONS)}"
    if re.search(r"\.json(?:\.\w+)?$", name.lower()):
        return (
            f"no reader for .json; make it JSON Lines (.jsonl), one object a line; read are {known}"
        )
    return f"no reader for this suffix; read are {known}"
