"""A page of a PDF file as a picture."""

import io

import pypdfium2 as pdfium

from qingtan.i18n import tr
from qingtan.knowledge.reading.limits import Unreadable
from qingtan.knowledge.reading.pdf.read import open_pdf

_TALLEST = 4  # times as high as wide; a page that is taller still is drawn narrower
_QUALITY = 85  # of WebP, to 100: a page of text takes a third of a PNG file's bytes


def draw_page(data: bytes, number: int, width: int) -> bytes:
    """Return a page, from 1, as a WebP picture of so many dots across.

    Forms and scripts in the file are left alone.

    Raises:
        Unreadable: the file is damaged or has no such page.
    """
    document = open_pdf(data)
    if not 1 <= number <= len(document):
        raise Unreadable(tr(f"has no page {number}", f"没有第{number}页"))
    try:
        page = document[number - 1]
        across, down = page.get_size()
        # Of a page of no width there is nothing to see.
        scale = min(width / max(across, 1), _TALLEST * width / max(down, 1))
        picture = page.render(scale=scale, may_draw_forms=False).to_pil()
    except pdfium.PdfiumError:
        raise Unreadable(tr(f"page {number} is damaged", f"第{number}页已损坏")) from None
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=_QUALITY, method=2)
    return file.getvalue()
