"""PDF files: characters by pypdfium2, their order and their paragraphs by where they stand."""

from qingtan.knowledge.reading.pdf.read import read_pdf

__all__ = ["read_pdf"]
