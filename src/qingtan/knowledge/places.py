"""Where knowledge lies, and what a base may be called."""

import os
from pathlib import Path

from qingtan.errors import UserError
from qingtan.i18n import tr

STORE_FILE = "knowledge.sqlite"
_POSTGRESQL = ("postgresql://", "postgres://")
_LONGEST_NAME = 64


def default_folder() -> Path:
    """Return where knowledge lies unless somebody says otherwise."""
    if home := os.environ.get("QINGTAN_HOME"):
        return Path(home) / "knowledge"
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "qingtan" / "knowledge"


def places(place: str | Path | None) -> tuple[Path, str | Path]:
    """Return the folder for files, and the store's own place.

    Args:
        place: a folder, a postgresql:// address, or None for the default.

    Raises:
        UserError: the folder is a file.
    """
    if isinstance(place, str) and place.startswith(_POSTGRESQL):
        return default_folder(), place
    folder = default_folder() if place is None else Path(place).expanduser()
    if folder.is_file():
        raise UserError(
            tr(f"{folder}: is a file; name a folder", f"{folder}：是文件，请指定文件夹")
        )
    return folder, folder / STORE_FILE


def make_private(folder: Path) -> None:
    """Make the folder, which holds others' documents, its owner's alone.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "uploads").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from None


def check_name(name: str) -> None:
    """Check that a base's name can stand in an address and on one line.

    Raises:
        UserError: it cannot.
    """
    whole = 0 < len(name) <= _LONGEST_NAME and name.isprintable()
    if not whole or name in (".", "..") or set(name) & set("/\\"):
        raise UserError(
            tr(
                f"name: a base's name has 1 to {_LONGEST_NAME} characters, and no / or \\",
                f"name：知识库名称须为 1 到 {_LONGEST_NAME} 个字符，且不含 / 和 \\",
            )
        )
