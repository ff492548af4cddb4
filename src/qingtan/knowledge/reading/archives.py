"""Zip files: names as they were meant, and sizes checked before anything is unpacked."""

import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import BinaryIO

from qingtan.i18n import tr
from qingtan.knowledge.reading.limits import MIB, Limits, Unreadable

_CHUNK = 1 << 20
_ENTRY = b"PK\x01\x02"  # begins each entry of the list of members
_FALSE_ENTRIES = 16  # archives that are stored inside have such marks, too
_UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075
# What zipfile raises on damaged, encrypted and exotic archives.
FAILURES = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError,
    ValueError, struct.error, MemoryError, OverflowError,
)  # fmt: skip


def open_archive(file: BinaryIO, limits: Limits) -> zipfile.ZipFile:
    """Open an archive whose list of members is not too long; it takes the file over.

    Raises:
        Unreadable: it is none, is damaged, or has too many members.
    """
    marks = 0
    tail = b""
    while chunk := file.read(_CHUNK):
        marks += (tail + chunk).count(_ENTRY)
        tail = chunk[-3:]
    if marks > limits.members * _FALSE_ENTRIES:
        raise _too_many(marks, limits)
    file.seek(0)
    try:
        return zipfile.ZipFile(file)
    except FAILURES as error:
        raise Unreadable(
            tr(f"is no zip archive, or a damaged one: {error}", f"不是zip压缩包，或已损坏：{error}")
        ) from None


def check_sizes(members: Sequence[zipfile.ZipInfo], packed: int, limits: Limits) -> int:
    """Check what an archive says of itself, and return the bytes that it unpacks to.

    More than it says never comes out of a member: zipfile stops there.

    Args:
        packed: the size of the archive.

    Raises:
        Unreadable: it unpacks to too much.
    """
    if len(members) > limits.members:
        raise _too_many(len(members), limits)
    unpacked = sum(member.file_size for member in members)
    check_unpacked(unpacked, packed, limits)
    return unpacked


def check_unpacked(unpacked: int, packed: int, limits: Limits) -> None:
    """Check how many bytes come of how many.

    Raises:
        Unreadable: they are too many.
    """
    if unpacked > limits.unpacked_bytes:
        most = limits.unpacked_bytes // MIB
        raise Unreadable(
            tr(
                f"unpacks to {unpacked / MIB:.0f} MiB, and {most} are allowed",
                f"解压后为{unpacked / MIB:.0f} MiB，最多允许{most} MiB",
            )
        )
    ratio = unpacked / max(packed, 1)
    if unpacked > limits.small_bytes and ratio > limits.ratio:
        raise Unreadable(
            tr(
                f"unpacks to {ratio:.0f} times its size, as a zip bomb does;"
                f" {limits.ratio:.0f} times are allowed",
                f"解压后是原大小的{ratio:.0f}倍（疑似压缩炸弹），最多允许{limits.ratio:.0f}倍",
            )
        )


def _too_many(count: int, limits: Limits) -> Unreadable:
    return Unreadable(
        tr(
            f"holds {count} files, and {limits.members} are allowed; split it",
            f"包含{count}个文件，最多允许{limits.members}个，请拆分",
        )
    )


def member_name(member: zipfile.ZipInfo) -> str:
    """Return a member's name in the encoding of the program that wrote it.

    UTF-8 where the archive says so or the bytes are; else GB 18030, which Chinese Windows writes.
    """
    if member.flag_bits & _UTF8_FLAG:
        return member.orig_filename
    try:
        raw = member.orig_filename.encode("cp437")
    except UnicodeEncodeError:
        return member.orig_filename
    if extra := _unicode_path(member.extra, raw):
        return extra
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return member.orig_filename


def _unicode_path(extra: bytes, raw: bytes) -> str:
    """Return the name of Info-ZIP's Unicode Path field, if it belongs to this name."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and len(field) > 5:
            version, checksum = struct.unpack_from("<BL", field)
            if version == 1 and checksum == zlib.crc32(raw):
                return field[5:].decode("utf-8", "replace")
    return ""
