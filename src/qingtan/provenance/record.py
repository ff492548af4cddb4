"""The provenance record that travels from document to shard to checkpoint."""

import datetime
import importlib.metadata
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qingtan.errors import UserError
from qingtan.files import write_text
from qingtan.provenance.attributions import (
    ATTRIBUTIONS_FILE,
    join_attributions,
    read_attributions,
    write_attributions,
)

PROVENANCE_FILE = "provenance.json"
# The detail that says whose step it is.
_OF = "of"


class Source(BaseModel):
    """One origin of text under one licence, and how much of it was used."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    """The source's name; documents of one source under two licences make two entries."""
    licence: str
    """An SPDX expression, `LicenseRef-…`, or the string that the records themselves carry."""
    origin: str = ""
    """Where it was taken from, with the version."""
    attribution: str = ""
    """Whom to name for the source as a whole, in the words that the licence asks for."""
    record_attributions: int = 0
    """How many distinct attributions its records carry; `attributions.jsonl.zst` has them."""
    documents: int = 0
    """Documents or conversations kept."""
    bytes: int = 0
    """UTF-8 bytes of their text."""
    tokens: int = 0
    """Tokens, special tokens included; 0 where nothing was encoded."""

    @property
    def key(self) -> tuple[str, str]:
        """Name and licence: what tells two sources apart."""
        return self.name, self.licence


class ModelSource(BaseModel):
    """A base model: a checkpoint was fine-tuned or distilled from it."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    """The model's name, such as `ChatGLM3-6B`."""
    licence: str
    """The licence of its weights: an SPDX expression or `LicenseRef-…`."""
    origin: str = ""
    """Where its weights were taken from, with the version."""
    attribution: str = ""
    """Whom to name, in the words that the licence asks for."""


class Step(BaseModel):
    """Something that was done to the sources: built, trained, converted."""

    model_config = ConfigDict(frozen=True)

    name: str
    date: str
    version: str
    details: dict[str, str | int | float] = {}

    @property
    def of(self) -> str:
        """The teacher whose making it belongs to; "" for a step of the model's own line."""
        return str(self.details.get(_OF, ""))

    @classmethod
    def now(cls, name: str, /, **details: str | int | float) -> "Step":
        """Return a step dated now (UTC), done by this version of Qingtan.

        The environment's SOURCE_DATE_EPOCH takes the place of the clock
        (https://reproducible-builds.org/specs/source-date-epoch/).

        Raises:
            UserError: SOURCE_DATE_EPOCH is no number of seconds.
        """
        date = _now().isoformat(timespec="seconds")
        return cls(name=name, date=date, version=qingtan_version(), details=details)


class Provenance(BaseModel):
    """The sources of a corpus or a model, its base models, and the steps that led to it."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    sources: tuple[Source, ...] = ()
    """The text it was made from."""
    models: tuple[ModelSource, ...] = ()
    """The models that it was fine-tuned or distilled from, where they have no sources to name."""
    steps: tuple[Step, ...] = ()
    """What was done, in order."""
    attributions: Mapping[tuple[str, str], frozenset[str]] = Field(default={}, exclude=True)
    """By a source's name and licence: the distinct attributions that its records carry. They are
    written to a file of their own, `provenance.json` holds their number."""

    @model_validator(mode="after")
    def _check_attributions(self) -> Self:
        counted = {source.key: 0 for source in self.sources}
        for source in self.sources:
            counted[source.key] += source.record_attributions
        counted = {key: number for key, number in counted.items() if number}
        given = {key: len(texts) for key, texts in self.attributions.items() if texts}
        if counted != given:
            key = next(k for k in {**counted, **given} if counted.get(k) != given.get(k))
            raise ValueError(
                f"source {key[0]} ({key[1]}) counts {counted.get(key, 0)} attributions of "
                f"records, but {ATTRIBUTIONS_FILE} holds {given.get(key, 0)}"
            )
        return self

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read the record of a corpus or checkpoint.

        Raises:
            UserError: the folder has no record, or it or its file of attributions is damaged.
        """
        path = Path(folder) / PROVENANCE_FILE
        try:
            written = _Written.model_validate_json(path.read_bytes())
            attributions = read_attributions(path.parent)
            return cls(**dict(written), attributions=attributions)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{path}: no such file; its folder has no provenance") from None
        except ValidationError as error:
            raise UserError(f"{path}: not a provenance record: {error}") from None

    def write(self, folder: str | Path) -> Path:
        """Write the record into a folder, whole or not at all, and return its path.

        The attributions of records go first, into `attributions.jsonl.zst`.
        """
        path = Path(folder) / PROVENANCE_FILE
        write_attributions(path.parent, self.attributions)
        empty = set() if self.models else {"models"}
        write_text(path, self.model_dump_json(indent=2, exclude=empty) + "\n")
        return path

    def with_step(self, step: Step) -> "Provenance":
        """Return this record with one more step at its end."""
        return self.model_copy(update={"steps": (*self.steps, step)})

    def of_teacher(self, name: str) -> "Provenance":
        """Return this record with steps that say that they are those of a teacher.

        Steps of the teacher's own teachers say so already, and go on doing so.

        Args:
            name: what the teacher is called in the record of the model that learns from it.
        """
        steps = tuple(
            step.model_copy(update={"details": {_OF: name} | step.details}) for step in self.steps
        )
        return self.model_copy(update={"steps": steps})

    def with_attributions(
        self, attributions: Mapping[tuple[str, str], Collection[str]]
    ) -> "Provenance":
        """Return this record with the attributions of its sources' records, counted.

        Args:
            attributions: by source name and licence; those of other sources are left out.
        """
        keys = {source.key for source in self.sources}
        texts = join_attributions([{k: v for k, v in attributions.items() if k in keys}])
        numbers = {key: len(values) for key, values in texts.items()}
        # The first entry of a source has the number, should the source be listed twice.
        sources = tuple(
            source.model_copy(update={"record_attributions": numbers.pop(source.key, 0)})
            for source in self.sources
        )
        return self.model_copy(update={"sources": sources, "attributions": texts})


