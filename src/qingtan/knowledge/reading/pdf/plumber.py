"""Text that pdfium passes over, by pdfplumber."""

import io
from typing import Any

import pdfplumber

from qingtan.knowledge.reading.pdf.lines import Line, plain


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
            left, top = page.cropbox[:2]
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
