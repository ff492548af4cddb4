"""Cutting documents where they part themselves: at headings, articles, questions and rows."""

from qingtan.knowledge.chunking.cut import DEFAULT_SIZE, cut

__all__ = ["DEFAULT_SIZE", "cut"]
