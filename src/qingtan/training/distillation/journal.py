"""The answers so far, in the order in which they came: what a stopped run goes on from."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qingtan.errors import UserError
from qingtan.files import write_text
from qingtan.training.distillation.teachers import Candidate


@dataclass(frozen=True)
class Answered:
    """What became of a question.

    Attributes:
        index: the question's number.
        refused: why the teacher did not take it; None where it did.
    """

    index: int
    candidates: tuple[Candidate, ...]
    refused: str | None = None


class Journal:
    """A file with a line of settings, and a line for each question that was asked.

    Lines are appended; one that was cut off when the run was killed is taken away. In memory is
    only where each line stands.

    Args:
        settings: what the answers depend on.

    Raises:
        UserError: the file is of a run with other settings, or is no such file.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path = path
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(settings, ensure_ascii=False) + "\n")
        self._places = self._find_lines(settings)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, index: int) -> bool:
        return index in self._places

    def add(self, answered: Answered) -> None:
        """Write what became of a question."""
        with self._path.open("ab") as file:
            place = file.tell()
            file.write((json.dumps(asdict(answered), ensure_ascii=True) + "\n").encode())
        self._places[answered.index] = place

    def read(self, index: int) -> Answered:
        """Return what became of a question; KeyError where it was not asked."""
        with self._path.open("rb") as file:
            file.seek(self._places[index])
            value = json.loads(file.readline())
        candidates = tuple(Candidate(**candidate) for candidate in value["candidates"])
        return Answered(value["index"], candidates, value["refused"])

    def remove(self) -> None:
        """Remove the file, since all of it stands elsewhere."""
        self._path.unlink()

    def _find_lines(self, settings: Mapping[str, Any]) -> dict[int, int]:
        """Return where each question's line begins, and cut off an unfinished last one."""
        places: dict[int, int] = {}
        with self._path.open("r+b") as file:
            self._check_settings(file.readline(), settings)
            place = file.tell()
            for line in iter(file.readline, b""):
                if not line.endswith(b"\n"):
                    file.truncate(place)
                    break
                places[json.loads(line)["index"]] = place
                place += len(line)
        return places

    def _check_settings(self, line: bytes, settings: Mapping[str, Any]) -> None:
        try:
            before = dict(json.loads(line))
        except ValueError:
            raise UserError(f"{self._path}: no journal of answers; remove it") from None
        changed = [
            f"{name} {before.get(name)}, not {value}"
            for name, value in settings.items()
            if value != before.get(name)
        ]
        if changed:
            raise UserError(
                f"{self._path}: was begun with other settings ({'; '.join(changed)}); remove it, "
                "or name another output"
            )
