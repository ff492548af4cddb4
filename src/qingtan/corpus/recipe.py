"""Recipes of this room: what to read, and how to make a vocabulary or shards of it."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from qingtan.recipe import Recipe

Kind = Literal["text", "conversations"]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


class SourceFile(Recipe):
    """One file of records, a `[[source]]` table."""

    name: FileName
    """Names the source's shards, and the source of records that name none themselves."""
    kind: Kind = "text"
    """What a record holds: a "text", or the "messages" of a conversation."""
    path: Path
    """The file, below `root`: JSON Lines, plain or compressed (.jsonl, .jsonl.gz, .jsonl.zst)."""
    root: Path | None = None
    """The folder that this source's path starts from, instead of the recipe's `root`."""
    limit: int | None = Field(default=None, ge=1)
    """Read at most so many records, from the file's beginning; all by default."""

    def file(self, root: Path) -> Path:
        """Return where the file is, given the recipe's `root`."""
        return (self.root or root) / self.path


class SampledFile(SourceFile):
    """A `[[source]]` table of a tokenizer's recipe."""

    weight: float = Field(default=1.0, gt=0)
    """The source's part of the sample, relative to the other sources' weights."""


class ReadingRecipe(Recipe):
    """What both recipes of this room say of the records that they read."""

    source: tuple[SourceFile, ...] = Field(min_length=1)
    """The files to read."""
    root: Path = Path()
    """The folder that the sources' paths start from."""
    licences: Path | None = None
    """A table of known sources with licence, origin and attribution."""
    exclude_sources: tuple[str, ...] = ()
    """Leave out records whose own "source" is one of these."""
    max_rejected_share: float = Field(default=0.05, ge=0, le=1)
    """Give up when more than this share of a source's records cannot be used."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [source.name for source in self.source]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sources are called {', '.join(twice)}")
        return self


class CorpusRecipe(ReadingRecipe):
    """Records to shards of tokens."""

    output: Path
    """The folder to make."""
    tokenizer: Path
    """The SentencePiece file; it is copied into the corpus."""
    validation_share: float = Field(default=0.005, ge=0, lt=1)
    """The share of documents held out for validation, chosen by a hash of their text."""
    shard_tokens: int = Field(default=16_777_216, ge=1)
    """A shard ends with the document that reaches so many tokens."""


class TokenizerRecipe(ReadingRecipe):
    """Records to a vocabulary."""

    source: tuple[SampledFile, ...] = Field(min_length=1)
    """The files to read."""
    output: Path
    """The folder to make; the vocabulary in it is `tokenizer.model`."""
    vocab_size: int = Field(default=8000, ge=300)
    """Pieces, the 256 single bytes and three controls included; special tokens come after them."""
    sample_bytes: int = Field(default=40_000_000, ge=1)
    """UTF-8 bytes of text to learn from in all; a source smaller than its part is used whole."""
