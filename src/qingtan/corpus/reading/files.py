"""Which files a source has."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qingtan.corpus.reading.formats import explain_unknown, find_format
from qingtan.errors import UserError


@dataclass(frozen=True)
class InputFile:
    """A file to read.

    Attributes:
        name: how it is reported: its path below the source's folder, with "/"; or its own name.
    """

    path: Path
    name: str


def list_files(path: Path, pattern: str | None = None) -> list[InputFile]:
    """List the files of a source in their order, which is that of their names, folder by folder.

    Args:
        path: a file; or a folder, of which hidden files and those that no reader knows are passed
            over. Links to folders are followed, but no folder is visited twice.
        pattern: which files of the folder, such as "**/*.md": `**` stands for any number of
            folders, `*` and `?` for characters of a name.

    Raises:
        UserError: nothing is there, or nothing that can be read.
    """
    if not path.is_dir():
        if not path.exists():
            raise UserError(f"{path}: no such file or folder")
        if find_format(path.name) is None:
            raise UserError(f"{path}: {explain_unknown(path.name)}")
        return [InputFile(path, _printable(path.name))]
    wanted = _compile_glob(pattern or "**")
    names = [
        name for name in _walk(path, "", set()) if find_format(name) and wanted.fullmatch(name)
    ]
    if not names:
        matching = f" that matches {pattern!r}" if pattern else ""
        raise UserError(f"{path}: no file{matching} in this folder: {explain_unknown('')}")
    return [InputFile(path / name, _printable(name)) for name in names]


def _walk(root: Path, folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """Yield the names, below `root`, of the files in a folder that are not hidden."""
    try:
        status = (root / folder).stat()
        names = sorted(path.name for path in (root / folder).iterdir())
    except OSError as error:
        raise UserError(f"{root / folder}: cannot be read: {error.strerror}") from None
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for name in names:
        path = root / folder / name
        if name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(root, f"{folder}{name}/", seen)
        elif path.is_file() or path.is_symlink():  # a link to nothing is reported when it is read
            yield folder + name


def _compile_glob(pattern: str) -> re.Pattern[str]:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return re.compile("".join(parts.get(token) or re.escape(token) for token in tokens), re.DOTALL)


def _printable(name: str) -> str:
    # A name that is not UTF-8 could not be written into a report.
    return os.fsencode(name).decode("utf-8", "replace")
