"""Encoded documents side by side, as they go from the tokenizer to the shards."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.documents import Document

TokenType = Literal["uint16", "uint32"]


def token_type(vocab_size: int) -> TokenType:
    """Return the smallest type that holds every token of a vocabulary."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


@dataclass(frozen=True)
class Encoded:
    """Documents as tokens, one after another; its length is their number.

    Attributes:
        tokens: (tokens,) uint16 or uint32.
        trained: (tokens,) bool, whether a token is to be predicted; empty where all are.
        lengths: (documents,) int64, tokens of each.
        bytes: (documents,) uint32, UTF-8 bytes of what is to be predicted of each.
        text_bytes: (documents,) int64, UTF-8 bytes of each one's text.
        origins: (documents,) int32, the number of each one's origin in a list kept elsewhere.
    """

    tokens: NDArray[Any]
    trained: NDArray[np.bool_]
    lengths: NDArray[np.int64]
    bytes: NDArray[np.uint32]
    text_bytes: NDArray[np.int64]
    origins: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        documents: Sequence[Document],
        text_bytes: Sequence[int],
        origins: Sequence[int],
        dtype: TokenType,
    ) -> "Encoded":
        """Lay documents side by side."""
        # An array takes lists of integers at half of numpy's time.
        tokens, trained = array("I"), array("b")
        for document in documents:
            tokens.fromlist(document.tokens)
            trained.extend(document.trained or ())
        return cls(
            np.array(tokens, dtype),
            np.array(trained, np.bool_),
            np.array([len(document.tokens) for document in documents], np.int64),
            np.array([document.scored_bytes for document in documents], np.uint32),
            np.array(text_bytes, np.int64),
            np.array(origins, np.int32),
        )

    @classmethod
    def load(cls, path: Path) -> "Encoded":
        """Read what `save` has written."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**arrays)

    @classmethod
    def join(cls, parts: Sequence["Encoded"]) -> "Encoded":
        """Lay the documents of all parts side by side."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})

    def save(self, path: Path) -> None:
        """Write to an .npz file."""
        np.savez(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    def __len__(self) -> int:
        return len(self.lengths)

    def select(self, wanted: NDArray[np.bool_]) -> "Encoded":
        """Return some of the documents; `wanted` is (documents,) bool."""
        tokens = np.repeat(wanted, self.lengths)
        return Encoded(
            tokens=self.tokens[tokens],
            trained=self.trained[tokens] if len(self.trained) else self.trained,
            lengths=self.lengths[wanted],
            bytes=self.bytes[wanted],
            text_bytes=self.text_bytes[wanted],
            origins=self.origins[wanted],
        )

    def with_origins(self, numbers: Sequence[int]) -> "Encoded":
        """Return the same documents with origin i renumbered to numbers[i]."""
        table = np.array([*numbers, 0], np.int32)
        return replace(self, origins=table[self.origins])

    def split(self, documents: int) -> tuple["Encoded", "Encoded"]:
        """Return the first documents, and the rest."""
        tokens = int(self.lengths[:documents].sum())
        ends = {"tokens": tokens, "trained": tokens if len(self.trained) else 0}

        def part(first: bool) -> "Encoded":
            arrays = {}
            for field in fields(self):
                end = ends.get(field.name, documents)
                values = getattr(self, field.name)
                arrays[field.name] = values[:end] if first else values[end:]
            return Encoded(**arrays)

        return part(True), part(False)
