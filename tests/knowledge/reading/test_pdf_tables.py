"""Tables with rules: what is one, and where; held to pdfplumber, which reads the page itself."""

import io

import pdfplumber
import pypdfium2 as pdfium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.knowledge.reading.pdf.tables import RuledTable, find_tables
from qingtan.knowledge.reading.pdf.view import View

from .files import parse
from .pdf_writer import Page, Pdf


def tables(pdf: Pdf) -> list[RuledTable]:
    document = pdfium.PdfDocument(pdf.data())
    page = document[0]
    return find_tables(page, View(page))


def draw(page: Page, left: float, top: float, widths: list[int], heights: list[int]) -> None:
    """Draw a grid, each side of each cell for itself."""
    y = top
    for height in heights:
        x = left
        for width in widths:
            page.rule(x, y, x + width, y)
            page.rule(x, y + height, x + width, y + height)
            page.rule(x, y, x, y + height)
            page.rule(x + width, y, x + width, y + height)
            x += width
        y += height


sides = st.lists(st.integers(12, 60), min_size=1, max_size=4)


@given(
    grids=st.lists(st.tuples(sides, sides), min_size=1, max_size=3),
    rotate=st.sampled_from([0, 90, 180, 270]),
)
@settings(max_examples=60)
def test_tables_are_those_that_pdfplumber_finds(
    grids: list[tuple[list[int], list[int]]], rotate: int
) -> None:
    pdf = Pdf()
    page = pdf.page(rotate=rotate)
    for number, (widths, heights) in enumerate(grids):
        draw(page, 60, 60 + 250 * number, widths, heights)
    with pdfplumber.open(io.BytesIO(pdf.data())) as file:
        expected = [
            each.bbox
            for each in file.pages[0].find_tables()
            if len({cell[0] for cell in each.cells}) > 1 and len({c[1] for c in each.cells}) > 1
        ]
    found = sorted(each.box for each in tables(pdf))
    assert len(found) == len(expected) == sum(len(w) > 1 and len(h) > 1 for w, h in grids)
    for box, theirs in zip(found, sorted(expected), strict=True):
        assert box == pytest.approx(theirs, abs=0.1)


def test_boxes_and_single_lines_are_no_tables() -> None:
    pdf = Pdf()
    page = pdf.page()
    for top in range(100, 400, 12):  # a box around an example, filled line by line
        page.raw(f"0.9 g 60 {842 - top - 12} 400 12 re f")
    page.raw("60 430 400 312 re S")
    page.rule(60, 60, 535, 60)
    page.raw("100 100 m 150 180 250 180 300 100 c S")
    assert tables(pdf) == []


@pytest.mark.parametrize("form", ["in one path", "moved", "of thin bars"])
def test_a_grid_is_found_however_it_is_drawn(form: str) -> None:
    pdf = Pdf()
    page = pdf.page()
    lines = [(60, y, 360, y) for y in (500, 520, 540)] + [(x, 500, x, 540) for x in (60, 200, 360)]
    if form == "of thin bars":
        for x, y, to_x, to_y in lines:
            page.raw(f"{x} {y} {max(to_x - x, 0.8)} {max(to_y - y, 0.8)} re f")
    else:
        path = " ".join(f"{x} {y} m {to_x} {to_y} l" for x, y, to_x, to_y in lines)
        page.raw(f"{path} S" if form == "in one path" else f"q 1 0 0 1 0 0 cm {path} S Q")
    (table,) = tables(pdf)
    assert len(table.cells) == 4
    assert table.box == pytest.approx((60, 842 - 540, 360, 842 - 500), abs=1)


def test_what_is_cut_off_a_page_counts_for_nothing() -> None:
    pdf = Pdf()
    page = pdf.page()
    page.crop = (20.0, 30.0, 560.0, 800.0)
    draw(page, 60, 100, [100, 100], [20, 20])
    (table,) = tables(pdf)
    assert table.box == pytest.approx((40, 58, 240, 98), abs=0.1)


def test_a_page_whose_size_stands_above_it_keeps_its_places() -> None:
    pdf = Pdf()
    pdf.sizes_above = True
    page = pdf.page(size=(500.0, 1000.0))
    draw(page, 90, 200, [100, 100], [20, 20])
    for x, y, text in ((95, 215, "项目"), (195, 215, "金额"), (95, 235, "住宿"), (195, 235, "500")):
        page.text(x, y, text, 11)
    page.text(90, 500, "住宿费凭票报销。")
    table, line = parse("文件.pdf", pdf.data()).blocks
    assert table.rows == (("项目", "金额"), ("住宿", "500"))
    assert table.box == pytest.approx((0.18, 0.2, 0.58, 0.24), abs=0.002)
    assert line.box is not None
    assert line.box[1] == pytest.approx(0.49, abs=0.005)
