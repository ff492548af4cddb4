"""CSV and TSV."""

import csv
import io

from qingtan.i18n import tr
from qingtan.knowledge.reading import faq
from qingtan.knowledge.reading.draft import Draft
from qingtan.knowledge.reading.grid import looks_like_header
from qingtan.knowledge.reading.limits import Unreadable
from qingtan.knowledge.reading.text import clean, decode

_SAMPLE = 1 << 16
_DELIMITERS = ",\t;|，"


def read_csv(data: bytes, draft: Draft) -> None:
    """Read a table, or a sheet of questions where its header says so."""
    text = clean(decode(data)).strip("\n")
    delimiter = "\t" if draft.name.lower().endswith(".tsv") else _delimiter(text[:_SAMPLE])
    csv.field_size_limit(draft.limits.characters)
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            draft.count_cells(len(row))
            rows.append(row)
    except csv.Error as error:
        raise Unreadable(
            tr(
                f"is no table of values: line {len(rows) + 1}: {error}",
                f"不是有效的CSV：第{len(rows) + 1}行：{error}",
            )
        ) from None
    add_rows([row for row in rows if any(cell.strip() for cell in row)], draft)


def add_rows(rows: list[list[str]], draft: Draft) -> None:
    """Add rows as questions or as a table."""
    columns = faq.find_columns(rows[0]) if rows else None
    if columns:
        faq.add_rows(columns, rows[0], rows[1:], draft)
    else:
        draft.table(rows, int(looks_like_header(rows)))


def _delimiter(sample: str) -> str:
    """Return the character that stands equally often in the first lines, the likeliest first."""
    best, most = ",", 0.0
    lines = sample.split("\n")[:20]
    for delimiter in _DELIMITERS:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        common = max(set(widths), key=widths.count) if widths else 0
        share = widths.count(common) / len(widths) if widths else 0.0
        if common > 1 and share > most + 0.1:
            best, most = delimiter, share
    return best
