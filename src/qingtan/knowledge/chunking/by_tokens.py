"""Cutting documents into chunks that are measured in a model's tokens."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from qingtan.glm.tokenizer import load_tokenizer
from qingtan.knowledge.chunking import cut
from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.documents import Document


def cutter(model: Path) -> Callable[[Document], list[Chunk]]:
    """Return what cuts documents by the tokens of a model; its tokenizer is loaded when needed."""

    @cache
    def measure() -> Callable[[str], int]:
        tokenizer = load_tokenizer(model)
        return lambda text: len(tokenizer.encode(text))

    return lambda document: cut(document, measure())
