"""From shards to batches: an endless, seeded order of packed rows that can start anywhere."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qingtan.corpus.shards import Shard
from qingtan.errors import UserError
from qingtan.training.packing import pack

# Cross-entropy passes these labels over.
IGNORED = -100
# Documents that are packed together; more packs tighter and takes longer to plan.
BLOCK_DOCUMENTS = 16_384


@dataclass(frozen=True)
class Piece:
    """A run of tokens of one document that goes into one row."""

    shard: Shard
    start: int
    length: int


@dataclass(frozen=True)
class Batch:
    """Rows of the same length.

    Attributes:
        tokens: (rows, T) int64.
        labels: (rows, T) int64, the token to predict at each place, or IGNORED.
    """

    tokens: Tensor
    labels: Tensor


class PackedRows:
    """The rows of a training run, in an order that depends on the seed alone.

    Each epoch draws every source's documents as often as asked, in a new order. A text longer
    than a row goes on in further rows; a conversation longer than a row is left out, since its
    end makes no sense without its beginning (`left_out` counts them).

    Args:
        shards: what to read.
        repeats: how often each source is read in an epoch.
        length: T, the tokens of a row that predict; a row holds one more, to be predicted.
    """

    def __init__(
        self, shards: Sequence[Shard], repeats: Mapping[str, float], length: int, seed: int
    ) -> None:
        self._shards = list(shards)
        self._repeats = [repeats.get(shard.source, 0.0) for shard in shards]
        self._length = length
        self._seed = seed
        self.documents = sum(len(shard) for shard in shards)
        self.left_out = sum(
            int((np.diff(shard.starts) > length + 1).sum())
            for shard in shards
            if shard.trained is not None
        )
        if not any(map(self._gives_rows, self._shards, self._repeats)):
            raise UserError(
                f"no document can be trained on: data.sources draws from {self.documents}, and "
                f"{self.left_out} conversations are longer than data.sequence_length {length}"
            )

    def batches(self, rows: int, skip: int = 0) -> Iterator[Batch]:
        """Yield batches for ever; `skip` starts after so many of them."""
        order = self._rows(skip * rows)
        while True:
            yield make_batch(list(islice(order, rows)), self._length)

    def _gives_rows(self, shard: Shard, repeats: float) -> bool:
        drawn = round(repeats * len(shard))
        return drawn > 0 and any(
            next(cut(shard, document, self._length), None) for document in range(len(shard))
        )

    def _rows(self, skip: int) -> Iterator[list[Piece]]:
        epoch = 0
        while True:
            rng = np.random.default_rng([self._seed, epoch])
            documents = self._draw(rng)
            for start in range(0, len(documents), BLOCK_DOCUMENTS):
                rows = self._pack(documents[start : start + BLOCK_DOCUMENTS])
                rng.shuffle(rows)
                yield from rows[skip:]
                skip = max(0, skip - len(rows))
            epoch += 1

    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return this epoch's documents in order: (n, 2), the shard's index and the document's."""
        drawn = []
        for i, (shard, repeats) in enumerate(zip(self._shards, self._repeats, strict=True)):
            whole, rest = divmod(repeats, 1.0)
            some = rng.permutation(len(shard))[: round(rest * len(shard))]
            documents = np.concatenate([np.tile(np.arange(len(shard)), int(whole)), some])
            drawn.append(np.stack([np.full(len(documents), i), documents], axis=1))
        return rng.permutation(np.concatenate(drawn))

    def _pack(self, documents: NDArray[np.int64]) -> list[list[Piece]]:
        pieces = [
            piece
            for shard, document in documents.tolist()
            for piece in cut(self._shards[shard], document, self._length)
        ]
        rows = pack([piece.length for piece in pieces], self._length + 1)
        return [[pieces[i] for i in row] for row in rows]


def cut(shard: Shard, document: int, length: int) -> Iterator[Piece]:
    """Cut a document into pieces of at most length + 1 tokens that overlap by one.

    So each token but the first is predicted once. A conversation that does not fit gives none.
    """
    start, end = int(shard.starts[document]), int(shard.starts[document + 1])
    if shard.trained is not None and end - start > length + 1:
        return
    while end - start > 1:
        yield Piece(shard, start, min(length + 1, end - start))
        start += length


def make_batch(rows: Sequence[Sequence[Piece]], length: int) -> Batch:
    """Lay rows of pieces out as tokens and labels; the rest of a row is padding.

    The first token of a piece has nothing to be predicted from, so it is no label.
    """
    tokens = np.zeros((len(rows), length + 1), np.int64)
    labels = np.full((len(rows), length + 1), IGNORED, np.int64)
    for row, pieces in enumerate(rows):
        place = 0
        for piece in pieces:
            source = slice(piece.start, piece.start + piece.length)
            here = slice(place, place + piece.length)
            tokens[row, here] = piece.shard.tokens[source]
            wanted = piece.shard.trained
            labels[row, here] = (
                tokens[row, here]
                if wanted is None
                else np.where(wanted[source], tokens[row, here], IGNORED)
            )
            labels[row, place] = IGNORED
            place += piece.length
    return Batch(torch.from_numpy(tokens[:, :-1]), torch.from_numpy(labels[:, 1:]))
