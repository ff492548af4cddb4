"""Qingtan's store and retriever, from documents to passages: they are cut here, too."""

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from qingtan.glm.catalogue import find_model
from qingtan.glm.tokenizer import load_tokenizer
from qingtan.knowledge.chunking import cut
from qingtan.knowledge.documents import Block, Document
from qingtan.knowledge.retrieval import Retriever
from qingtan.knowledge.store import open_store
from retrieval_peers.side import read_lines

_TOGETHER = 500  # documents of a transaction


class Qingtan:
    """See `Side`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._folder = tempfile.TemporaryDirectory()
        self._store = open_store(Path(self._folder.name) / "knowledge.db")
        self._base = self._store.create_base("benchmark", "base")
        self._retriever = Retriever(self._store)

    def index(self, documents: Path, chunks: Path) -> None:
        """See `Side`."""
        tokenizer = load_tokenizer(find_model("qingtan"))
        batch: list[dict[str, str]] = []
        for record in read_lines(documents):
            batch.append(record)
            if len(batch) == _TOGETHER:
                self._put(batch, lambda text: len(tokenizer.encode(text)))
                batch = []
        self._put(batch, lambda text: len(tokenizer.encode(text)))
        self._base = self._store.base("benchmark", "base")
        self._store.warm(self._base)

    def _put(self, batch: list[dict[str, str]], measure: Callable[[str], int]) -> None:
        with self._store.transaction():
            for record in batch:
                lines = filter(str.strip, record["text"].split("\n"))
                blocks = tuple(Block("paragraph", line) for line in lines)
                document = Document(record["name"], record["title"], "text/plain", blocks)
                digest = hashlib.sha256(record["name"].encode()).hexdigest()
                made = cut(document, measure, self._size)
                self._store.put_document(self._base, document, digest, made)

    def find(self, question: str, limit: int) -> list[str]:
        """See `Side`."""
        hits = self._retriever.find([self._base], question, limit)
        return [hit.chunk.document.name for hit in hits]


def open_side(size: int) -> Qingtan:
    """Return the side."""
    return Qingtan(size)
