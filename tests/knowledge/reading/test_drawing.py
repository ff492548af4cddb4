"""Pages of PDF files become pictures, in the process that may be killed."""

import io
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from qingtan.knowledge.reading import Limits, Reader, Unreadable
from qingtan.knowledge.reading.limits import MIB

from .files import source
from .pdf_writer import Pdf
from .test_reader import damaged, endless_pdf

pytestmark = pytest.mark.usefixtures("english")


def two_pages(rotate: int = 0) -> Pdf:
    """A bar in the upper left part of the first page, one at the foot of the second."""
    pdf = Pdf()
    pdf.page(rotate=rotate).bar(60, 84, 238, 168)
    pdf.page().bar(0, 800, 595, 842)
    pdf.pages[0].text(60, 168, "字字")
    return pdf


def draw(reader: Reader, data: bytes, page: int = 1, width: int = 595) -> Image.Image:
    picture = Image.open(io.BytesIO(reader.draw(source("页.pdf", data), page, width)))
    assert picture.format == "WEBP"
    return picture.convert("L")


def dark(picture: Image.Image) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of what is dark, as shares of the picture."""
    dots: NDArray[np.bool_] = np.asarray(picture) < 128
    rows, columns = np.flatnonzero(dots.any(axis=1)), np.flatnonzero(dots.any(axis=0))
    height, width = dots.shape
    return columns[0] / width, rows[0] / height, columns[-1] / width, rows[-1] / height


def test_a_page_is_drawn_as_it_looks(reader: Reader) -> None:
    data = two_pages().data()
    first, second = draw(reader, data), draw(reader, data, page=2, width=300)
    assert first.size == pytest.approx((595, 842), abs=2)
    assert dark(first) == pytest.approx((60 / 595, 84 / 842, 238 / 595, 168 / 842), abs=0.01)
    assert second.width == pytest.approx(300, abs=2)
    assert dark(second) == pytest.approx((0, 800 / 842, 1, 1), abs=0.02)


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_blocks_stand_where_the_picture_shows_them(reader: Reader, rotate: int) -> None:
    pdf = Pdf()
    page = pdf.page(rotate=rotate)
    page.text(100, 200, "这一行字在这里，黑条也在这里。", 20)
    page.bar(100, 182, 400, 204)
    data = pdf.data()
    (block,) = reader.read(source("页.pdf", data)).blocks
    assert block.box is not None
    assert dark(draw(reader, data)) == pytest.approx(block.box, abs=0.02)


def test_what_cannot_be_drawn_is_said_and_the_next_page_is_drawn(reader: Reader) -> None:
    data = two_pages().data()
    for page in (0, 3, -1, 10**12):
        with pytest.raises(Unreadable, match=rf"^页\.pdf: has no page {page}$"):
            reader.draw(source("页.pdf", data), page, 500)
    for broken in (b"", b"<html></html>", b"%PDF-1.7 broken", data[:120]):
        with pytest.raises(Unreadable, match=r"^页\.pdf: is no PDF file"):
            reader.draw(source("页.pdf", broken), 1, 500)
    assert draw(reader, data).width == 595


def test_a_damaged_file_is_drawn_or_refused(reader: Reader) -> None:
    data = damaged(two_pages().data())
    try:
        picture = draw(reader, data)
    except Unreadable:
        return
    assert picture.width == 595


@pytest.mark.parametrize("size", [(14_400, 14_400), (10, 14_400), (14_400, 10), (0.5, 0.5)])
def test_no_page_makes_a_picture_that_is_too_large(
    reader: Reader, size: tuple[float, float]
) -> None:
    pdf = Pdf()
    pdf.page(size=size).bar(0, 0, *size)
    picture = draw(reader, pdf.data(), width=1000)
    assert max(picture.width / 1000, picture.height / 4000) <= 1.01


def test_a_page_that_never_ends_is_given_up_and_the_next_one_is_drawn() -> None:
    with Reader(Limits(seconds=1)) as reader:
        start = time.monotonic()
        with pytest.raises(Unreadable, match="longer than 1 seconds"):
            reader.draw(source("圈.pdf", endless_pdf()), 1, 500)
        assert time.monotonic() - start < 30
        assert draw(reader, two_pages().data()).width == 595


def test_a_page_that_needs_too_much_memory_is_given_up() -> None:
    with Reader(Limits(memory_bytes=MIB)) as reader, pytest.raises(Unreadable):
        draw(reader, two_pages().data())
