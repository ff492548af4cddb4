"""The recipe of a corpus: what to read, what to do to it, and what to make of it."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from qingtan.corpus.cleaning import CleaningTable
from qingtan.corpus.contamination import DecontaminationTable, EvaluationFile
from qingtan.corpus.duplicates import NearDuplicatesTable
from qingtan.corpus.quality import LanguageTable, QualityTable
from qingtan.corpus.reading import FormatTable
from qingtan.corpus.words import WordsTable
from qingtan.recipe import Recipe
from qingtan.safety import PersonalDataTable

Kind = Literal["text", "conversations"]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


class TextTables(Recipe):
    """What is done to text; a source may override any field for itself."""

    cleaning: CleaningTable = CleaningTable()
    languages: LanguageTable = LanguageTable()
    quality: QualityTable = QualityTable()
    personal_data: PersonalDataTable = PersonalDataTable()


class SourceTable(Recipe):
    """A `[[source]]`: a file, or a folder of files."""

    name: FileName
    """Names the source's shards, and the source of records that name none themselves."""
    kind: Kind = "text"
    """What a record holds: a "text", or the "messages" of a conversation."""
    path: Path
    """The file or folder, below `root`. Files are known by their suffix: JSON Lines (.jsonl),
    Parquet, plain text, Markdown, HTML, CSV; all but Parquet also as .gz and .zst."""
    root: Path | None = None
    """The folder that this source's path starts from, instead of the recipe's `root`."""
    pattern: str | None = None
    """Of a folder, read only the files that match, such as "**/*.md"."""
    format: FormatTable = FormatTable()
    limit: int | None = Field(default=None, ge=1)
    """Read at most so many records, from the beginning; all by default."""
    licence: str | None = None
    """The licence of records that state none: an SPDX expression or LicenseRef-…."""
    attribution: str | None = None
    """Whom to name for records that name nobody."""
    near_duplicates: bool = True
    """Whether its documents are compared with others for near-duplicates."""
    override: dict[str, dict[str, Any]] = Field(default={})
    """What is different for this source in the recipe's tables cleaning, languages, quality and
    personal_data, such as `override.quality.zh.min_characters = 4`."""
    epochs: float | None = Field(default=None, ge=0)
    """How often training reads the source in an epoch; once by default."""
    weight: float | None = Field(default=None, gt=0)
    """Instead of `epochs`: the source's part of the tokens that training reads, relative to the
    other sources' weights."""
    vocabulary_weight: float = Field(default=1.0, ge=0)
    """The source's part of the vocabulary's sample, relative to the other sources'."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.epochs is not None and self.weight is not None:
            raise ValueError("give either epochs or weight")
        return self

    def location(self, root: Path) -> Path:
        """Return where the source is, given the recipe's `root`."""
        return (self.root or root) / self.path


class VocabularyTable(Recipe):
    """`[vocabulary]`: a tokenizer to learn from the cleaned text."""

    size: int = Field(default=8000, ge=300)
    """Pieces, the 256 single bytes and three controls included; special tokens come after them."""
    sample_bytes: int = Field(default=40_000_000, ge=1)
    """UTF-8 bytes of text to learn from in all; a source smaller than its part is used whole."""


class DocumentsTable(Recipe):
    """`[documents]`: the cleaned documents, written beside the shards."""

    format: Literal["jsonl.zst", "parquet"] = "jsonl.zst"
    """The kind of file."""
    words: WordsTable | None = None
    """Features instead of text: a field "words" with the words, segmented, without stop words."""


class CorpusRecipe(TextTables):
    """Records to documents, a vocabulary, and shards of tokens."""

    output: Path
    """The folder to make."""
    source: tuple[SourceTable, ...] = Field(min_length=1)
    """What to read; of two duplicates the first in this order is kept."""
    root: Path = Path()
    """The folder that the sources' paths start from."""
    licences: Path | None = None
    """A table of known sources with licence, origin and attribution."""
    exclude_sources: tuple[str, ...] = ()
    """Leave out records whose own "source" is one of these."""
    max_rejected_share: float = Field(default=0.05, ge=0, le=1)
    """Give up when more than this share of a source's records cannot be used: of those read so
    far, from the first thousand on, and of all in the end."""
    near_duplicates: NearDuplicatesTable = NearDuplicatesTable()
    decontamination: DecontaminationTable = DecontaminationTable()
    evaluation: tuple[EvaluationFile, ...] = ()
    """Evaluation sets, JSON Lines below `root`, that no training text may hold."""
    tokenizer: Path | None = None
    """A SentencePiece file to encode with; it is copied into the corpus."""
    vocabulary: VocabularyTable | None = None
    validation_share: float = Field(default=0.005, ge=0, lt=1)
    """The share of documents held out for validation, chosen by a hash of their text."""
    shard_tokens: int = Field(default=16_777_216, ge=1)
    """A shard ends with the document that reaches so many tokens."""
    mix_tokens: int | None = Field(default=None, ge=1)
    """With weights: how many tokens training reads in an epoch; as many as there are by
    default."""
    documents: DocumentsTable | None = None

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [source.name for source in self.source]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sources are called {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _check_output(self) -> Self:
        if self.tokenizer and self.vocabulary:
            raise ValueError("give either tokenizer or [vocabulary]")
        if not (self.tokenizer or self.vocabulary or self.documents):
            raise ValueError("nothing to make: give tokenizer, [vocabulary] or [documents]")
        return self

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        weighted = [source.weight is not None for source in self.source]
        if any(weighted) and not all(weighted):
            raise ValueError("either every source has a weight or none has")
        return self

    @model_validator(mode="after")
    def _check_overrides(self) -> Self:
        _ = self.tables
        return self

    @cached_property
    def tables(self) -> tuple[TextTables, ...]:
        """What is done to the text of each source, its overrides applied."""
        names = set(TextTables.model_fields)
        common = self.model_dump(include=names)
        return tuple(
            TextTables.model_validate(_merged(common, source.override)) for source in self.source
        )


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(values)
    for name, change in changes.items():
        inner = result.get(name)
        if isinstance(inner, Mapping) and isinstance(change, Mapping):
            result[name] = _merged(inner, change)
        else:
            result[name] = change
    return result
