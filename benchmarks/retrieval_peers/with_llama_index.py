"""LlamaIndex's splitter and BM25 retriever as they come, of llama-index-retrievers-bm25."""

from collections.abc import Callable
from pathlib import Path

from llama_index.core import Document
from llama_index.core.node_parser import SentenceSplitter
from llama_index.retrievers.bm25 import BM25Retriever

from retrieval_peers.side import read_lines


class LlamaIndex:
    """See `Side`.

    Args:
        spaced: puts spaces between words, where its retriever cuts.
    """

    def __init__(self, spaced: Callable[[str], str] = str) -> None:
        self._spaced = spaced

    def index(self, documents: Path, chunks: Path) -> None:
        """See `Side`."""
        read = [
            Document(
                text=self._spaced(f"{record['title']}\n{record['text']}"),
                metadata={"name": record["name"]},
            )
            for record in read_lines(documents)
        ]
        nodes = SentenceSplitter().get_nodes_from_documents(read)
        self._retriever = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=10)

    def find(self, question: str, limit: int) -> list[str]:
        """See `Side`."""
        found = self._retriever.retrieve(self._spaced(question))
        return [each.node.metadata["name"] for each in found][:limit]


def open_side(size: int) -> LlamaIndex:
    """Return the side."""
    return LlamaIndex()
