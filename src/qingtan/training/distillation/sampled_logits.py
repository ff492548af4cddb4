"""A teacher's distributions on disk, as samples: what a folder of logits holds, and its reader.

Beside `logits.json`, the index, and the teacher's `provenance.json` there is for each shard:

<shard>.counts.npy      uint8 or uint16, one a token: distinct tokens drawn in its place
<shard>.entropies.npy   float16, one a token: of the teacher's distribution in its place, in nats
<shard>.ids.npy         uint16 or uint32: the tokens drawn, place after place
<shard>.weights.npy     how often each was drawn, uint8 or uint16; with a proposal temperature
                        float16 shares
<shard>.starts.npy      int64: where the draws of every 1024th token begin in `ids`

A place is that of the token to be predicted; one that is not predicted has no draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from qingtan.errors import UserError
from qingtan.training.batches import Excerpt

INDEX_FILE = "logits.json"
# Tokens from one of `starts` to the next.
STRIDE = 1024


class LogitsSettings(BaseModel):
    """What the samples depend on; `corpus_sha256` is that of the corpus's index."""

    model_config = ConfigDict(frozen=True)

    teacher: str
    teacher_sha256: str
    corpus_sha256: str
    tokenizer_sha256: str
    sources: tuple[str, ...]
    sequence_length: int
    draws: int
    proposal_temperature: float
    seed: int


class ShardSamples(BaseModel):
    """A shard in the index: its tokens, those to be predicted, distinct samples, bytes of files."""

    model_config = ConfigDict(frozen=True)

    name: str
    tokens: int
    labelled: int
    samples: int
    bytes: int


class LogitsIndex(BaseModel):
    """`logits.json`.

    Attributes:
        bytes_per_token: of all files of shards, by all tokens of the shards.
        distinct_per_token: distinct samples, by the tokens that are to be predicted.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    settings: LogitsSettings
    shards: tuple[ShardSamples, ...]
    bytes_per_token: float
    distinct_per_token: float


@dataclass(frozen=True)
class Samples:
    """The draws of a run of tokens that are to be predicted.

    Attributes:
        counts: (n,) int64, distinct draws of each token.
        ids: (m,) int64, token after token.
        weights: (m,) float32, not yet of sum 1.
        entropies: (n,) float32, of the teacher's distributions, in nats.
    """

    counts: NDArray[np.int64]
    ids: NDArray[np.int64]
    weights: NDArray[np.float32]
    entropies: NDArray[np.float32]


@dataclass(frozen=True)
class _Arrays:
    """A shard's files, mapped."""

    counts: NDArray[Any]
    entropies: NDArray[np.float16]
    ids: NDArray[Any]
    weights: NDArray[Any]
    starts: NDArray[np.int64]


class SampledLogits:
    """A folder that `write_logits` made.

    Attributes:
        path: the folder.
        index: what it says of itself.

    Raises:
        UserError: a file is missing or damaged; the message names it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = read_index(path)
        self._shards = {shard.name: _open(path, shard) for shard in self.index.shards}

    def read(self, excerpt: Excerpt) -> Samples:
        """Return the draws in the places of an excerpt's tokens that are to be predicted.

        Raises:
            UserError: the folder has no samples of the excerpt's shard.
        """
        arrays = self._shards.get(excerpt.shard.name)
        if arrays is None:
            raise UserError(
                f"distillation.logits: {self.path} has no samples of {excerpt.name}, only of "
                f"the sources {', '.join(self.index.settings.sources)}"
            )
        # The first token of an excerpt is predicted in the excerpt before it, or not at all.
        here = slice(excerpt.start + 1, excerpt.start + excerpt.length)
        counts = arrays.counts[here].astype(np.int64)
        block = here.start // STRIDE
        between = arrays.counts[block * STRIDE : here.start].sum(dtype=np.int64)
        start = int(arrays.starts[block] + between)
        end = start + int(counts.sum())
        predicted = excerpt.trained()[1:]
        return Samples(
            counts[predicted],
            arrays.ids[start:end].astype(np.int64),
            arrays.weights[start:end].astype(np.float32),
            arrays.entropies[here][predicted].astype(np.float32),
        )


def join(samples: Sequence[Samples]) -> Samples:
    """Return the draws of several runs of tokens as those of one."""
    return Samples(
        np.concatenate([each.counts for each in samples]),
        np.concatenate([each.ids for each in samples]),
        np.concatenate([each.weights for each in samples]),
        np.concatenate([each.entropies for each in samples]),
    )


def pad(samples: Samples) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return ids (n, k) and weights (n, k), k being the most of a token.

    A row's weights have the sum 1; the places that a row has too many hold token 0 with weight 0.
    """
    widest = int(samples.counts.max(initial=0))
    used = np.arange(widest) < samples.counts[:, None]
    ids, weights = np.zeros(used.shape, np.int64), np.zeros(used.shape, np.float32)
    ids[used], weights[used] = samples.ids, samples.weights
    return ids, weights / weights.sum(1, keepdims=True)


def read_index(folder: Path) -> LogitsIndex:
    """Read a folder's index.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = folder / INDEX_FILE
    try:
        return LogitsIndex.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file; its folder holds no logits") from None
    except ValidationError as error:
        raise UserError(f"{path}: not the index of a folder of logits: {error}") from None


def _open(folder: Path, shard: ShardSamples) -> _Arrays:
    lengths = {
        "counts": shard.tokens,
        "entropies": shard.tokens,
        "ids": shard.samples,
        "weights": shard.samples,
        "starts": -(-shard.tokens // STRIDE),
    }
    paths = {name: folder / f"{shard.name}.{name}.npy" for name in lengths}
    return _Arrays(**{name: _open_array(paths[name], lengths[name]) for name in lengths})


def _open_array(path: Path, length: int) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the folder of logits is incomplete") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: damaged: {error}") from None
    if values.shape != (length,):
        raise UserError(f"{path}: has shape {values.shape}, but the index says ({length},)")
    return values
