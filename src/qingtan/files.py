"""Writing so that nothing is ever half-written: beside first, then renamed."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qingtan.errors import UserError


@contextmanager
def new_folder(path: str | Path, marker: str, replace: bool = False) -> Iterator[Path]:
    """Yield a folder to fill; it becomes `path` when the block ends without an exception.

    After an exception nothing is left; what a killed process left is replaced.

    Args:
        marker: the file by which an earlier result is known; no other folder is ever replaced.
        replace: replace an earlier result, once the new one is complete.

    Raises:
        UserError: `path` exists and may not be replaced.
    """
    path = Path(path)
    check_free(path, marker, replace)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        put_in_place(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_free(path: Path, marker: str, replace: bool) -> None:
    """Check that a result may be put at a path.

    Args:
        marker: the file by which an earlier result is known; no other folder is ever replaced.

    Raises:
        UserError: `path` exists and may not be replaced.
    """
    if path.exists() and not replace:
        raise UserError(f"{path}: exists; name another folder, or replace it with --force")
    if path.exists() and not (path / marker).is_file():
        raise UserError(f"{path}: exists and has no {marker}, so it will not be replaced")


def put_in_place(folder: Path, path: Path) -> None:
    """Rename a complete folder to `path`, in the place of an earlier one."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    try:
        if path.exists():
            path.rename(old)
        folder.rename(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)  # the new one could not take its place
        shutil.rmtree(old, ignore_errors=True)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file beside and rename it."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 file beside and rename it."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON, beside and renamed."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file is missing or is not a JSON object.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: holds no JSON object")
    return value
