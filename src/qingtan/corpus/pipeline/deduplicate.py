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
from qingtan.corpus.recipe import CorpusRecipe

STARTS_FILE = "starts.npy"
EXACT_FILE = "exact.npy"
NEAR_FILE = "near.npy"

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


def original_of(
    work: Work, numbering: Numbering, piece: Piece, row: int, kept: Kept
) -> tuple[str, float]:
    """Return the text that is kept instead of a near-duplicate, and how alike they are."""
    place, place_row = numbering.find(int(kept.near[row]))
    text = str(read_cleaned(work, place).column("text")[place_row].as_py())
    mine, other = _signature(work, piece, row), _signature(work, place, place_row)
    return text, float((mine == other).mean())


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
