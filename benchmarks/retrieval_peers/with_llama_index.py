"""LlamaIndex's splitter and BM25 retriever as they come, of llama-index-retrievers-bm25."""

from pathlib import Path

from llama_index.core import Document
from llama_index.core.node_parser import SentenceSplitter
from llama_index.retrievers.bm25 import BM25Retriever

from retrieval_peers.side import read_lines


class LlamaIndex:
    """See `Side`."""

    def index(self, documents: Path, chunks: Path) -> None:
        """See `Side`."""
        read = [
            Document(text=f"{record['title']}\n{record['text']}", metadata={"name": record["name"]})
            for record in read_lines(documents)
        ]
        nodes = SentenceSplitter().get_nodes_from_documents(read)
        self._retriever = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=10)

    def find(self, question: str, limit: int) -> list[str]:
        """See `Side`."""
        return [found.node.metadata["name"] for found in self._retriever.retrieve(question)][:limit]


def open_side(size: int) -> LlamaIndex:
    """Return the side."""
    return LlamaIndex()
