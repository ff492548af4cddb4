"""LlamaIndex with words by jieba, as its users in China set it up."""

import jieba

from retrieval_peers.with_llama_index import LlamaIndex


def open_side(size: int) -> LlamaIndex:
    """Return the side."""
    jieba.initialize()
    return LlamaIndex(lambda text: " ".join(jieba.cut(text)))
