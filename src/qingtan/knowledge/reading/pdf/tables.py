"""Tables with rules: their lines as pdfium gives them, their cells by pdfplumber's finder.

pdfplumber itself would parse the page once more, in ten times the time that its text takes.
"""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pypdfium2.raw as raw
from pdfplumber.table import (
    cells_to_tables,
    edges_to_intersections,
    intersections_to_cells,
    merge_edges,
)

from qingtan.knowledge.reading.grid import Cell
from qingtan.knowledge.reading.pdf.view import View

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom, in points
Point = tuple[float, float]

_NEAR = 3.0  # points; edges this close are one, and touch
_LEAST = 3  # edges of each direction; a box alone has two
_MOST_OBJECTS = 20_000
_MOST_EDGES = 50_000
_MOST_JOINED = 2_000  # of those that are one; more are a drawing


@dataclass(frozen=True, slots=True)
class RuledTable:
    """A table's place on the page as it is shown, and its cells; their `text` is to be filled."""

    box: Rectangle
    cells: tuple[tuple[Cell, Rectangle], ...]


def find_tables(page: Any, view: View) -> list[RuledTable]:
    """Return the tables of a page; of at least two rows and two columns."""
    edges = list(islice(_edges(page, view), _MOST_EDGES))
    if min(sum(each["orientation"] == way for each in edges) for way in "hv") < _LEAST:
        return []
    joined = merge_edges(edges, _NEAR, _NEAR, _NEAR, _NEAR)
    if len(joined) > _MOST_JOINED:
        return []
    cells = intersections_to_cells(edges_to_intersections(joined, _NEAR, _NEAR))
    tables = (_table(each) for each in cells_to_tables(cells))
    return [table for table in tables if table is not None]


def is_within(x: float, y: float, box: Rectangle) -> bool:
    """Return whether a point lies in a box."""
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _edges(page: Any, view: View) -> Iterator[dict[str, Any]]:
    """Yield the straight lines along an axis, as pdfplumber calls them."""
    paths = page.get_objects(filter=(raw.FPDF_PAGEOBJ_PATH,), max_depth=4)
    for path in islice(paths, _MOST_OBJECTS):
        for (x, y), (to_x, to_y) in _segments(path):
            left, top, right, bottom = view.shown(
                min(x, to_x), max(y, to_y), max(x, to_x), min(y, to_y)
            )
            if bottom - top < 1 < right - left:
                yield _edge("h", left, top, right, top)
            elif right - left < 1 < bottom - top:
                yield _edge("v", left, top, left, bottom)


def _edge(way: str, left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    return {
        "orientation": way,
        "x0": left,
        "top": top,
        "x1": right,
        "bottom": bottom,
        "width": right - left,
        "height": bottom - top,
    }


def _segments(path: Any) -> Iterator[tuple[Point, Point]]:
    """Yield the ends of a path's straight segments. (Its bounds would count the pen's width.)"""
    matrix, form = path.get_matrix(), path.container
    while form is not None:
        matrix, form = matrix.multiply(form.get_matrix()), form.container
    x, y = ctypes.c_float(), ctypes.c_float()
    here = first = (0.0, 0.0)
    for number in range(min(raw.FPDFPath_CountSegments(path), _MOST_EDGES)):
        segment = raw.FPDFPath_GetPathSegment(path, number)
        raw.FPDFPathSegment_GetPoint(segment, x, y)
        there = matrix.on_point(x.value, y.value)
        kind = raw.FPDFPathSegment_GetType(segment)
        if kind == raw.FPDF_SEGMENT_MOVETO:
            first = there
        elif kind == raw.FPDF_SEGMENT_LINETO:
            yield here, there
        if raw.FPDFPathSegment_GetClose(segment):
            yield there, first
        here = there


def _table(boxes: list[Rectangle]) -> RuledTable | None:
    columns = _distinct([x for box in boxes for x in (box[0], box[2])])
    rows = _distinct([y for box in boxes for y in (box[1], box[3])])
    if len(columns) < _LEAST or len(rows) < _LEAST:
        return None
    cells = []
    for left, top, right, bottom in sorted(boxes, key=lambda box: (box[1], box[0])):
        column, row = _index(columns, left), _index(rows, top)
        width = max(_index(columns, right) - column, 1)
        height = max(_index(rows, bottom) - row, 1)
        cells.append((Cell(row, column, "", height, width), (left, top, right, bottom)))
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return RuledTable((min(lefts), min(tops), max(rights), max(bottoms)), tuple(cells))


def _distinct(values: list[float]) -> list[float]:
    result: list[float] = []
    for value in sorted(values):
        if not result or value - result[-1] > _NEAR:
            result.append(value)
    return result


def _index(edges: list[float], value: float) -> int:
    return min(range(len(edges)), key=lambda number: abs(edges[number] - value))
