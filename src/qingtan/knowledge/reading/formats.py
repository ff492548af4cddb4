"""Which parser reads a file: by what it begins with, then by its name, then by what was said."""

import io
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import PurePosixPath
from urllib.parse import urlsplit
from zipfile import BadZipFile, ZipFile

from qingtan.i18n import tr
from qingtan.knowledge.reading.draft import Draft
from qingtan.knowledge.reading.limits import Unreadable

Parser = Callable[[bytes, Draft], None]

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
HTML, MARKDOWN, TEXT = "text/html", "text/markdown", "text/plain"
CSV, JSONL = "text/csv", "application/jsonl"

# A parser's module and name; modules are imported when a file needs them.
_PARSERS: dict[str, tuple[str, str]] = {
    PDF: ("pdf", "read_pdf"),
    DOCX: ("word", "read_docx"),
    XLSX: ("sheets", "read_xlsx"),
    PPTX: ("slides", "read_pptx"),
    HTML: ("html", "read_html"),
    MARKDOWN: ("markdown", "read_markdown"),
    TEXT: ("plain", "read_text"),
    CSV: ("delimited", "read_csv"),
    JSONL: ("jsonl", "read_jsonl"),
}
SUFFIXES: dict[str, str] = {
    ".pdf": PDF,
    ".docx": DOCX,
    ".docm": DOCX,
    ".dotx": DOCX,
    ".xlsx": XLSX,
    ".xlsm": XLSX,
    ".pptx": PPTX,
    ".ppsx": PPTX,
    ".pptm": PPTX,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".txt": TEXT,
    ".text": TEXT,
    ".log": TEXT,
    ".csv": CSV,
    ".tsv": CSV,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
}
_SAID = {
    "application/xhtml+xml": HTML,
    "text/x-markdown": MARKDOWN,
    "text/tab-separated-values": CSV,
    "application/csv": CSV,
    "application/x-ndjson": JSONL,
    "application/json-lines": JSONL,
    "application/jsonlines": JSONL,
}
_OLD_OFFICE = (".doc", ".xls", ".ppt", ".wps", ".et", ".dps")
_MAIN_PARTS = (("word/", DOCX), ("xl/", XLSX), ("ppt/", PPTX))
_PAGE = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,500}?-->\s*)*<(?:!doctype\s+html|html)\b",
    re.I | re.S,
)
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def media_type_of(data: bytes, name: str, said: str = "") -> str:
    """Return the media type by which a file is read.

    Args:
        name: a file's name or an address.
        said: a media type that somebody gave with it.

    Raises:
        Unreadable: it is in no format that can be read, or is not what its name says.
    """
    if b"%PDF-" in data[:1024]:
        return PDF
    suffix = _suffix(name)
    if data.startswith(b"PK\x03\x04") and (package := _package_type(data)):
        return package
    by_name = SUFFIXES.get(suffix, "")
    if by_name in (PDF, DOCX, XLSX, PPTX):
        return by_name  # its parser says what is wrong with it
    if suffix in _OLD_OFFICE:
        return DOCX  # as before
    if not data.startswith(_MARKS) and _is_binary(data[:4096]):
        raise _unknown(suffix)
    said = said.partition(";")[0].strip().lower()
    by_word = _SAID.get(said, said)
    is_address = name.startswith(("http://", "https://"))
    if by_word in _PARSERS and (not by_name or (is_address and by_word != TEXT)):
        return by_word
    if by_name:
        return by_name
    if _PAGE.match(data[:4096]):
        return HTML
    if not suffix or said.startswith("text/"):
        return TEXT
    raise _unknown(suffix)


def _is_binary(head: bytes) -> bool:
    """Return whether there are more controls than a damaged text has."""
    return len(_BINARY.findall(head)) > max(3, len(head) // 20)


def parser_of(media_type: str) -> Parser:
    """Return what reads a media type of `media_type_of`."""
    module, function = _PARSERS[media_type]
    parser: Parser = getattr(import_module(f"qingtan.knowledge.reading.{module}"), function)
    return parser


def _suffix(name: str) -> str:
    if name.startswith(("http://", "https://")):
        name = urlsplit(name).path
        suffix = PurePosixPath(name).suffix.lower()
        return suffix if suffix in SUFFIXES or suffix in _OLD_OFFICE else ""
    return PurePosixPath(name).suffix.lower()


def _package_type(data: bytes) -> str:
    """Return what Office file a zip file is, or nothing for any other."""
    try:
        with ZipFile(io.BytesIO(data)) as package:
            names = package.namelist()
    except (BadZipFile, OSError, ValueError):
        return ""
    if "[Content_Types].xml" not in names:
        return ""
    return next(
        (kind for start, kind in _MAIN_PARTS if any(n.startswith(start) for n in names)), ""
    )


def _unknown(suffix: str) -> Unreadable:
    known = "PDF, docx, xlsx, pptx, HTML, Markdown, txt, CSV, JSON Lines, zip"
    shown = suffix or "?"
    return Unreadable(
        tr(
            f"is in no format that can be read ({shown}); these can: {known}",
            f"不支持这种格式（{shown}）；支持：{known}",
        )
    )
