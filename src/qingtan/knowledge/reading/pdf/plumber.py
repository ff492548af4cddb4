"""What pdfium leaves: the rules of tables, and text that it passes over; by pdfplumber."""

import io
from dataclasses import dataclass
from typing import Any

import pdfplumber
import pypdfium2.raw as raw

from qingtan.knowledge.reading.grid import Cell
from qingtan.knowledge.reading.pdf.lines import Line, plain

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom, in points

_THIN = 3.0  # points; a rule is no thicker
_LEAST_RULES = 3  # of each direction; a box alone has two
_MOST_OBJECTS = 20_000
_TOGETHER = 3.0  # points; edges this close are one


@dataclass(frozen=True, slots=True)
class RuledTable:
    """A table's place on the page and its cells; `text` of each is still to be filled."""

    box: Rectangle
    cells: tuple[tuple[Cell, Rectangle], ...]


def has_rules(page: Any) -> bool:
    """Return whether a page has enough straight lines for a table; stops at the first enough."""
    across = down = 0
    for number, item in enumerate(page.get_objects(filter=(raw.FPDF_PAGEOBJ_PATH,), max_depth=4)):
        left, bottom, right, top = item.get_bounds()
        width, height = right - left, top - bottom
        if height <= _THIN < width:
            across += 1
        elif width <= _THIN < height:
            down += 1
        elif min(width, height) > _THIN:
            across, down = across + 2, down + 2  # a box, or a grid in one path
        if min(across, down) >= _LEAST_RULES:
            return True
        if number > _MOST_OBJECTS:
            break
    return False


class Plumber:
    """Looks at pages again; the file is opened when the first page asks.

    Its methods raise whatever pdfminer raises on a damaged file.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._file: Any = None

    def lines(self, number: int) -> list[Line]:
        """Return the lines of a page, numbered from 1."""
        page = self._page(number)
        try:
            left, top = page.bbox[:2]
            words = page.extract_words(
                keep_blank_chars=True, use_text_flow=True, extra_attrs=["size"]
            )
            return [
                Line(
                    text,
                    word["x0"] - left,
                    word["top"] - top,
                    word["x1"] - left,
                    word["bottom"] - top,
                    round(word["size"], 1),
                )
                for word in words
                if (text := plain(word["text"]))
            ]
        finally:
            page.close()

    def _page(self, number: int) -> Any:
        if self._file is None:
            self._file = pdfplumber.open(io.BytesIO(self._data))
        return self._file.pages[number - 1]

    def tables(self, number: int) -> list[RuledTable]:
        """Return the tables of a page; of at least two rows and two columns."""
        page = self._page(number)
        try:
            found = [_ruled(each) for each in page.find_tables()]
            left, top = page.bbox[:2]
            return [_moved(each, -left, -top) for each in found if each is not None]
        finally:
            page.close()


def _ruled(table: Any) -> RuledTable | None:
    columns = _edges([x for cell in table.cells for x in (cell[0], cell[2])])
    rows = _edges([y for cell in table.cells for y in (cell[1], cell[3])])
    if len(columns) < 3 or len(rows) < 3:
        return None
    cells = []
    for left, top, right, bottom in sorted(table.cells, key=lambda cell: (cell[1], cell[0])):
        column, row = _index(columns, left), _index(rows, top)
        width = max(_index(columns, right) - column, 1)
        height = max(_index(rows, bottom) - row, 1)
        cells.append((Cell(row, column, "", height, width), (left, top, right, bottom)))
    return RuledTable(tuple(table.bbox), tuple(cells))


def _edges(values: list[float]) -> list[float]:
    result: list[float] = []
    for value in sorted(values):
        if not result or value - result[-1] > _TOGETHER:
            result.append(value)
    return result


def _index(edges: list[float], value: float) -> int:
    return min(range(len(edges)), key=lambda number: abs(edges[number] - value))


def _moved(table: RuledTable, x: float, y: float) -> RuledTable:
    def move(box: Rectangle) -> Rectangle:
        return box[0] + x, box[1] + y, box[2] + x, box[3] + y

    return RuledTable(move(table.box), tuple((cell, move(box)) for cell, box in table.cells))


def is_within(x: float, y: float, box: Rectangle) -> bool:
    """Return whether a point lies in a box."""
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]
