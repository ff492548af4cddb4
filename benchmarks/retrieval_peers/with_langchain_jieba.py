"""LangChain with words by jieba, as its users in China set it up."""

import jieba

from retrieval_peers.with_langchain import LangChain


def open_side(size: int) -> LangChain:
    """Return the side."""
    jieba.initialize()
    return LangChain(jieba.lcut)
