"""Files that clients send, on the disk before anything reads them."""

import asyncio
import errno
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from qingtan.errors import UserError
from qingtan.i18n import tr
from qingtan.knowledge.reading import Limits, clean_name
from qingtan.knowledge.reading.names import is_skipped
from qingtan.server.errors import ApiError

MAX_UPLOAD_BYTES = Limits().file_bytes
# Written at once: a hop to another thread for each network packet would cost more than the disk.
_WRITE_BYTES = 1 << 20


@dataclass(frozen=True)
class Upload:
    """A file that has been received whole.

    Attributes:
        folder: holds this file alone.
        name: the file's in it; it may have folders of its own.
    """

    folder: Path
    name: str

    def remove(self) -> None:
        """Remove what nobody will read."""
        shutil.rmtree(self.folder, ignore_errors=True)


async def receive(folder: Path, name: str, body: AsyncIterator[bytes]) -> Upload:
    """Write a body to a file of its own in a hidden folder below `folder`, as it comes.

    Args:
        name: what the client calls the file; it may have folders, but not lead out of them.

    Raises:
        UserError: the name is refused, or the file is empty.
        ApiError: the disk is full.
        Exception: what the body raises; then nothing is left.
    """
    cleaned = clean_name(name)
    if is_skipped(cleaned):
        raise UserError(
            tr(
                f"{cleaned}: is a hidden file or a system's own; rename it if it is meant",
                f"{cleaned}：是隐藏文件或系统文件；如确需加入请改名",
            )
        )
    place = folder / f".{secrets.token_hex(12)}"
    path = place / cleaned
    try:
        await asyncio.to_thread(path.parent.mkdir, parents=True)
        if not await _write(path, body):
            raise UserError(tr(f"{cleaned}: is empty", f"{cleaned}：是空文件"))
    except BaseException as error:
        shutil.rmtree(place, ignore_errors=True)
        if isinstance(error, OSError):
            raise _explain(cleaned, error) from error
        raise
    return Upload(place, cleaned)


async def _write(path: Path, body: AsyncIterator[bytes]) -> int:
    """Return how many bytes were written."""
    written, waiting = 0, bytearray()
    with path.open("xb") as file:
        async for piece in body:
            waiting += piece
            if len(waiting) >= _WRITE_BYTES:
                written += await asyncio.to_thread(file.write, bytes(waiting))
                waiting.clear()
        written += await asyncio.to_thread(file.write, bytes(waiting))
    return written


def _explain(name: str, error: OSError) -> ApiError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        message = tr("the disk of the server is full", "服务器磁盘已满")
        return ApiError(507, f"{name}: {message}", code="disk_full")
    if error.errno == errno.ENAMETOOLONG:
        return ApiError(400, tr("the name is too long", "文件名过长"), param="name")
    message = tr("the server could not store the file", "服务器无法保存该文件")
    return ApiError(500, f"{name}: {message}", code="internal_error")
