"""The floors of the house: a room imports only from the floors below it."""

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "qingtan"
FLOORS = {
    "errors": 0,
    "i18n": 0,
    "files": 0,
    "recipe": 0,
    "native": 0,
    "glm": 1,
    "prompts": 1,
    "provenance": 1,
    "engine": 2,
    "safety": 2,
    "corpus": 3,
    "knowledge": 3,
    "training": 4,
    "chat": 4,
    "apps": 5,
    "evaluation": 5,
    "server": 6,
    "cli": 7,
    "__init__": 8,
    "__main__": 8,
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_rooms(path: Path) -> list[str]:
    return re.findall(r"^ *(?:from|import) qingtan\.(\w+)", path.read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_from_the_floors_below(path: Path) -> None:
    room = room_of(path)
    for other in imported_rooms(path):
        below = FLOORS[other] < FLOORS[room] or (FLOORS[other] == 0 and FLOORS[room] == 0)
        assert other == room or below, f"{room} imports {other}"


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} == set(FLOORS)


def test_serving_needs_no_torch_but_for_its_runner() -> None:
    """Only the torch runner of the engine may import torch; a native one takes its place."""
    for path in FILES:
        if room_of(path) in ("engine", "server", "cli") and path.name != "torch_runner.py":
            assert "import torch" not in path.read_text(encoding="utf-8"), path
