"""The draws of one shard: made part by part, then joined into its arrays."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qingtan.corpus.encoded import token_type
from qingtan.corpus.shards import Shard
from qingtan.files import write_bytes
from qingtan.glm.model import GLM
from qingtan.training.batches import Excerpt, make_batch
from qingtan.training.distillation.drawing import compact, draw
from qingtan.training.distillation.sampled_logits import STRIDE, ShardSamples

# Logits that are worked on at once: what a processor's cache holds, or 256 MB of a GPU.
_LOGITS_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 26}
_NO_LOGITS = slice(0, 0)


@dataclass(frozen=True)
class Part:
    """The draws of a run of a shard's tokens; the fields are those of the shard's arrays.

    Attributes:
        places: (n,) int64, the tokens of the shard that were drawn for.
    """

    places: NDArray[np.int64]
    counts: NDArray[Any]
    entropies: NDArray[np.float16]
    ids: NDArray[Any]
    weights: NDArray[Any]


class Sampler:
    """A teacher, and how is drawn from it.

    Args:
        vocab_size: of the tokenizer; the teacher's rows beyond it are padding.
    """

    def __init__(
        self, model: GLM, vocab_size: int, draws: int, temperature: float, batch_tokens: int
    ) -> None:
        self._model = model.eval()
        self._vocab_size = vocab_size
        self._draws = draws
        self._temperature = temperature
        self._batch_tokens = batch_tokens
        self._device = model.embedding.weight.device
        at_once = _LOGITS_AT_ONCE.get(self._device.type, 1 << 24)
        self._rows_at_once = max(1, at_once // model.config.vocab_size)

    @torch.no_grad()
    def draw(self, pieces: Sequence[Excerpt], seed: Sequence[int]) -> Part:
        """Draw for every token of the pieces that is to be predicted.

        The random numbers depend on the seed alone, not on how the pieces are batched.
        """
        masks = [piece.trained()[1:] for piece in pieces]
        starts = np.concatenate([[0], np.cumsum([mask.sum() for mask in masks])])
        uniform = np.random.default_rng(seed).random((starts[-1], self._draws), np.float32)
        ids = np.empty(uniform.shape, token_type(self._vocab_size))
        ratios = None if self._temperature == 1 else np.empty(uniform.shape, np.float32)
        entropies = np.empty(starts[-1], np.float16)
        for batch in self._batches(pieces):
            rows = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in batch])
            hidden = self._hidden([pieces[i] for i in batch])
            for some, states in self._split(rows, hidden):
                logits = self._model.head(states)[:, : self._vocab_size]
                random = torch.from_numpy(uniform[some]).to(self._device)
                drawn = draw(logits, random, self._temperature)
                ids[some] = drawn.ids.cpu().numpy()
                entropies[some] = drawn.entropies.cpu().numpy()
                if ratios is not None and drawn.ratios is not None:
                    ratios[some] = drawn.ratios.cpu().numpy()
        places = [
            piece.start + 1 + np.flatnonzero(mask)
            for piece, mask in zip(pieces, masks, strict=True)
        ]
        counts, distinct, weights = compact(ids, ratios)
        return Part(np.concatenate(places), counts, entropies, distinct, weights)

    def _batches(self, pieces: Sequence[Excerpt]) -> Iterable[list[int]]:
        """Yield the numbers of pieces of like length, the longest first."""
        order = sorted(range(len(pieces)), key=lambda i: pieces[i].length)
        while order:
            count = max(1, self._batch_tokens // (pieces[order[-1]].length - 1))
            yield order[-count:]
            del order[-count:]

    def _hidden(self, pieces: Sequence[Excerpt]) -> Tensor:
        """Return the states (n, D) before the tokens to be predicted, piece after piece."""
        longest = max(piece.length for piece in pieces) - 1
        batch = make_batch([[piece] for piece in pieces], longest).to(self._device)
        hidden: Tensor = self._model(batch.tokens, logits_at=_NO_LOGITS).hidden[batch.kept]
        return hidden

    def _split(
        self, rows: NDArray[np.int64], hidden: Tensor
    ) -> Iterable[tuple[NDArray[np.int64], Tensor]]:
        for start in range(0, len(rows), self._rows_at_once):
            here = slice(start, start + self._rows_at_once)
            yield rows[here], hidden[here]


def write_part(path: Path, part: Part) -> None:
    """Write a part, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **vars(part))
    write_bytes(path, buffer.getvalue())


def join_parts(files: Sequence[Path], folder: Path, shard: Shard, draws: int) -> ShardSamples:
    """Write a shard's arrays into a folder, and return what the index says of them."""
    counts = np.zeros(len(shard.tokens), np.min_scalar_type(draws))
    entropies = np.zeros(len(shard.tokens), np.float16)
    labelled = 0
    for file in files:
        with np.load(file) as part:
            counts[part["places"]] = part["counts"]
            entropies[part["places"]] = part["entropies"]
            labelled += len(part["places"])
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    samples = int(before[-1])
    whole = {"counts": counts, "entropies": entropies, "starts": before[:-1:STRIDE]}
    paths = {name: folder / f"{shard.name}.{name}.npy" for name in (*whole, "ids", "weights")}
    for name, values in whole.items():
        np.save(paths[name], values)
    for name in ("ids", "weights"):
        _write_joined(paths[name], files, name, samples)
    return ShardSamples(
        name=shard.name,
        tokens=len(shard.tokens),
        labelled=labelled,
        samples=samples,
        bytes=sum(path.stat().st_size for path in paths.values()),
    )


def _write_joined(path: Path, files: Sequence[Path], name: str, length: int) -> None:
    """Write an array of all parts one after another, with one part in memory at a time."""
    with path.open("wb") as output:
        for i, file in enumerate(files):
            with np.load(file) as part:
                values = part[name]
            if i == 0:
                described = np.lib.format.dtype_to_descr(values.dtype)
                header = {"descr": described, "fortran_order": False, "shape": (length,)}
                np.lib.format.write_array_header_1_0(output, header)
            output.write(values.tobytes())
