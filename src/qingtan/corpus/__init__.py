"""From documents and conversations to a vocabulary and to shards of tokens."""

from qingtan.corpus.build import build_corpus
from qingtan.corpus.recipe import CorpusRecipe, TokenizerRecipe
from qingtan.corpus.shards import Corpus, Shard
from qingtan.corpus.vocabulary import train_vocabulary

__all__ = [
    "Corpus",
    "CorpusRecipe",
    "Shard",
    "TokenizerRecipe",
    "build_corpus",
    "train_vocabulary",
]
