"""Exact similarity of documents, to judge what a side dropped.

Similarity is Jaccard's over the sets of character 5-grams of the folded texts. The sides measure
it in ways of their own (datatrove over 5-grams of words, which fall faster with every change).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.ngrams import Characters, hash_grams

GRAM = 5
BATCH = 1000


@dataclass(frozen=True)
class GramSets:
    """The set of n-grams of every document, and where each n-gram occurs.

    Attributes:
        sets: for each document a sorted array of distinct uint64 hashes, never empty.
        hashes: all sets' hashes together, sorted.
        owners: the document of each of `hashes`.
    """

    sets: list[NDArray[np.uint64]]
    hashes: NDArray[np.uint64]
    owners: NDArray[np.int32]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "GramSets":
        """Hash the n-grams of texts."""
        sets = [s for i in range(0, len(texts), BATCH) for s in _sets(texts[i : i + BATCH])]
        hashes = np.concatenate(sets)
        order = np.argsort(hashes, kind="stable")
        owners = np.repeat(np.arange(len(sets), dtype=np.int32), [len(s) for s in sets])
        return cls(sets, hashes[order], owners[order])

    def similarity(self, one: int, other: int) -> float:
        """Return Jaccard's similarity of two documents."""
        a, b = self.sets[one], self.sets[other]
        common = len(np.intersect1d(a, b, assume_unique=True))
        return common / (len(a) + len(b) - common)

    def closest(self, document: int, kept: NDArray[np.bool_], least: float) -> float:
        """Return the greatest similarity of a document to a kept one, 0 where it is below `least`.

        A document of which the share `least` is common misses at most the rest of these n-grams:
        so it holds one of any larger number, and the rarest tell the fewest documents.
        """
        grams = self.sets[document]
        first = np.searchsorted(self.hashes, grams, "left")
        last = np.searchsorted(self.hashes, grams, "right")
        rarest = np.argsort(last - first, kind="stable")[: int((1 - least) * len(grams)) + 1]
        found = np.unique(
            np.concatenate([self.owners[first[i] : last[i]] for i in rarest.tolist()])
        )
        found = found[kept[found] & (found != document)]
        best = max((self.similarity(document, other) for other in found.tolist()), default=0.0)
        return best if best >= least else 0.0


@dataclass(frozen=True)
class Score:
    """How well a side found near-duplicates.

    Attributes:
        dropped: documents dropped.
        recall: of the planted pairs at or above the threshold, the share of which one is dropped.
        right: of the dropped documents, the share that is at or above the threshold with a kept
            one.
        nearly_right: the same at 0.1 below the threshold.
    """

    dropped: int
    recall: float
    right: float
    nearly_right: float


def planted_above(
    sets: GramSets, planted: Sequence[tuple[int, int]], threshold: float
) -> list[tuple[int, int]]:
    """Return the planted pairs that are near-duplicates by the threshold."""
    return [pair for pair in planted if sets.similarity(*pair) >= threshold]


def score(
    sets: GramSets, pairs: Sequence[tuple[int, int]], kept: Sequence[int], threshold: float
) -> Score:
    """Judge which documents a side kept.

    Args:
        pairs: documents of which one should have been dropped.
        kept: the places of the documents that a side kept.
    """
    stays = np.zeros(len(sets.sets), np.bool_)
    stays[np.asarray(kept, np.int64)] = True
    found = sum(not (stays[one] and stays[other]) for one, other in pairs)
    dropped = np.flatnonzero(~stays).tolist()
    best = np.array([sets.closest(i, stays, threshold - 0.1) for i in dropped])
    return Score(
        dropped=len(dropped),
        recall=found / max(len(pairs), 1),
        right=float((best >= threshold).sum() / max(len(dropped), 1)),
        nearly_right=float((best > 0).sum() / max(len(dropped), 1)),
    )


def _sets(texts: Sequence[str]) -> list[NDArray[np.uint64]]:
    folded = Characters.of(texts).folded()
    grams = hash_grams(folded, GRAM)
    sets = []
    for i in range(len(texts)):
        hashes = np.unique(grams.hashes[grams.starts[i] : grams.starts[i + 1]])
        if not len(hashes):  # too short: the whole text stands for its n-grams
            codes = folded.codes[folded.starts[i] : folded.starts[i + 1]].tobytes()
            whole = hashlib.blake2b(codes, digest_size=8).digest()
            hashes = np.frombuffer(whole, np.uint64)
        sets.append(hashes)
    return sets
