"""Writes encoded documents to shards, one after another."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.encoded import Encoded
from qingtan.corpus.recipe import Kind
from qingtan.corpus.shards import ShardEntry, Split
from qingtan.provenance import Source

# Takes the numbers of documents, bytes and tokens by origin.
Describe = Callable[[NDArray[np.int64]], tuple[Source, ...]]


class ShardWriter:
    """Collects the documents of one source and split, and saves a shard when it is full.

    It holds at most one shard, and what was added last, in memory.

    Attributes:
        entries: the shards saved so far.
    """

    def __init__(
        self, folder: Path, source: str, split: Split, kind: Kind, size: int, describe: Describe
    ) -> None:
        """Begin the shards of a source.

        Args:
            size: a shard ends with the document that reaches so many tokens.
            describe: names the origins of a shard, from (origins, 3) int64, the documents, bytes
                of text and tokens of each.
        """
        self.entries: list[ShardEntry] = []
        self._folder = folder
        self._source, self._split, self._kind = source, split, kind
        self._size, self._describe = size, describe
        self._parts: list[Encoded] = []
        self._tokens = 0

    def add(self, encoded: Encoded) -> None:
        """Append documents; saves the shards that become full."""
        while len(encoded):
            ends = self._tokens + np.cumsum(encoded.lengths)
            fitting = int(np.searchsorted(ends, self._size)) + 1
            part, encoded = encoded.split(min(fitting, len(encoded)))
            self._parts.append(part)
            self._tokens += len(part.tokens)
            if self._tokens >= self._size:
                self._save()

    def close(self) -> None:
        """Save what is left."""
        if self._parts:
            self._save()

    def _save(self) -> None:
        name = f"{self._split}-{self._source}-{len(self.entries):05d}"
        documents = Encoded.join(self._parts)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(documents.lengths)])
        self._save_array(f"{name}.tokens", documents.tokens)
        self._save_array(f"{name}.starts", starts)
        self._save_array(f"{name}.bytes", documents.bytes)
        if self._kind == "conversations":
            self._save_array(f"{name}.trained", documents.trained)
        self.entries.append(
            ShardEntry(
                name=name,
                source=self._source,
                split=self._split,
                kind=self._kind,
                documents=len(documents),
                tokens=len(documents.tokens),
                bytes=int(documents.bytes.sum()),
                origins=self._describe(_count_origins(documents)),
            )
        )
        self._parts, self._tokens = [], 0

    def _save_array(self, name: str, values: NDArray[Any]) -> None:
        np.save(self._folder / f"{name}.npy", values)


def _count_origins(documents: Encoded) -> NDArray[np.int64]:
    amounts: Sequence[NDArray[Any]] = (
        np.ones(len(documents), np.int64),
        documents.text_bytes,
        documents.lengths,
    )
    counts = [np.bincount(documents.origins, amount) for amount in amounts]
    return np.stack(counts, axis=1).astype(np.int64)
