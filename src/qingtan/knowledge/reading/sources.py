"""Where files come from: a file, a folder, an archive."""

import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from zipfile import ZipFile, ZipInfo

from qingtan.errors import UserError
from qingtan.i18n import tr
from qingtan.knowledge.reading.archives import (
    FAILURES,
    check_sizes,
    check_unpacked,
    member_name,
    open_archive,
)
from qingtan.knowledge.reading.limits import MIB, Limits, Unreadable
from qingtan.knowledge.reading.names import clean_name, is_skipped, shown_name


def _closed() -> BinaryIO:
    raise Unreadable(tr("cannot be opened", "无法打开"))


@dataclass(frozen=True, slots=True)
class Source:
    """A file that may be read.

    Attributes:
        name: of the document that it becomes; it is clean.
        size: bytes, as far as they are known beforehand.
        media_type: what a server says that it is; may be empty.
        problem: why it cannot be opened; empty where it can.
    """

    name: str
    size: int
    media_type: str = ""
    problem: str = ""
    opener: Callable[[], BinaryIO] = field(default=_closed, repr=False, compare=False)

    @classmethod
    def of_bytes(cls, name: str, data: bytes, media_type: str = "") -> "Source":
        """Return a source of bytes at hand.

        Args:
            name: of a file, or an address of http or https.

        Raises:
            Unreadable: the name leads out of a folder.
        """
        is_address = name.startswith(("http://", "https://"))
        cleaned = shown_address(name) if is_address else clean_name(name)
        return cls(cleaned, len(data), media_type, opener=lambda: io.BytesIO(data))

    def open(self) -> BinaryIO:
        """Open it for reading.

        Raises:
            Unreadable: it cannot be opened.
        """
        if self.problem:
            raise Unreadable(self.problem)
        try:
            return self.opener()
        except FAILURES as error:
            raise _damaged(error) from None

    def read(self, limits: Limits | None = None) -> bytes:
        """Return all its bytes.

        Raises:
            Unreadable: there are more than `limits.file_bytes`, or it cannot be opened or read.
        """
        most = (limits or Limits()).file_bytes
        if self.size > most and not self.problem:
            raise _too_large(most)
        with self.open() as file:
            try:
                data = file.read(most + 1)
            except FAILURES as error:
                raise _damaged(error) from None
        if len(data) > most:
            raise _too_large(most)
        return data


def shown_address(address: str) -> str:
    """Return an address without anything that is not seen."""
    return "".join(character for character in address if character.isprintable())[:2000]


def _too_large(most: int) -> Unreadable:
    return Unreadable(
        tr(
            f"is larger than {most / MIB:.0f} MiB; split it",
            f"超过{most / MIB:.0f} MiB，请拆分文件",
        )
    )


def _damaged(error: Exception) -> Unreadable:
    if isinstance(error, Unreadable):
        return error
    if isinstance(error, RuntimeError) and "password" in str(error):
        return Unreadable(tr("is protected by a password; remove it", "受密码保护，请先解除密码"))
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return Unreadable(
        tr(f"is damaged or cannot be opened: {reason}", f"已损坏或无法打开：{reason}")
    )


def sources(path: str | Path, limits: Limits | None = None) -> Iterator[Source]:
    """Yield a file, each file of a folder by name, or each member of a zip archive.

    Hidden files are passed over, and so are links that lead out of the folder. Names are as inside
    the folder or the archive; those of an archive inside begin with its name. What cannot be opened
    is yielded with its `problem`, so that it is reported in its place.

    Raises:
        UserError: there is no such file or folder.
        Unreadable: an archive is damaged or unpacks to too much.
    """
    path = Path(path)
    limits = limits or Limits()
    if path.is_dir():
        yield from _of_folder(path, limits)
    elif not path.exists():
        raise UserError(tr(f"{path}: no such file or folder", f"{path}：没有这个文件或文件夹"))
    elif _is_archive(path.name):
        source = _of_file(path, path.name)
        yield from _once(of_archive(source, limits, prefix=""))
    else:
        yield _of_file(path, path.name)


