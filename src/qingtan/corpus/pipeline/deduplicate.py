"""Second stage: which documents duplicate others, decided over all pieces at once."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.duplicates import find_exact, find_near
from qingtan.corpus.pipeline.clean import read_cleaned
from qingtan.corpus.pipeline.plan import Piece, Work
from qingtan.corpus.pipeline.tally import Place, make_sample
from qingtan.corpus.recipe import CorpusRecipe
from qingtan.corpus.statistics import SAMPLES, Sample

EXACT_FILE = "exact.npy"
NEAR_FILE = "near.npy"
EXACT_RULE = "exact-duplicate"
NEAR_RULE = "near-duplicate"

RunMap = Callable[[Callable[[Path], Path], Iterable[Path]], Iterable[Path]]


@dataclass(frozen=True)
class Numbering:
    """Documents are numbered through all pieces, in the order of the recipe.

    Attributes:
        pieces: the pieces in order.
        starts: (pieces + 1,) int64, the number of each one's first document, and of all.
    """

    pieces: list[Piece]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, work: Work) -> "Numbering":
        """Number the documents of the pieces that are cleaned."""
        pieces = list(work.pieces())
        counts = [_rows(work.cleaned / f"{piece.name}.digests.npy") for piece in pieces]
        return cls(
            pieces, np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
        )

    def find(self, document: int) -> tuple[Piece, int]:
        """Return the piece of a document, and its row there."""
        index = int(np.searchsorted(self.starts, document, side="right")) - 1
        return self.pieces[index], document - int(self.starts[index])


@dataclass(frozen=True)
class Kept:
    """What the duplicates of a piece's documents are.

    Attributes:
        exact, near: (documents,) int64, -1, or the number of the document that is kept instead.
    """

    exact: NDArray[np.int64]
    near: NDArray[np.int64]

    @property
    def keep(self) -> NDArray[np.bool_]:
        """Which documents are kept, (documents,) bool."""
        keep: NDArray[np.bool_] = (self.exact < 0) & (self.near < 0)
        return keep


def duplicates_of(work: Work, numbering: Numbering, index: int) -> Kept:
    """Return the duplicates among a piece's documents, given its place in the numbering."""
    rows = slice(int(numbering.starts[index]), int(numbering.starts[index + 1]))
    exact, near = (
        np.load(work.duplicates / name, mmap_mode="r")[rows] for name in (EXACT_FILE, NEAR_FILE)
    )
    return Kept(np.array(exact), np.array(near))


def sample_duplicates(
    recipe: CorpusRecipe, work: Work, numbering: Numbering
) -> dict[str, list[Sample]]:
    """Return duplicates of each rule, spread over the corpus, with what is kept instead."""
    samples = {}
    for rule, file in ((EXACT_RULE, EXACT_FILE), (NEAR_RULE, NEAR_FILE)):
        originals = np.load(work.duplicates / file, mmap_mode="r")
        dropped = np.flatnonzero(originals >= 0)
        chosen = dropped[:: max(1, -(-len(dropped) // SAMPLES))].tolist()
        pairs = [(number, int(originals[number])) for number in chosen]
        samples[rule] = [_sample(recipe, work, numbering, rule, *pair) for pair in pairs]
    return {rule: chosen for rule, chosen in samples.items() if chosen}


def _sample(
    recipe: CorpusRecipe, work: Work, numbering: Numbering, rule: str, dropped: int, kept: int
) -> Sample:
    piece, row = numbering.find(dropped)
    other_piece, other_row = numbering.find(kept)
    place, text = _document(work, piece, row)
    _, other = _document(work, other_piece, other_row)
    sample = make_sample(recipe.source[piece.source].name, place, text, other)
    if rule == EXACT_RULE:
        return sample
    alike = _signature(work, piece, row) == _signature(work, other_piece, other_row)
    threshold = recipe.near_duplicates.threshold
    return sample.model_copy(update={"value": float(alike.mean()), "threshold": threshold})


def _document(work: Work, piece: Piece, row: int) -> tuple[Place, str]:
    document = read_cleaned(work, piece).slice(row, 1).to_pylist()[0]
    return Place(document["file"], document["line"]), document["text"]


def _signature(work: Work, piece: Piece, row: int) -> NDArray[np.uint32]:
    signatures = np.load(work.cleaned / f"{piece.name}.signatures.npy", mmap_mode="r")
    return np.asarray(signatures[row])


def find_duplicates(
    recipe: CorpusRecipe, work: Work, numbering: Numbering, run_map: RunMap
) -> None:
    """Write which document each document duplicates, unless an earlier run has.

    Args:
        run_map: calls a function for each of many paths, wherever the engine likes.
    """
    done = work.duplicates / NEAR_FILE
    if done.is_file():
        return
    scratch = work.duplicates / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    exact = find_exact(_paths(work, numbering, "digests"), scratch / "exact")
    np.save(work.duplicates / EXACT_FILE, exact)
    sources = [piece.source for piece in numbering.pieces]
    table = recipe.near_duplicates
    near = find_near(
        _paths(work, numbering, "signatures"),
        table,
        scratch / "near",
        candidates=exact < 0,
        groups=None if table.across_sources else np.repeat(sources, np.diff(numbering.starts)),
        run_map=run_map,
    )
    # The last of them: without it the stage is done again.
    partial = done.with_suffix(".partial.npy")
    np.save(partial, near)
    partial.replace(done)
    shutil.rmtree(scratch)


def _paths(work: Work, numbering: Numbering, kind: str) -> list[Path]:
    return [work.cleaned / f"{piece.name}.{kind}.npy" for piece in numbering.pieces]


def _rows(path: Path) -> int:
    return int(np.load(path, mmap_mode="r").shape[0])