class _Written(BaseModel):
    """What stands in `provenance.json`."""

    sources: tuple[Source, ...] = ()
    models: tuple[ModelSource, ...] = ()
    steps: tuple[Step, ...] = ()


def merge(records: Iterable[Provenance]) -> Provenance:
    """Join the records of what a model was made from, such as two corpora.

    Counts of the same source and licence are added: a document used in two stages counts twice.
    A step or a base model that two records share appears once; a step of the model's own line that
    is a teacher's too is its own. Origin and attribution are the first that is given; the
    attributions of records are joined.
    """
    records = list(records)
    sources: dict[tuple[str, str], Source] = {}
    for source in (source for record in records for source in record.sources):
        key = source.key
        sources[key] = _add(sources[key], source) if key in sources else source
    joined = Provenance(
        sources=tuple(s.model_copy(update={"record_attributions": 0}) for s in sources.values()),
        models=tuple(dict.fromkeys(model for record in records for model in record.models)),
        steps=_distinct_steps(records),
    )
    return joined.with_attributions(join_attributions(r.attributions for r in records))


def render_sources(provenance: Provenance) -> str:
    """Return the sources as a Markdown table, the largest first, for a model card."""
    rows = [
        "| source | licence | origin | attribution | documents | MB | tokens |",
        "| --- | --- | --- | --- | ---: | ---: | ---: |",
    ]
    for source in sorted(provenance.sources, key=lambda s: (-s.bytes, s.name, s.licence)):
        texts = (source.name, source.licence, source.origin, _attribution(source))
        figures = (f"{source.documents:,}", f"{source.bytes / 1e6:.1f}", f"{source.tokens:,}")
        rows.append("| " + " | ".join([*map(_cell, texts), *figures]) + " |")
    return "\n".join(rows) + "\n"


def qingtan_version() -> str:
    """Return the installed version, "unknown" for a source tree that is not installed."""
    try:
        return importlib.metadata.version("qingtan")
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        return "unknown"


def _now() -> datetime.datetime:
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if seconds is None:
        return datetime.datetime.now(datetime.UTC)
    try:
        return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    except (ValueError, OverflowError, OSError):
        raise UserError(
            f"SOURCE_DATE_EPOCH {seconds!r}: give whole seconds since 1970, or unset it"
        ) from None


def _distinct_steps(records: list[Provenance]) -> tuple[Step, ...]:
    steps: dict[str, Step] = {}
    for step in (step for record in records for step in record.steps):
        details = {name: value for name, value in step.details.items() if name != _OF}
        key = step.model_copy(update={"details": details}).model_dump_json()
        if key not in steps or (steps[key].of and not step.of):
            steps[key] = step  # where the first of them stands
    return tuple(steps.values())


def _add(one: Source, other: Source) -> Source:
    return Source(
        name=one.name,
        licence=one.licence,
        origin=one.origin or other.origin,
        attribution=one.attribution or other.attribution,
        documents=one.documents + other.documents,
        bytes=one.bytes + other.bytes,
        tokens=one.tokens + other.tokens,
    )


def _attribution(source: Source) -> str:
    if not source.record_attributions:
        return source.attribution
    count = f"{source.record_attributions:,} in {ATTRIBUTIONS_FILE}"
    return f"{source.attribution}; {count}" if source.attribution else count


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
