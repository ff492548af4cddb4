"""Shards of tokens on disk: plain .npy files beside an index, opened without reading them in.

A shard is `<name>.tokens.npy` (uint16 or uint32), `<name>.starts.npy` (int64, one more than
documents), `<name>.bytes.npy` (uint32, one a document) and, for conversations,
`<name>.trained.npy` (bool, one a token). `corpus.json` lists them.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from qingtan.corpus.encoded import TokenType
from qingtan.corpus.recipe import Kind
from qingtan.errors import UserError
from qingtan.glm.tokenizer import TOKENIZER_FILE
from qingtan.provenance import Provenance, Source, merge

INDEX_FILE = "corpus.json"
REJECTED_FILE = "rejected.jsonl"

Split = Literal["train", "valid"]


class ShardEntry(BaseModel):
    """A shard in the index."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
    source: str
    split: Split
    kind: Kind
    documents: int
    tokens: int
    bytes: int
    origins: tuple[Source, ...] = ()


class SourceEntry(BaseModel):
    """A source of the recipe in the index: what of it is kept, and how often it is read."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Kind
    documents: int
    characters: int
    bytes: int
    tokens: int
    trained_tokens: int
    epochs: float = 1.0
    origins: tuple[Source, ...]


class CorpusIndex(BaseModel):
    """`corpus.json`."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    tokenizer_sha256: str
    vocab_size: int
    dtype: TokenType
    shards: tuple[ShardEntry, ...]
    sources: tuple[SourceEntry, ...]


@dataclass(frozen=True)
class Shard:
    """Documents of one source and split, mapped from disk; its length is their number.

    Attributes:
        tokens: (tokens,) uint16 or uint32, the documents one after another.
        starts: (documents + 1,) int64, where each begins in `tokens`, and where the last ends.
        bytes: (documents,) uint32, UTF-8 bytes of what is to be predicted: a document's text, or
            the contents of a conversation's answers.
        trained: (tokens,) bool, whether a token is to be predicted; None where all are.
        name: the shard's own, from which its files are named.
    """

    source: str
    split: Split
    tokens: NDArray[Any]
    starts: NDArray[np.int64]
    bytes: NDArray[np.uint32]
    trained: NDArray[np.bool_] | None
    name: str = ""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def document(self, index: int) -> NDArray[Any]:
        """Return the tokens of a document, (length,), without copying them."""
        return self.tokens[self.starts[index] : self.starts[index + 1]]


@dataclass(frozen=True)
class Corpus:
    """A folder of shards that `build_corpus` made.

    Attributes:
        tokenizer_path: the SentencePiece file that the tokens come from, within the folder.
        provenance: where the whole corpus comes from.
    """

    path: Path
    index: CorpusIndex
    shards: list[Shard]
    tokenizer_path: Path
    provenance: Provenance

    @classmethod
    def open(cls, path: str | Path) -> "Corpus":
        """Open a corpus.

        Raises:
            UserError: a file is missing or damaged, or of a later format; the message names it.
        """
        folder = Path(path)
        index = _read_index(folder / INDEX_FILE)
        tokenizer_path = folder / TOKENIZER_FILE
        if not tokenizer_path.is_file():
            raise UserError(f"{tokenizer_path}: no such file; the corpus is incomplete")
        shards = [_open_shard(folder, entry, index.dtype) for entry in index.shards]
        return cls(folder, index, shards, tokenizer_path, Provenance.read(folder))

    @property
    def vocab_size(self) -> int:
        """Pieces and special tokens together."""
        return self.index.vocab_size

    @property
    def sources(self) -> list[str]:
        """The names of the recipe's sources."""
        return [source.name for source in self.index.sources]

    @property
    def epochs(self) -> dict[str, float]:
        """How often training reads each source in an epoch, by name."""
        return {source.name: source.epochs for source in self.index.sources}

    def select(self, split: Split, sources: Collection[str] | None = None) -> list[Shard]:
        """Return the shards of a split, of all sources or of some.

        Raises:
            UserError: the corpus has no source of such a name.
        """
        names = self._checked(sources)
        return [shard for shard in self.shards if shard.split == split and shard.source in names]

    def provenance_of(self, sources: Collection[str]) -> Provenance:
        """Return the provenance of some of the recipe's sources: that of a model trained on them.

        Raises:
            UserError: the corpus has no source of such a name.
        """
        names = self._checked(sources)
        records = [Provenance(sources=s.origins) for s in self.index.sources if s.name in names]
        steps = Provenance(steps=self.provenance.steps)
        return merge([*records, steps]).with_attributions(self.provenance.attributions)

    def _checked(self, sources: Collection[str] | None) -> Collection[str]:
        known = self.sources
        missing = sorted(set(sources or ()) - set(known))
        if missing:
            raise UserError(
                f"{self.path}: no source {', '.join(missing)}; it has {', '.join(known)}"
            )
        return known if sources is None else sources


def _read_index(path: Path) -> CorpusIndex:
    try:
        return CorpusIndex.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file; its folder is not a corpus") from None
    except ValidationError as error:
        raise UserError(f"{path}: not the index of a corpus: {error}") from None


def _open_shard(folder: Path, entry: ShardEntry, dtype: TokenType) -> Shard:
    def array(part: str, kind: str, length: int) -> NDArray[Any]:
        return _open_array(folder / f"{entry.name}.{part}.npy", kind, length)

    is_conversation = entry.kind == "conversations"
    shard = Shard(
        entry.source,
        entry.split,
        tokens=array("tokens", dtype, entry.tokens),
        starts=array("starts", "int64", entry.documents + 1),
        bytes=array("bytes", "uint32", entry.documents),
        trained=array("trained", "bool", entry.tokens) if is_conversation else None,
        name=entry.name,
    )
    starts = shard.starts
    if starts[0] != 0 or starts[-1] != entry.tokens or np.any(np.diff(starts) <= 0):
        raise UserError(f"{folder / entry.name}.starts.npy: does not fit its tokens")
    return shard


def _open_array(path: Path, dtype: str, length: int) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the corpus is incomplete") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: damaged: {error}") from None
    if values.dtype != dtype or values.shape != (length,):
        raise UserError(
            f"{path}: {values.dtype} {values.shape}, but the index says {dtype} ({length},)"
        )
    return values
