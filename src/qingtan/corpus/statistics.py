"""What became of a corpus's records, in numbers: the content of `report.json`.

Every step of the pipeline keeps its own numbers for its own piece of the text; they are added in
the order of the pieces, so the report is the same however the work was shared out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

# Samples kept of what a rule dropped or a step changed, over the whole corpus.
SAMPLES = 20
EXCERPT_CHARACTERS = 400

StepName = Literal[
    "read",
    "clean",
    "language",
    "quality",
    "personal-data",
    "decontamination",
    "exact-duplicates",
    "near-duplicates",
    "encode",
]

# In the order in which text goes through them.
STEPS: tuple[StepName, ...] = get_args(StepName)


class _Counts(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Amount(_Counts):
    """How much text."""

    documents: int = 0
    characters: int = 0
    bytes: int = 0
    """UTF-8 bytes."""

    def add(self, other: Amount) -> None:
        """Add another amount to this one."""
        self.documents += other.documents
        self.characters += other.characters
        self.bytes += other.bytes

    def count(self, text: str) -> None:
        """Add one document."""
        self.documents += 1
        self.characters += len(text)
        self.bytes += len(text.encode("utf-8", "surrogatepass"))


class Changed(_Counts):
    """What a cleaning step did to the documents that it changed."""

    documents: int = 0
    characters_before: int = 0
    characters_after: int = 0


class Sample(_Counts):
    """A document, or a part of it, that a person can look at to judge a rule."""

    source: str
    file: str
    line: int
    text: str
    """The beginning; for a changed document, the surroundings of the first change."""
    after: str | None = None
    """The same place after the change; for a near-duplicate, the document that was kept."""
    value: float | None = None
    """What the rule measured."""
    threshold: float | None = None
    """What it allows."""


class Histogram(_Counts):
    """Documents by a measured value.

    Attributes:
        edges: n + 1 borders; values outside fall into the first or last bin.
        counts: n numbers of documents.
    """

    edges: list[float]
    counts: list[int]


class RuleStatistics(_Counts):
    """What one rule dropped of one source."""

    step: StepName
    dropped: Amount = Amount()


class SourceStatistics(_Counts):
    """What became of one source of the recipe."""

    name: str
    kind: str
    read: Amount = Amount()
    """Records that could be read, `limit` and `exclude_sources` applied."""
    rejected: int = 0
    """Records set aside in `rejected.jsonl`."""
    excluded: int = 0
    """Records left out by `exclude_sources`."""
    after: dict[StepName, Amount] = {}
    """What was left after each step."""
    rules: dict[str, RuleStatistics] = {}
    """By name: what each rule dropped."""
    changed: dict[str, Changed] = {}
    """By name: what each cleaning step changed."""
    masked: dict[str, int] = {}
    """By kind: how many pieces of personal data were masked."""
    languages: dict[str, int] = {}
    """Documents by language, as identified."""
    histograms: dict[str, Histogram] = {}
    """By measure: lengths and qualities of the documents before the quality rules."""
    tokens: int = 0
    """Of what was kept, special tokens included."""
    trained_tokens: int = 0
    """Those that are to be predicted: all of a text, the answers of a conversation."""
    epochs: float = 1.0
    """How often training reads the source in an epoch."""


class EvaluationStatistics(_Counts):
    """An evaluation set that training text was kept clear of."""

    name: str
    items: int
    """Items long enough to be looked for."""
    short_items: int = 0
    """Items too short to be looked for."""
    dropped: Amount = Amount()
    """Training documents that held one of its items."""


class CorpusReport(_Counts):
    """`report.json`."""

    format: Literal[1] = 1
    sources: list[SourceStatistics]
    evaluation: list[EvaluationStatistics] = []
    samples: dict[str, list[Sample]] = {}
    """By rule or cleaning step."""
    vocab_size: int | None = None
    shards: int = 0


def add_amounts(amounts: Iterable[Amount]) -> Amount:
    """Return the sum."""
    total = Amount()
    for amount in amounts:
        total.add(amount)
    return total
