"""JSON Lines."""

from codecs import BOM_UTF8
from collections.abc import Iterator

import orjson

from qingtan.corpus.reading.lines import find_lines, is_blank, read_lines, take_found
from qingtan.corpus.reading.records import Parsed, Run, explain_too_long
from qingtan.corpus.reading.settings import FormatTable
from qingtan.corpus.reading.streams import Chunks


def read_jsonl(chunks: Chunks, table: FormatTable) -> Iterator[Run]:
    """Yield runs of lines."""
    return read_lines(chunks, table)


def take_jsonl(run: Run, count: int, table: FormatTable) -> tuple[Run, int]:
    """Return the first records of a run."""
    return take_found(run, count, find_lines)


def parse_jsonl(run: Run, table: FormatTable) -> Parsed:
    """Yield each line's object.

    Unlike Python's own parser, orjson accepts no NaN, no half of a surrogate pair, and no nesting
    deeper than 1,024.
    """
    for place, line in enumerate(run.data.split(b"\n"), start=run.line):
        if len(line) > table.max_record_bytes:
            yield place, explain_too_long(table)
            continue
        try:
            # A mark stands at a file's beginning, or further on where files were joined.
            value = orjson.loads(line.removeprefix(BOM_UTF8))
        except orjson.JSONDecodeError as error:
            if not is_blank(line):
                yield place, f"not JSON: {error.msg} at column {error.colno}"
        else:
            yield place, value if type(value) is dict else "not a JSON object"
