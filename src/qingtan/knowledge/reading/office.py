"""Word, Excel and PowerPoint files as packages: checked before a library opens them."""

import io
import struct
from xml.parsers import expat
from zipfile import ZipFile

from qingtan.i18n import tr
from qingtan.knowledge.reading.archives import FAILURES, check_sizes, open_archive
from qingtan.knowledge.reading.draft import Draft
from qingtan.knowledge.reading.limits import Limits, Unreadable

_CHUNK = 1 << 16
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"


def open_package(data: bytes, limits: Limits) -> ZipFile:
    """Check a package and return it: its size, its sums, and that its XML defines no entities.

    Raises:
        Unreadable: it is none, is damaged, protected or too large, or has a document type.
    """
    if data.startswith(_OLD_OFFICE):
        raise Unreadable(
            tr(
                "is protected by a password, or in the format before Office 2007;"
                " save it as .docx, .xlsx or .pptx without a password",
                "受密码保护，或为Office 2007之前的格式；请另存为无密码的docx、xlsx或pptx",
            )
        )
    package = open_archive(io.BytesIO(data), limits)
    check_sizes(package.infolist(), len(data), limits)
    for member in package.infolist():
        try:
            _check_member(package, member.filename)
        except FAILURES as error:
            if isinstance(error, Unreadable):
                raise
            raise Unreadable(
                tr(
                    f"is damaged at {member.filename}: {error}",
                    f"已损坏（{member.filename}）：{error}",
                )
            ) from None
    return package


def _check_member(package: ZipFile, name: str) -> None:
    """Read a member to its end, by which its sum is checked, and look at the XML's beginning."""
    if name.lower().endswith((".svg", ".bin")):
        return
    prolog = _Prolog()
    with package.open(name) as member:
        while chunk := member.read(_CHUNK):
            prolog.feed(chunk)
    if prolog.has_doctype:
        raise Unreadable(
            tr(
                f"defines a document type in {name}, which no Office file does;"
                " it may be an attack, and is refused",
                f"{name}中含有文档类型定义，正常的Office文件没有，疑似攻击，已拒绝",
            )
        )


class _Prolog:
    """Looks for a document type before the first element; what is no XML has none."""

    def __init__(self) -> None:
        self.has_doctype = False
        self._is_done = False
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._on_doctype
        self._parser.StartElementHandler = self._on_element

    def feed(self, chunk: bytes) -> None:
        if self._is_done:
            return
        try:
            self._parser.Parse(chunk, False)
        except (expat.ExpatError, LookupError, ValueError, StopIteration):
            self._is_done = True

    def _on_doctype(self, *_: object) -> None:
        self.has_doctype = True
        raise StopIteration

    def _on_element(self, *_: object) -> None:
        raise StopIteration


_LIBRARIES = ("python-docx", "openpyxl", "Steve Canny")  # authors of nothing
# What the libraries raise on packages that hold what they do not expect.
UNEXPECTED = (
    *FAILURES, AttributeError, IndexError, KeyError, TypeError, AssertionError, LookupError,
    SyntaxError, struct.error,
)  # fmt: skip


def broken(error: Exception, kind: str) -> Unreadable:
    """Return the error for a package that a library cannot open."""
    if isinstance(error, Unreadable):
        return error
    reason = f"{type(error).__name__}: {error}"[:200]
    return Unreadable(
        tr(f"is no {kind} file, or a damaged one: {reason}", f"不是{kind}文件，或已损坏：{reason}")
    )


def read_properties(properties: object, draft: Draft) -> None:
    """Take title, author and date from a package's core properties."""
    draft.title = _property(properties, "title")
    draft.date = _property(properties, "modified") or _property(properties, "created")
    author = _property(properties, "author") or _property(properties, "creator")
    if author not in _LIBRARIES:
        draft.facts["author"] = author
    for name in ("subject", "keywords"):
        draft.facts[name] = _property(properties, name)


def _property(properties: object, name: str) -> str:
    return str(getattr(properties, name, None) or "")
