"""PowerPoint files, by python-pptx: a slide is a page, its title a heading."""

import io
from collections.abc import Iterator
from typing import Any

from pptx import Presentation

from qingtan.i18n import tr
from qingtan.knowledge.reading import office
from qingtan.knowledge.reading.draft import Draft
from qingtan.knowledge.reading.grid import Cell, Grid
from qingtan.knowledge.reading.limits import Unreadable

_DEEPEST = 20


def read_pptx(data: bytes, draft: Draft) -> None:
    """Read a presentation."""
    office.open_package(data, draft.limits).close()
    try:
        presentation = Presentation(io.BytesIO(data))
        office.read_properties(presentation.core_properties, draft)
        draft.count_pages(len(presentation.slides))
        for number, slide in enumerate(presentation.slides, 1):
            draft.page = number
            _add_slide(slide, draft)
    except office.UNEXPECTED as error:
        raise office.broken(error, "PowerPoint") from None


def _add_slide(slide: Any, draft: Draft) -> None:
    if slide._element.get("show") == "0":
        draft.warn(
            tr(f"slide {draft.page} is hidden, and was not read", f"第{draft.page}页已隐藏，未读取")
        )
        return
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        draft.heading(title.text_frame.text, 1)
    for shape in _shapes(slide.shapes, 0):
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if getattr(shape, "has_table", False):
            _add_table(shape.table, draft)
        elif getattr(shape, "has_text_frame", False):
            _add_text(shape.text_frame, draft)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        draft.paragraph(slide.notes_slide.notes_text_frame.text)


def _shapes(shapes: Any, depth: int) -> Iterator[Any]:
    """Yield shapes from top to bottom, those in groups too."""
    if depth > _DEEPEST:
        raise Unreadable(tr("nests groups too deep", "组合嵌套过深"))
    for shape in sorted(shapes, key=lambda each: (each.top or 0, each.left or 0)):
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes, depth + 1)
        else:
            yield shape


def _add_text(frame: Any, draft: Draft) -> None:
    """Add a frame: several short paragraphs are the points of a list."""
    points = [("  " * each.level + each.text.replace("\v", " ")) for each in frame.paragraphs]
    points = [point for point in points if point.strip()]
    if len(points) > 1:
        draft.items(points)
    else:
        draft.paragraph("".join(points))


def _add_table(table: Any, draft: Draft) -> None:
    grid = Grid(draft)
    for row, line in enumerate(table.rows):
        for column, cell in enumerate(line.cells):
            if cell.is_spanned:
                continue
            height, width = (cell.span_height, cell.span_width) if cell.is_merge_origin else (1, 1)
            height = min(height, len(table.rows) - row)
            width = min(width, len(table.columns) - column)
            grid.put(Cell(row, column, cell.text_frame.text, height, width))
    marked = int(bool(table.first_row)) if len(table.rows) > 1 else 0
    draft.table(grid.rows(), max(marked, grid.header_rows()))
