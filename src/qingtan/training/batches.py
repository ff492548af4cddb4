"""From shards to batches: an endless, seeded order of packed rows that can start anywhere."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qingtan.corpus.shards import Shard
from qingtan.errors import UserError
from qingtan.training.infilling import Infiller
from qingtan.training.packing import pack

# Cross-entropy passes these labels over.
IGNORED = -100
# The document number of padding.
PADDING = -1
# Documents that are packed together; more packs tighter and takes longer to plan.
BLOCK_DOCUMENTS = 16_384


class Piece(Protocol):
    """A sequence that goes into one row, whole.

    Attributes:
        length: its tokens.
        name: where it comes from, for people.
    """

    @property
    def length(self) -> int: ...

    @property
    def name(self) -> str: ...

    def tokens(self) -> NDArray[np.int64]:
        """Return its tokens, (length,)."""

    def trained(self) -> NDArray[np.bool_]:
        """Return for each token whether it is to be predicted; the first never is."""


@dataclass(frozen=True)
class Excerpt:
    """A run of tokens of one document, as they stand in its shard.

    Attributes:
        document: its number in the shard.
        start: where its first token stands in `shard.tokens`.
    """

    shard: Shard
    document: int
    start: int
    length: int

    @property
    def name(self) -> str:
        """Shard and document."""
        return f"{self.shard.name or self.shard.source}, document {self.document}"

    def tokens(self) -> NDArray[np.int64]:
        """Return its tokens, (length,)."""
        return self.shard.tokens[self.start : self.start + self.length].astype(np.int64)

    def trained(self) -> NDArray[np.bool_]:
        """Return for each token whether it is to be predicted; the first never is."""
        mask = self.shard.trained
        trained = np.ones(self.length, np.bool_) if mask is None else self._here(mask).copy()
        trained[0] = False
        return trained

    def _here(self, values: NDArray[Any]) -> NDArray[Any]:
        return values[self.start : self.start + self.length]


@dataclass(frozen=True)
class Written:
    """A sequence that stands in no shard: made of a document, or written by a model."""

    name: str
    ids: NDArray[np.int64]
    mask: NDArray[np.bool_]

    @property
    def length(self) -> int:
        """Its tokens."""
        return len(self.ids)

    def tokens(self) -> NDArray[np.int64]:
        """Return its tokens, (length,)."""
        return self.ids

    def trained(self) -> NDArray[np.bool_]:
        """Return for each token whether it is to be predicted; the first never is."""
        return self.mask


@dataclass(frozen=True)
class Batch:
    """Rows of the same length.

    Attributes:
        tokens: (rows, T) int64.
        labels: (rows, T) int64, the token to predict at each place, or IGNORED.
        documents: (rows, T) int64, which of its row's pieces a token belongs to, or PADDING.
        pieces: each row's, in order; they stand one after another from the row's start, and the
            last token of a row's last piece may only be a label.
    """

    tokens: Tensor
    labels: Tensor
    documents: Tensor
    pieces: tuple[tuple[Piece, ...], ...]

    @property
    def kept(self) -> Tensor:
        """(rows, T) bool, where there is something to predict."""
        return self.labels != IGNORED

    @property
    def labelled(self) -> int:
        """How many tokens are to be predicted."""
        return int(self.kept.sum())

    def split(self, rows: int) -> list["Batch"]:
        """Return batches of so many rows, the last one perhaps of fewer."""
        return [
            Batch(
                self.tokens[start : start + rows],
                self.labels[start : start + rows],
                self.documents[start : start + rows],
                self.pieces[start : start + rows],
            )
            for start in range(0, len(self.tokens), rows)
        ]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return Batch(
            self.tokens.to(device), self.labels.to(device), self.documents.to(device), self.pieces
        )


@dataclass(frozen=True)
class Skipped:
    """A sequence that is not trained on, and why."""

    name: str
    tokens: int
    reason: str


class BatchSource(Protocol):
    """What a run learns from.

    Attributes:
        documents: how many there are to draw from.
        skipped: what is left out, each by its name.
    """

    documents: int
    skipped: list[Skipped]

    def batches(self, rows: int, skip: int = 0) -> Iterator[Batch]:
        """Yield the batches of the updates for ever; `skip` starts after so many of them."""


class PackedRows:
    """The rows of a training run, in an order that depends on the seed alone.

    Each epoch draws every source's documents as often as asked, in a new order. A text longer
    than a row goes on in further rows; a conversation longer than a row is left out, since its
    end makes no sense without its beginning (`skipped` names them).

    Args:
        shards: what to read.
        repeats: how often each source is read in an epoch.
        length: T, the tokens of a row that predict; a row holds one more, to be predicted.
        infiller: turns a share of the texts into texts with blanks.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        repeats: Mapping[str, float],
        length: int,
        seed: int,
        infiller: Infiller | None = None,
    ) -> None:
        self._shards = list(shards)
        self._repeats = [repeats.get(shard.source, 0.0) for shard in shards]
        self._length = length
        self._seed = seed
        self._infiller = infiller
        self.documents = sum(len(shard) for shard in shards)
        self.skipped = [skipped for shard in shards for skipped in too_long(shard, length)]
        if not any(map(self._gives_rows, self._shards, self._repeats)):
            raise UserError(
                f"no document can be trained on: data.sources draws from {self.documents}, and "
                f"{len(self.skipped)} conversations are longer than data.sequence_length {length}. "
                "What the corpus has left out, such as conversations without answers, stands in "
                "its rejected.jsonl and report.html"
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
                rows = self._pack(documents[start : start + BLOCK_DOCUMENTS], rng)
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

    def _pack(self, documents: NDArray[np.int64], rng: np.random.Generator) -> list[list[Piece]]:
        pieces = [
            piece
            for shard, document in documents.tolist()
            for piece in self._pieces(self._shards[shard], document, rng)
        ]
        rows = pack([piece.length for piece in pieces], self._length + 1)
        return [[pieces[i] for i in row] for row in rows]

    def _pieces(self, shard: Shard, document: int, rng: np.random.Generator) -> Iterator[Piece]:
        infiller = self._infiller
        if infiller is None or shard.trained is not None or not infiller.draws(rng):
            yield from cut(shard, document, self._length)
            return
        for excerpt in cut(shard, document, infiller.longest(self._length + 1) - 1):
            yield Written(excerpt.name, *infiller.blank_out(excerpt.tokens(), rng))


def too_long(shard: Shard, length: int) -> Iterator[Skipped]:
    """Yield the conversations of a shard that do not fit a row."""
    if shard.trained is None:
        return
    sizes = np.diff(shard.starts)
    for document in np.flatnonzero(sizes > length + 1).tolist():
        name = Excerpt(shard, document, 0, 0).name
        yield Skipped(name, int(sizes[document]), f"longer than a row of {length}")


def cut(shard: Shard, document: int, length: int) -> Iterator[Excerpt]:
    """Cut a document into pieces of at most length + 1 tokens that overlap by one.

    So each token but the first is predicted once. A conversation that does not fit gives none.
    """
    start, end = int(shard.starts[document]), int(shard.starts[document + 1])
    if shard.trained is not None and end - start > length + 1:
        return
    while end - start > 1:
        yield Excerpt(shard, document, start, min(length + 1, end - start))
        start += length


def make_batch(rows: Sequence[Sequence[Piece]], length: int) -> Batch:
    """Lay rows of pieces out as tokens and labels; the rest of a row is padding.

    The first token of a piece has nothing to be predicted from, so it is no label.
    """
    tokens = np.zeros((len(rows), length + 1), np.int64)
    labels = np.full((len(rows), length + 1), IGNORED, np.int64)
    documents = np.full((len(rows), length + 1), PADDING, np.int64)
    for row, pieces in enumerate(rows):
        place = 0
        for number, piece in enumerate(pieces):
            here = slice(place, place + piece.length)
            tokens[row, here] = piece.tokens()
            labels[row, here] = np.where(piece.trained(), tokens[row, here], IGNORED)
            documents[row, here] = number
            place += piece.length
    return Batch(
        torch.from_numpy(tokens[:, :-1]),
        torch.from_numpy(labels[:, 1:]),
        torch.from_numpy(documents[:, :-1]),
        tuple(tuple(pieces) for pieces in rows),
    )
