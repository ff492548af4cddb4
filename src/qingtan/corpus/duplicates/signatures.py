"""MinHash signatures: short rows of numbers that agree as far as the documents do."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from qingtan.corpus.duplicates.blocks import folded_blocks
from qingtan.corpus.duplicates.settings import NearDuplicatesTable
from qingtan.corpus.ngrams import Characters, hash_grams

# Any number does; signatures of different seeds cannot be compared.
_SEED = 1
# A text without a signature has a row of these: a file of them takes no room on most disks.
_UNSIGNED = np.uint32(0)


class Signer:
    """Signs texts, each by itself: how they are put into batches makes no difference.

    The share of equal numbers in two signatures is an unbiased estimate of the Jaccard similarity
    of the texts' sets of n-grams (Dahlgaard, Knudsen and Thorup, Fast Similarity Sketching, FOCS
    2017; at least as exact as MinHash: Broder, On the Resemblance and Containment of Documents,
    1997).
    """

    def __init__(self, table: NearDuplicatesTable) -> None:
        self.table = table

    def sign(self, texts: Sequence[str]) -> NDArray[np.uint32]:
        """Return (texts, permutations) uint32; see `is_signed` for texts that are too short."""
        signatures = np.full((len(texts), self.table.permutations), _UNSIGNED, np.uint32)
        for first, characters in folded_blocks(texts):
            signatures[first : first + len(characters)] = self._sign_block(characters)
        return signatures

    def _sign_block(self, characters: Characters) -> NDArray[np.uint32]:
        grams = hash_grams(characters, self.table.gram)
        starts = grams.starts.astype(np.uint64)
        permutations = self.table.permutations
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            grams.hashes, starts, permutations, _SEED
        )
        # rensa gives lists of integers only; an array takes them at half of numpy's time.
        flat = array("I")
        for row in matrix.to_rows():
            flat.fromlist(row)
        signatures = np.array(flat, np.uint32).reshape(len(characters), permutations)
        signatures[np.diff(grams.starts) < self.table.min_grams] = _UNSIGNED
        return signatures


def is_signed(signatures: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return (texts,) bool: False for texts of fewer n-grams than `min_grams`, to be passed over.

    Args:
        signatures: (texts, permutations) uint32.
    """
    return np.asarray((signatures != _UNSIGNED).any(axis=1))
