"""What this room prints when it is done."""

from collections.abc import Sequence
from pathlib import Path

from qingtan.corpus.recipe import TokenizerRecipe
from qingtan.corpus.shards import CorpusIndex, SourceEntry
from qingtan.glm.tokenizer import TOKENIZER_FILE
from qingtan.i18n import tr


def print_corpus(output: Path, index: CorpusIndex) -> None:
    """Print what became of each source, and the corpus in all."""
    rows = [f"  {s.name}: {_figures(s)}" for s in index.sources]
    documents = sum(source.documents for source in index.sources)
    tokens = sum(source.tokens for source in index.sources)
    total = tr(
        f"{output}: {documents:,} documents, {tokens:,} tokens, {len(index.shards)} shards",
        f"{output}：{documents:,} 篇，{tokens:,} 个词元，{len(index.shards)} 个分片",
    )
    print("\n".join([*rows, total]))


def _figures(source: SourceEntry) -> str:
    characters = source.characters / max(source.tokens, 1)
    return tr(
        f"{source.documents:,} documents, {source.tokens:,} tokens, "
        f"{characters:.2f} characters per token; rejected {source.rejected:,}, "
        f"duplicates {source.duplicates:,}, excluded {source.excluded:,}",
        f"{source.documents:,} 篇，{source.tokens:,} 个词元，每词元 {characters:.2f} 字；"
        f"弃用 {source.rejected:,}，重复 {source.duplicates:,}，排除 {source.excluded:,}",
    )


def print_vocabulary(recipe: TokenizerRecipe, texts: Sequence[str]) -> None:
    """Print the size of a vocabulary and of the sample that it was trained on."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    path = recipe.output / TOKENIZER_FILE
    print(
        tr(
            f"{path}: {recipe.vocab_size:,} pieces from {len(texts):,} documents, {size:.1f} MB",
            f"{path}：{recipe.vocab_size:,} 个词片，取自 {len(texts):,} 篇，{size:.1f} MB",
        )
    )
