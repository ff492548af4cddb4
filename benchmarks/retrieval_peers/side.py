"""What every side does, and reading what they get; needs no more than Python has."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Side(Protocol):
    """A way of finding passages."""

    def index(self, documents: Path, chunks: Path) -> None:
        """Take in the documents, whole or as they are cut already."""

    def find(self, question: str, limit: int) -> list[str]:
        """Return the names of the documents of the first passages, best first."""


def read_lines(path: Path) -> Iterator[dict[str, str]]:
    """Yield a file's records."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
