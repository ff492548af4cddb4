"""What an evaluation of knowledge found: `results.json`, of which the report is written."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from qingtan.evaluation.results import RESULTS_FILE, TaskResult
from qingtan.files import write_text


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Point(_Record):
    """What a threshold on the evidence gives, on the part for reporting."""

    threshold: float
    refused_wrongly: float
    """Share of questions with an answer that are refused."""
    refused_rightly: float
    """Share of questions without one that are."""


class Kind(_Record):
    """Claims of one kind, checked, on the part for reporting."""

    name: str
    true: bool
    claims: int
    supported: float
    """Share that the check lets pass."""


class Threshold(_Record):
    """A threshold by the part for calibrating.

    That of evidence is the highest which refuses at most 3% of the questions that have an answer;
    that of support is where right and wrong decisions on claims differ most.
    """

    name: str
    calibrated: float
    used: float
    """What the package has."""


class Speed(_Record):
    """How long it takes, without a model."""

    documents: int
    chunks: int
    documents_a_second: float
    """Cut and stored, in one transaction."""
    median_ms: float
    """Of a query: found and answered by a quotation."""
    p99_ms: float


class KnowledgeResults(_Record):
    """A whole evaluation."""

    format: Literal[1] = 1
    version: str
    date: str
    seconds: float
    limit: int
    written_by: str = ""
    """The model whose own words were measured beside quotations."""
    vectors_by: str = ""
    """The model whose vectors were joined with words."""
    tasks: tuple[TaskResult, ...]
    thresholds: tuple[Threshold, ...]
    curve: tuple[Point, ...]
    kinds: tuple[Kind, ...]
    speed: Speed

    def write(self, folder: Path) -> Path:
        """Write `results.json` into a folder, and return its path."""
        path = folder / RESULTS_FILE
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, self.model_dump_json(indent=2) + "\n")
        return path
