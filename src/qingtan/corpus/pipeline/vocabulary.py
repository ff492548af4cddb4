"""Learns a vocabulary from a sample of the documents that are kept."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qingtan.corpus.documents import share_of
from qingtan.corpus.pipeline.clean import read_cleaned
from qingtan.corpus.pipeline.deduplicate import Numbering, duplicates_of
from qingtan.corpus.pipeline.plan import Work
from qingtan.corpus.recipe import CorpusRecipe
from qingtan.errors import UserError
from qingtan.glm.tokenizer import train_tokenizer

# SentencePiece passes over longer lines than 4,192 bytes; a character has at most 4.
LINE_CHARACTERS = 1000
# Digests are sorted into so many bins to find how much of a source makes up its part.
BINS = 1 << 16


def learn_vocabulary(
    recipe: CorpusRecipe, work: Work, numbering: Numbering, path: Path, threads: int
) -> None:
    """Train the tokenizer of `[vocabulary]`.

    The sample is drawn from all over each source by the hash of the text: it depends neither on
    the order of the documents nor on the number of workers.

    Raises:
        UserError: the sample is too small for the vocabulary.
    """
    table = recipe.vocabulary
    assert table
    total = sum(source.vocabulary_weight for source in recipe.source)
    if not total:
        raise UserError("source.vocabulary_weight: 0 for every source; nothing to learn from")
    shares = [
        _share_for(work, numbering, number, int(table.sample_bytes * s.vocabulary_weight / total))
        for number, s in enumerate(recipe.source)
    ]
    train_tokenizer(cut_lines(_sample(work, numbering, shares)), table.size, path, threads)


def cut_lines(texts: Iterable[str]) -> Iterator[str]:
    """Yield the lines of texts, the empty ones left out and long ones cut."""
    for text in texts:
        for line in text.split("\n"):
            if line.strip():
                for start in range(0, len(line), LINE_CHARACTERS):
                    yield line[start : start + LINE_CHARACTERS]


def _share_for(work: Work, numbering: Numbering, source: int, wanted: int) -> float:
    """Return the share of a source's documents, by digest, that holds so many bytes."""
    bytes_by_share = np.zeros(BINS, np.float64)
    for batch, shares in _kept_documents(work, numbering, source):
        sizes = pc.binary_length(batch.column("text")).to_numpy(zero_copy_only=False)
        bytes_by_share += np.bincount((shares * BINS).astype(int), sizes, BINS)
    below = np.concatenate([np.zeros(1), np.cumsum(bytes_by_share)])
    if below[-1] <= wanted:
        return 1.0
    # Within a bin the documents are taken to be spread evenly.
    return float(np.interp(wanted, below, np.arange(BINS + 1) / BINS))


def _sample(work: Work, numbering: Numbering, shares: list[float]) -> Iterator[str]:
    for source, limit in enumerate(shares):
        for batch, digest_shares in _kept_documents(work, numbering, source):
            drawn = batch.filter(pa.array(digest_shares < limit))
            yield from drawn.column("text").to_pylist()


def _kept_documents(
    work: Work, numbering: Numbering, source: int
) -> Iterator[tuple[pa.RecordBatch, "np.ndarray[tuple[int], np.dtype[np.float64]]"]]:
    for index, piece in enumerate(numbering.pieces):
        if piece.source == source:
            keep = duplicates_of(work, numbering, index).keep
            digests = np.load(work.cleaned / f"{piece.name}.digests.npy")
            # The first bytes choose the validation documents; the vocabulary is drawn by others.
            yield read_cleaned(work, piece).filter(pa.array(keep)), share_of(digests[keep, 8:])
