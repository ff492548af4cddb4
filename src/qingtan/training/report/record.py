"""What stands in a run's folder, as far as the run has come."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qingtan.errors import UserError
from qingtan.files import read_json
from qingtan.training.forgetting import Comparison, read_comparison

Entry = dict[str, Any]
Names = tuple[str, ...]


@dataclass(frozen=True)
class Series:
    """A number over the run: tokens seen, and its value then."""

    tokens: list[float]
    values: list[float]


@dataclass(frozen=True)
class RunRecord:
    """The files of a run.

    Attributes:
        recipe: as run.
        metrics: the lines of metrics.jsonl, each with its step and tokens.
        samples: each step's prompts and what the model wrote.
        skipped: sequences that are not trained on, with their reasons.
        comparison: what was learnt and forgotten; None until it is known.
        is_finished: whether there is a model or an adapter.
    """

    recipe: Entry
    metrics: list[Entry]
    samples: list[Entry]
    skipped: list[Entry]
    comparison: Comparison | None
    is_finished: bool

    @classmethod
    def read(cls, folder: Path) -> "RunRecord":
        """Read a run's folder, of which only the recipe must be there.

        Raises:
            UserError: there is no run, or a file is damaged; the message names file and line.
        """
        return cls(
            read_json(folder / "recipe.json"),
            list(_read_lines(folder / "metrics.jsonl")),
            list(_read_lines(folder / "samples.jsonl")),
            list(_read_lines(folder / "skipped.jsonl")),
            read_comparison(folder),
            any((folder / name).is_dir() for name in ("model", "adapter")),
        )

    @cached_property
    def series(self) -> dict[Names, Series]:
        """Each number of the lines over the run, by its name or the names that lead to it."""
        series: dict[Names, Series] = {}
        for entry in self.metrics:
            for path, value in _numbers(entry, ()):
                line = series.setdefault(path, Series([], []))
                line.tokens.append(float(entry["tokens"]))
                line.values.append(value)
        return series

    def values(self, *path: str) -> list[float]:
        """Return a number of the lines over the run; nothing where it was never logged."""
        return self.series[path].values if path in self.series else []

    def names(self, table: str) -> list[str]:
        """Return every name of a number in a table of the lines, in the order of appearance."""
        return [path[1] for path in self.series if len(path) == 2 and path[0] == table]


def _numbers(entry: Entry, above: Names) -> Iterator[tuple[Names, float]]:
    for name, value in entry.items():
        if isinstance(value, dict):
            yield from _numbers(value, (*above, name))
        # What is not finite cannot be drawn.
        elif isinstance(value, int | float) and math.isfinite(value):
            yield (*above, name), float(value)


def _read_lines(path: Path) -> Iterator[Entry]:
    """Yield the objects of a file that may grow: a last line without its end is not read yet."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                return
            try:
                yield dict(json.loads(line))
            except (ValueError, TypeError) as error:
                raise UserError(
                    f"{path}:{number}: not a JSON object: {error}; remove the line"
                ) from None
