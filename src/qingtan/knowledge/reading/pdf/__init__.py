"""PDF files: characters by pypdfium2, their order and their paragraphs by where they stand."""

from qingtan.knowledge.reading.pdf.drawing import draw_page
from qingtan.knowledge.reading.pdf.read import read_pdf

__all__ = ["draw_page", "read_pdf"]
