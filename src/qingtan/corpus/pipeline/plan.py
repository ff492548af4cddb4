"""Where a build keeps what is done, so that a killed one goes on.

The work is cut into pieces: some megabytes of raw records of one source. A piece that is done has
its statistics, `<number>.json`, written last; what lies there without them is done again. Pieces
are numbered by their place in the source, so a second build finds the first one's.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from qingtan.corpus.reading import InputFile, list_files
from qingtan.corpus.recipe import CorpusRecipe
from qingtan.errors import UserError
from qingtan.files import write_text

# Raw bytes of a piece: large enough for the batch functions, small enough for some in memory.
PIECE_BYTES = 4 << 20
RECIPE_FILE = "recipe.json"
FINGERPRINT_FILE = "fingerprint"
# Of the format of what lies in the work folder; a folder of another one is begun anew.
FORMAT = 1


@dataclass(frozen=True)
class Piece:
    """A part of one source, by number; `order` sorts pieces as the recipe orders the text."""

    source: int
    number: int

    @property
    def name(self) -> str:
        """How the piece's files begin."""
        return f"{self.source:04d}-{self.number:07d}"


@dataclass(frozen=True)
class RawPiece:
    """A piece to be cleaned: a batch of raw records."""

    work: Path
    piece: Piece
    block: pa.RecordBatch


@dataclass(frozen=True)
class Work:
    """The folder in which a corpus is built."""

    folder: Path

    @property
    def cleaned(self) -> Path:
        """Holds the cleaned pieces."""
        return self.folder / "cleaned"

    @property
    def duplicates(self) -> Path:
        """Holds which documents are duplicates."""
        return self.folder / "duplicates"

    @property
    def encoded(self) -> Path:
        """Holds the encoded pieces."""
        return self.folder / "encoded"

    @property
    def result(self) -> Path:
        """Becomes the corpus."""
        return self.folder / "result"

    @property
    def fingerprint(self) -> str:
        """Tells one build from another in the same folder."""
        return (self.folder / FINGERPRINT_FILE).read_text(encoding="utf-8")

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self.cleaned, self.duplicates, self.encoded, self.result):
            folder.mkdir(parents=True, exist_ok=True)

    def pieces(self) -> Iterator[Piece]:
        """Yield the pieces that are cleaned, in the order of the recipe and its files."""
        for path in sorted(self.cleaned.glob("*.json")):
            if not path.name.startswith("."):
                source, number = path.stem.split("-")
                yield Piece(int(source), int(number))

    def is_cleaned(self, piece: Piece) -> bool:
        """Tell whether a piece is done."""
        return (self.cleaned / f"{piece.name}.json").is_file()

    def is_encoded(self, piece: Piece) -> bool:
        """Tell whether a piece is encoded."""
        return (self.encoded / f"{piece.name}.json").is_file()

    def write_recipe(self, recipe: CorpusRecipe) -> None:
        """Keep the recipe for the processes that work on the pieces."""
        write_text(self.folder / RECIPE_FILE, recipe.model_dump_json() + "\n")

    def read_recipe(self) -> CorpusRecipe:
        """Return the recipe that is built here."""
        text = (self.folder / RECIPE_FILE).read_text(encoding="utf-8")
        return CorpusRecipe.model_validate_json(text)


def input_files(recipe: CorpusRecipe) -> list[list[InputFile]]:
    """Return the files of each source.

    Raises:
        UserError: a source is not there, or its folder holds no file that can be read.
    """
    return [list_files(source.location(recipe.root), source.pattern) for source in recipe.source]


def fingerprint(
    recipe: CorpusRecipe, files: list[list[InputFile]], version: str, piece_bytes: int
) -> str:
    """Return what a build depends on, in one line: recipe, inputs by size and date, version.

    Raises:
        UserError: a file that the recipe names is missing.
    """
    inputs = [[_stamp(file.path) for file in group] for group in files]
    others = [_stamp(path) for path in _other_files(recipe)]
    parts = [FORMAT, version, piece_bytes, recipe.model_dump_json(), inputs, others]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _other_files(recipe: CorpusRecipe) -> Iterator[Path]:
    for evaluation in recipe.evaluation:
        yield recipe.root / evaluation.path
    if recipe.licences:
        yield recipe.licences
    if recipe.tokenizer:
        yield recipe.tokenizer
    words = recipe.documents.words if recipe.documents else None
    if words and isinstance(words.stop_words, Path):
        yield words.stop_words


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    return str(path), status.st_size, status.st_mtime_ns
