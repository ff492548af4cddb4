"""Pages that are pictures, as a scanner makes them."""

import importlib.util
import os
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from qingtan.knowledge.reading import Unreadable, read

HAS_OCR = importlib.util.find_spec("rapidocr") is not None
LINES = ("Order 2024-0815", "Total 1288.50 yuan", "Warranty two years")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A PDF file of one page that is a picture of LINES."""
    picture = Image.new("RGB", (1240, 1754), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=40)
    for number, line in enumerate(LINES):
        pen.text((120, 150 + 200 * number), line, fill="black", font=font)
    path = tmp_path / "scan.pdf"
    picture.save(path, resolution=150)
    return path


@pytest.mark.skipif(
    not HAS_OCR and os.environ.get("QINGTAN_REQUIRE_ALL") != "1", reason="rapidocr is an extra"
)
def test_what_stands_in_a_picture_is_read_with_its_place(scan: Path) -> None:
    document = read(scan)
    text = " ".join(block.text for block in document.blocks)
    for line in LINES:
        assert line.replace(" ", "") in text.replace(" ", "")
    first = document.blocks[0]
    assert first.page == 1
    assert first.box is not None
    left, top, _, _ = first.box
    # 120 of 1,240 and 150 of 1,754 dots.
    assert (left, top) == pytest.approx((0.097, 0.085), abs=0.02)


@pytest.mark.skipif(HAS_OCR, reason="what is said where rapidocr is not installed")
def test_without_the_extra_the_message_names_it(scan: Path) -> None:
    with pytest.raises(Unreadable, match=r"qingtan\[ocr\]"):
        read(scan)
