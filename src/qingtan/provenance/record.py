"""The provenance record that travels from document to shard to checkpoint."""

import datetime
import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from qingtan.errors import UserError
from qingtan.files import write_text

PROVENANCE_FILE = "provenance.json"


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
    """Whom to name, in the words that the licence asks for."""
    documents: int = 0
    """Documents or conversations kept."""
    bytes: int = 0
    """UTF-8 bytes of their text."""
    tokens: int = 0
    """Tokens, special tokens included; 0 where nothing was encoded."""


class Step(BaseModel):
    """Something that was done to the sources: built, trained, converted."""

    model_config = ConfigDict(frozen=True)

    name: str
    date: str
    version: str
    details: dict[str, str | int | float] = {}

    @classmethod
    def now(cls, name: str, /, **details: str | int | float) -> "Step":
        """Return a step dated now (UTC), done by this version of Qingtan."""
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return cls(name=name, date=date, version=_version(), details=details)


class Provenance(BaseModel):
    """The sources of a corpus or a model, and the steps that led to it."""

    model_config = ConfigDict(frozen=True)

    sources: tuple[Source, ...] = ()
    steps: tuple[Step, ...] = ()

    @classmethod
    def read(cls, folder: str | Path) -> "Provenance":
        """Read the record of a corpus or checkpoint.

        Raises:
            UserError: the folder has no record, or it is damaged.
        """
        path = Path(folder) / PROVENANCE_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; its folder has no provenance") from None
        except ValidationError as error:
            raise UserError(f"{path}: not a provenance record: {error}") from None

    def write(self, folder: str | Path) -> Path:
        """Write the record into a folder, whole or not at all, and return its path."""
        path = Path(folder) / PROVENANCE_FILE
        write_text(path, self.model_dump_json(indent=2) + "\n")
        return path

    def with_step(self, step: Step) -> "Provenance":
        """Return this record with one more step at its end."""
        return Provenance(sources=self.sources, steps=(*self.steps, step))


def merge(records: Iterable[Provenance]) -> Provenance:
    """Join the records of what a model was made from, such as two corpora.

    Counts of the same source and licence are added: a document used in two stages counts twice.
    A step that two records share appears once. Origin and attribution are the first that is given.
    """
    sources: dict[tuple[str, str], Source] = {}
    steps: dict[str, Step] = {}
    for record in records:
        for source in record.sources:
            key = (source.name, source.licence)
            sources[key] = _add(sources[key], source) if key in sources else source
        steps.update((step.model_dump_json(), step) for step in record.steps)
    return Provenance(sources=tuple(sources.values()), steps=tuple(steps.values()))


def render_sources(provenance: Provenance) -> str:
    """Return the sources as a Markdown table, the largest first, for a model card."""
    rows = [
        "| source | licence | origin | attribution | documents | MB | tokens |",
        "| --- | --- | --- | --- | ---: | ---: | ---: |",
    ]
    for source in sorted(provenance.sources, key=lambda s: (-s.bytes, s.name, s.licence)):
        texts = (source.name, source.licence, source.origin, source.attribution)
        figures = (f"{source.documents:,}", f"{source.bytes / 1e6:.1f}", f"{source.tokens:,}")
        rows.append("| " + " | ".join([*map(_cell, texts), *figures]) + " |")
    return "\n".join(rows) + "\n"


def _version() -> str:
    try:
        return importlib.metadata.version("qingtan")
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        return "unknown"


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


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
