"""From raw documents and conversations to clean text, a vocabulary, and shards of tokens."""

from qingtan.corpus.build import build_corpus
from qingtan.corpus.recipe import CorpusRecipe
from qingtan.corpus.shards import Corpus, Shard

__all__ = ["Corpus", "CorpusRecipe", "Shard", "build_corpus"]