def _is_archive(name: str) -> bool:
    return name.lower().endswith(".zip")


def _of_folder(root: Path, limits: Limits) -> Iterator[Source]:
    for path, name in _walk(root):
        source = _of_file(path, name)
        if not _is_archive(name) or source.problem:
            yield source
            continue
        try:
            yield from _once(of_archive(source, limits, prefix=f"{source.name}/"))
        except Unreadable as error:
            yield Source(source.name, source.size, problem=error.reason)


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of a folder with their names in it, sorted, without those left out."""
    inside = root.resolve()
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not is_skipped(name))
        for file in sorted(files):
            path = Path(folder) / file
            if is_skipped(file) or (
                path.is_symlink() and not path.resolve().is_relative_to(inside)
            ):
                continue
            if path.is_file():
                yield path, path.relative_to(root).as_posix()


def _of_file(path: Path, name: str) -> Source:
    try:
        return Source(clean_name(name), path.stat().st_size, opener=lambda: _open_file(path))
    except Unreadable as error:
        return Source(shown_name(name), 0, problem=error.reason)
    except OSError as error:
        return Source(shown_name(name), 0, problem=_damaged(error).reason)


def _open_file(path: Path) -> BinaryIO:
    """Open a file that is one: no device, and no pipe, which would be waited for."""
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise Unreadable(tr("is no regular file", "不是普通文件"))
    return os.fdopen(number, "rb")


def of_archive(source: Source, limits: Limits, prefix: str) -> Iterator[Source]:
    """Yield the members of an archive, and of archives in it.

    Args:
        prefix: before the members' names.

    Raises:
        Unreadable: it is damaged, or unpacks to too much.
    """
    if source.size > limits.file_bytes:
        raise _too_large(limits.file_bytes)
    archive = open_archive(source.open(), limits)
    unpacked = check_sizes(archive.infolist(), source.size, limits)
    for member in archive.infolist():
        name = member_name(member)
        found = _member(archive, member, name, prefix)
        if member.is_dir() or (is_skipped(name) and not found.problem):
            continue
        if not _is_archive(name) or found.problem:
            yield found
            continue
        for inner in _inner(found, source.size, limits, unpacked):
            unpacked += inner.size
            yield inner


def _once(found: Iterator[Source]) -> Iterator[Source]:
    """Yield sources; of two with one name the second gets a problem."""
    names: set[str] = set()
    for each in found:
        if each.name in names and not each.problem:
            problem = tr("has the name of another file in the archive", "与压缩包中另一文件同名")
            each = Source(each.name, each.size, problem=problem)
        names.add(each.name)
        yield each


def _member(archive: ZipFile, member: ZipInfo, name: str, prefix: str) -> Source:
    problem = ""
    try:
        name = prefix + clean_name(name)
    except Unreadable as error:
        name, problem = prefix + shown_name(name), error.reason
    if stat.S_ISLNK(member.external_attr >> 16):
        problem = tr("is a link, and links in archives are refused", "是链接，压缩包中的链接已拒绝")
    return Source(
        name,
        member.file_size,
        problem=problem,
        opener=lambda: archive.open(member),  # type: ignore[arg-type,return-value]
    )


def _inner(found: Source, packed: int, limits: Limits, unpacked: int) -> Iterator[Source]:
    """Yield the members of an archive in an archive; what it unpacks to counts with the outer's."""
    try:
        data = found.read(limits)
        archive = open_archive(io.BytesIO(data), limits)
        check_unpacked(
            check_sizes(archive.infolist(), len(data), limits) + unpacked, packed, limits
        )
    except Unreadable as error:
        yield Source(found.name, found.size, problem=error.reason)
        return
    for member in archive.infolist():
        name = member_name(member)
        inner = _member(archive, member, name, f"{found.name}/")
        if member.is_dir() or (is_skipped(name) and not inner.problem):
            continue
        if _is_archive(name):
            problem = tr("is an archive in an archive in an archive", "压缩包嵌套超过一层")
            inner = Source(inner.name, inner.size, problem=problem)
        yield inner
