"""bm25s over words by jieba, in memory, of chunks that are cut already."""

import sys
from pathlib import Path

import bm25s
import jieba

from retrieval_peers.side import read_lines


class Bm25s:
    """See `Side`."""

    def __init__(self) -> None:
        jieba.initialize()
        self._names: list[str] = []
        self._index = bm25s.BM25()

    def index(self, documents: Path, chunks: Path) -> None:
        """See `Side`."""
        words = []
        for record in read_lines(chunks):
            self._names.append(record["document"])
            words.append(_words(record["text"]))
        self._index.index(words, show_progress=False)

    def find(self, question: str, limit: int) -> list[str]:
        """See `Side`."""
        places, _ = self._index.retrieve([_words(question)], k=limit, show_progress=False)
        return [self._names[place] for place in places[0]]


def _words(text: str) -> list[str]:
    # Each word once in memory, or a million chunks would take many gigabytes.
    return [sys.intern(word) for word in jieba.cut(text) if word.strip()]


def open_side(size: int) -> Bm25s:
    """Return the side."""
    return Bm25s()
