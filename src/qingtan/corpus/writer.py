"""Writes documents to shards, one after another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.documents import Document
from qingtan.corpus.recipe import Kind
from qingtan.corpus.shards import ShardEntry, Split, TokenType


def token_type(vocab_size: int) -> TokenType:
    """Return the smallest type that holds every token of a vocabulary."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


class ShardWriter:
    """Collects the documents of one source and split, and saves a shard when it is full.

    It holds at most one shard and one document in memory.

    Attributes:
        entries: the shards saved so far.
    """

    def __init__(
        self, folder: Path, source: str, split: Split, kind: Kind, dtype: TokenType, size: int
    ) -> None:
        self.entries: list[ShardEntry] = []
        self._folder = folder
        self._source, self._split, self._kind = source, split, kind
        self._dtype, self._size = dtype, size
        self._clear()

    def add(self, document: Document) -> None:
        """Append a document; saves the shard once it holds `size` tokens."""
        self._tokens.append(document.tokens.astype(self._dtype))
        if document.trained is not None:
            self._trained.append(document.trained)
        self._bytes.append(document.scored_bytes)
        self._starts.append(self._starts[-1] + len(document.tokens))
        if self._starts[-1] >= self._size:
            self._save()

    def close(self) -> None:
        """Save what is left."""
        if self._bytes:
            self._save()

    def _clear(self) -> None:
        self._tokens: list[NDArray[Any]] = []
        self._trained: list[NDArray[np.bool_]] = []
        self._bytes: list[int] = []
        self._starts = [0]

    def _save(self) -> None:
        name = f"{self._split}-{self._source}-{len(self.entries):05d}"
        self._save_array(f"{name}.tokens", self._tokens)
        self._save_array(f"{name}.starts", [np.asarray(self._starts, np.int64)])
        self._save_array(f"{name}.bytes", [np.asarray(self._bytes, np.uint32)])
        if self._kind == "conversations":
            self._save_array(f"{name}.trained", self._trained)
        self.entries.append(
            ShardEntry(
                name=name,
                source=self._source,
                split=self._split,
                kind=self._kind,
                documents=len(self._bytes),
                tokens=self._starts[-1],
                bytes=sum(self._bytes),
            )
        )
        self._clear()

    def _save_array(self, name: str, parts: Sequence[NDArray[Any]]) -> None:
        np.save(self._folder / f"{name}.npy", np.concatenate(parts))
