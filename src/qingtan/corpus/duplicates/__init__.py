"""Duplicates: documents that are exactly the same, and those that are nearly so."""

from qingtan.corpus.duplicates.exact import DIGEST_BYTES, find_exact
from qingtan.corpus.duplicates.near import find_near
from qingtan.corpus.duplicates.settings import NearDuplicatesTable
from qingtan.corpus.duplicates.signatures import Signer, is_signed

__all__ = [
    "DIGEST_BYTES",
    "NearDuplicatesTable",
    "Signer",
    "find_exact",
    "find_near",
    "is_signed",
]
