"""What is said of jobs and of what they read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from qingtan.knowledge.store.interface import Base

ItemKind = Literal["file", "member", "address"]
Outcome = Literal["added", "replaced", "unchanged", "failed", "cancelled"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Item:
    """Something to read.

    Attributes:
        kind: "member" is a file in an archive.
        name: of the document that it becomes.
        place: the path of the file or of the archive, or the address.
        scratch: a file or folder that is removed when the last item that names it has ended.
    """

    kind: ItemKind
    name: str
    place: str
    topic: str = ""
    scratch: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """What became of an item.

    Attributes:
        reason: why it failed, for people.
        warnings: what could not be read of it.
    """

    name: str
    outcome: Outcome
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A job, as it stands.

    Attributes:
        id: unguessable.
        base: its name.
        state: "failed" where every item failed.
        total: its items.
        done: those that have ended, however they did.
        counts: of those, by outcome.
        current: names of what is being read.
        report: a line for each item that has ended, in their order; empty in lists of jobs.
    """

    id: str
    base: str
    state: JobState
    created: str
    finished: str | None
    total: int
    done: int
    counts: Mapping[str, int]
    current: tuple[str, ...] = ()
    report: tuple[Line, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Work:
    """An item that a worker holds."""

    number: int
    job: int
    item: Item
    base: Base
    worker: str
    attempts: int


class Lost(Exception):  # noqa: N818
    """The item is not the worker's any more: it was cancelled, or another took it over."""
