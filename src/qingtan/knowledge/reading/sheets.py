"""Excel files, by openpyxl: a sheet is a page; it holds tables, or questions with answers."""

import io
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from zipfile import ZipFile

import openpyxl
from openpyxl.utils.cell import range_boundaries

from qingtan.i18n import tr
from qingtan.knowledge.reading import faq, office
from qingtan.knowledge.reading.draft import Draft
from qingtan.knowledge.reading.grid import Cell, Grid, is_number

Places = dict[int, dict[int, str]]  # the cells that hold something, by row and column
Range = tuple[int, int, int, int]  # first row, first column, last row, last column

_MERGE = re.compile(
    rb"""<(?:\w+:)?mergeCell\s[^>]{0,100}?\bref\s*=\s*["']([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})["']"""
)
_CHUNK, _LONGEST_MERGE = 1 << 20, 256
_DEFAULT_NAME = re.compile(r"(?i)(sheet|工作表)\s*\d*")
_PERCENT = re.compile(r"0(?:\.(0+))?%")


def read_xlsx(data: bytes, draft: Draft) -> None:
    """Read a workbook."""
    package = office.open_package(data, draft.limits)
    try:
        # Sheets are read as streams: cells, and not the rectangle that a far one spans.
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        office.read_properties(book.properties, draft)
        draft.count_pages(len(book.worksheets))
        for number, sheet in enumerate(book.worksheets, 1):
            draft.page = number
            if sheet.sheet_state != "visible":
                draft.warn(
                    tr(
                        f'sheet "{sheet.title}" is hidden, and was not read',
                        f"工作表“{sheet.title}”已隐藏，未读取",
                    )
                )
                continue
            places = _read_cells(sheet, draft)
            merges = _read_merges(package, sheet._worksheet_path, draft)
            _add_sheet(sheet.title, places, merges, draft)
    except office.UNEXPECTED as error:
        raise office.broken(error, "Excel") from None


def _read_cells(sheet: Any, draft: Draft) -> Places:
    sheet.reset_dimensions()  # what the file says of its size may be wrong
    places: Places = {}
    for row in sheet.iter_rows():
        filled = {
            cell.column: text for cell in row if cell.value is not None and (text := _text(cell))
        }
        if filled:
            draft.count_cells(len(filled))
            places[next(cell.row for cell in row if cell.value is not None)] = filled
    return places


def _text(cell: Any) -> str:
    """Return a value as people read it."""
    value = cell.value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d" if value.time() == time() else "%Y-%m-%d %H:%M:%S")
    if isinstance(value, (date, time, timedelta)):
        return str(value)
    if isinstance(value, (int, float)):
        percent = _PERCENT.fullmatch(cell.number_format or "")
        if percent:
            return f"{value:.{len(percent[1] or '')}%}"
        return f"{value:.15g}"
    return str(value).strip()


def _read_merges(package: ZipFile, path: str, draft: Draft) -> list[Range]:
    """Return merged ranges, which openpyxl leaves out of streams."""
    found: dict[bytes, None] = {}
    tail = b""
    with package.open(path.lstrip("/")) as part:
        while chunk := part.read(_CHUNK):
            text = tail + chunk
            found.update(dict.fromkeys(_MERGE.findall(text)))
            tail = text[-_LONGEST_MERGE:]
    draft.count_cells(len(found))
    ranges = []
    for each in found:
        left, top, right, bottom = range_boundaries(each.decode("ascii"))
        ranges.append((top, left, bottom, right))
    return ranges


def _add_sheet(title: str, places: Places, merges: list[Range], draft: Draft) -> None:
    regions = list(_regions(places, merges))
    if not regions:
        return
    if not _DEFAULT_NAME.fullmatch(title):
        draft.heading(title, 1)
    for rows in regions:
        _add_region({row: places[row] for row in rows}, merges, draft)


def _regions(places: Places, merges: list[Range]) -> Iterator[list[int]]:
    """Yield the rows of each table: between two stands an empty row, and the second has a header.

    Rows without a header of their own go on with the table above.
    """
    joined = {
        row for top, _, bottom, _ in merges for row in range(top + 1, min(bottom, top + 10_000) + 1)
    }
    region: list[int] = []
    for row in sorted(places):
        apart = bool(region) and row > region[-1] + 1 and row not in joined
        if apart and _starts_table(places, region, row):
            yield region
            region = []
        region.append(row)
    if region:
        yield region


def _starts_table(places: Places, region: list[int], row: int) -> bool:
    """Return whether a row after an empty one begins another table: it holds words alone, while
    the one above ends with numbers, or its cells stand elsewhere."""
    above, here = places[region[-1]], places[row]
    if set(here) != set(above):
        return True
    numbers = any(map(is_number, above.values()))
    return numbers and not any(map(is_number, here.values()))


def _add_region(places: Places, merges: list[Range], draft: Draft) -> None:
    """Add a region: first lines of one cell are its title."""
    rows = sorted(places)
    while rows and len(rows) > 1 and _is_title(places[rows[0]], places):
        draft.heading(next(iter(places[rows.pop(0)].values())), 2)
    if len(rows) == 1:
        draft.paragraph(" | ".join(text for _, text in sorted(places[rows[0]].items())))
        return
    grid = _grid({row: places[row] for row in rows}, merges, draft)
    table = grid.rows()
    columns = faq.find_columns(table[0])
    if columns:
        faq.add_rows(columns, table[0], table[1:], draft)
    else:
        draft.table(table, grid.header_rows())


def _is_title(row: dict[int, str], places: Places) -> bool:
    """Return whether a row is one short text above a table of several columns."""
    texts = list(row.values())
    wide = max(map(len, places.values()))
    return len(texts) == 1 and wide > 1 and len(texts[0]) <= 60 and not is_number(texts[0])


def _grid(places: Places, merges: list[Range], draft: Draft) -> Grid:
    """Return a table of the rows and columns that hold something."""
    rows = sorted(places)
    columns = sorted({column for row in places.values() for column in row})
    spans = {(top, left): (bottom, right) for top, left, bottom, right in merges}
    grid = Grid(draft)
    for number, row in enumerate(rows):
        for column, text in places[row].items():
            bottom, right = spans.get((row, column), (row, column))
            place = bisect_left(columns, column)
            height = max(bisect_right(rows, bottom) - number, 1)
            width = max(bisect_right(columns, right) - place, 1)
            grid.put(Cell(number, place, text, height, width))
    return grid
