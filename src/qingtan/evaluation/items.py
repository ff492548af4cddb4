"""The items of the evaluation's files: read, checked, and chosen alike for every model."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from qingtan.corpus.reading.streams import Chunks
from qingtan.errors import UserError
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.task import Task

SUFFIXES = (".jsonl.zst", ".jsonl", ".jsonl.gz")
_CHUNK_BYTES = 1 << 20


def read_items(task: Task, folder: str | Path) -> list[Item]:
    """Read all items of a task, in the order of their file, derived where the task derives them.

    A file may give several questions about one document the same id: the second one gets "#2"
    after it, and so on, so that ids are unique within the task.

    Args:
        folder: holds the task's file, as one of SUFFIXES.

    Raises:
        UserError: there is no such file, it is damaged, an item lacks a field, or the file holds
            no item of the task; the message names the file, the line and the field.
    """
    path = _find_file(Path(folder), task.file)
    items = [item for line, item in _read(path) if _belongs(task, item, path, line)]
    if not items:
        raise UserError(f"{path}: holds no item of the task {task.name}")
    derived = list(_with_unique_ids(task.derive(items)))
    if not derived:
        raise UserError(f"{path}: no item of the task {task.name} can be made of its {len(items)}")
    return derived


def choose(items: Sequence[Item], limit: int, seed: int) -> list[Item]:
    """Return at most so many of the items, in their order, the same whatever else is asked.

    The choice is by a hash of seed and id, so what a lower limit chooses is part of what a higher
    one does.

    Args:
        limit: 0 is all.
    """
    if not limit:
        return list(items)
    ranked = sorted(range(len(items)), key=lambda i: _rank(items[i], seed))
    return [items[i] for i in sorted(ranked[:limit])]


def _rank(item: Item, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{item['id']}".encode()).digest()


def _find_file(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the evaluation's data with --data")
    for suffix in SUFFIXES:
        if (path := folder / f"{name}{suffix}").is_file():
            return path
    raise UserError(f"{folder}: holds no {name}{SUFFIXES[0]} (nor {', '.join(SUFFIXES[1:])})")


def _read(path: Path) -> Iterator[tuple[int, Item]]:
    """Yield the objects of a file with their lines, from 1."""
    try:
        data = b"".join(Chunks(path, _CHUNK_BYTES))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    for line, text in enumerate(data.split(b"\n"), start=1):
        if text.strip():
            yield line, _parse(text, path, line)


def _parse(text: bytes, path: Path, line: int) -> Item:
    try:
        value: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UserError(f"{path}, line {line}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}, line {line}: not a JSON object")
    if not isinstance(value.get("id"), str) or not value["id"]:
        raise UserError(f"{path}, line {line}: field id: give a text")
    return value


def _belongs(task: Task, item: Item, path: Path, line: int) -> bool:
    """Whether an item is the task's; then it has all fields."""
    try:
        selected = task.selects(item)
    except KeyError as error:
        raise UserError(f"{path}, line {line}: field {error.args[0]} is missing") from None
    missing = [name for name in task.fields if item.get(name) is None] if selected else []
    if missing:
        raise UserError(
            f"{path}, line {line}: field {missing[0]} is missing, which the task {task.name} needs"
        )
    return selected


def _with_unique_ids(items: Sequence[Item]) -> Iterator[Item]:
    seen: Counter[str] = Counter()
    for item in items:
        seen[item["id"]] += 1
        number = seen[item["id"]]
        yield item if number == 1 else {**item, "id": f"{item['id']}#{number}"}
