"""LangChain's splitter and BM25 retriever as they come, of langchain-community and rank_bm25."""

from collections.abc import Callable
from pathlib import Path

from langchain_community.retrievers import BM25Retriever
from langchain_text_splitters import RecursiveCharacterTextSplitter

from retrieval_peers.side import read_lines


class LangChain:
    """See `Side`.

    Args:
        cut: into words; LangChain's own cuts at spaces.
    """

    def __init__(self, cut: Callable[[str], list[str]] = str.split) -> None:
        self._cut = cut

    def index(self, documents: Path, chunks: Path) -> None:
        """See `Side`."""
        records = list(read_lines(documents))
        texts = [f"{record['title']}\n{record['text']}" for record in records]
        names = [{"name": record["name"]} for record in records]
        parts = RecursiveCharacterTextSplitter().create_documents(texts, names)
        self._retriever = BM25Retriever.from_documents(parts, preprocess_func=self._cut)

    def find(self, question: str, limit: int) -> list[str]:
        """See `Side`."""
        self._retriever.k = limit
        return [found.metadata["name"] for found in self._retriever.invoke(question)]


def open_side(size: int) -> LangChain:
    """Return the side."""
    return LangChain()
