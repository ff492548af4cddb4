"""Names of documents: they may be shown and stored anywhere, and lead nowhere."""

import re
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import unquote

from qingtan.i18n import tr
from qingtan.knowledge.reading.limits import Unreadable
from qingtan.knowledge.reading.text import clean

_LONGEST = 400
_DRIVE = re.compile(r"[A-Za-z]:")
_ROOT = re.compile(r"[A-Za-z]:[/\\]")
_SKIPPED = ("__MACOSX", "Thumbs.db", "desktop.ini")
_DECODINGS = 3


def clean_name(name: str) -> str:
    """Return a name of a file, with "/" between its folders.

    Raises:
        Unreadable: it is empty or too long, or leads out of its folder however it is decoded:
            "../", an absolute path, a drive, a backslash, a NUL.
    """
    if "\0" in name:
        raise _refused(name)
    cleaned = " ".join(clean(name).split())
    parts = [part.strip() for part in cleaned.split("/") if part.strip() not in ("", ".")]
    result = "/".join(parts)
    if not parts or len(result) > _LONGEST:
        raise Unreadable(
            tr(f"its name is empty or longer than {_LONGEST}", f"文件名为空或超过{_LONGEST}字")
        )
    if _DRIVE.match(cleaned) or any(map(_leads_out, _readings(cleaned))):
        raise _refused(name)
    return result


def _readings(name: str) -> list[str]:
    """Return what others may take a name for: with %-codes and wide forms made plain."""
    readings = [name]
    for _ in range(_DECODINGS):
        readings.append(unicodedata.normalize("NFKC", unquote(readings[-1])))
    return readings


def _leads_out(name: str) -> bool:
    if "\\" in name or "\0" in name or name.startswith("/") or _ROOT.match(name):
        return True
    return any(".." in part and not part.strip(" .") for part in name.split("/"))


def _refused(name: str) -> Unreadable:
    shown = shown_name(name)
    return Unreadable(
        tr(
            f'its name "{shown}" leads out of the folder, and is refused',
            f"文件名“{shown}”指向文件夹之外，已拒绝",
        )
    )


def shown_name(name: str) -> str:
    """Return a name for messages, harmless and not too long."""
    text = clean(name).replace("\n", " ").replace("\\", "/")
    parts = (part.strip() for part in text.split("/"))
    return "/".join(part for part in parts if part not in ("", ".", ".."))[:80] or "?"


def is_skipped(name: str) -> bool:
    """Return whether a file is hidden, or the litter of an operating system or of an editor."""
    return any(
        part.startswith((".", "~$")) or part in _SKIPPED
        for part in PurePosixPath(name.replace("\\", "/")).parts
        if part not in (".", "..")
    )
