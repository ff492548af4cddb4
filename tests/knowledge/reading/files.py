"""Real files of all formats, made by the libraries that write them."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import docx
import openpyxl
import pptx

from qingtan.knowledge.documents import Block, Document
from qingtan.knowledge.reading import Limits, Source
from qingtan.knowledge.reading.draft import Draft
from qingtan.knowledge.reading.formats import media_type_of, parser_of


def parse(name: str, data: bytes, limits: Limits | None = None, media_type: str = "") -> Document:
    """Read a file in this very process, which is faster than in one of its own."""
    draft = Draft(name, limits or Limits(), media_type)
    found = media_type_of(data, name, media_type)
    parser_of(found)(data, draft)
    return draft.document(found)


def source(name: str, data: bytes) -> Source:
    return Source.of_bytes(name, data)


def shown(document: Document) -> list[tuple[str, str]]:
    """Kind (with a heading's level) and text of each block."""
    return [(_kind(block), block.text) for block in document.blocks]


def _kind(block: Block) -> str:
    return f"h{block.level}" if block.kind == "heading" else block.kind


def word(fill: Callable[[Any], None]) -> bytes:
    document = docx.Document()
    fill(document)
    return _saved(document)


def sheet(fill: Callable[[Any], None]) -> bytes:
    book = openpyxl.Workbook()
    fill(book)
    return _saved(book)


def slides(fill: Callable[[Any], None]) -> bytes:
    presentation = pptx.Presentation()
    fill(presentation)
    return _saved(presentation)


def _saved(thing: Any) -> bytes:
    out = io.BytesIO()
    thing.save(out)
    return out.getvalue()


def archive(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in members.items():
            target.writestr(name, data)
    return out.getvalue()


def rewritten(package: bytes, change: dict[str, Callable[[bytes], bytes]]) -> bytes:
    """Return a package with some of its members changed."""
    with zipfile.ZipFile(io.BytesIO(package)) as old:
        members = {each: old.read(each) for each in old.namelist()}
    for name, function in change.items():
        members[name] = function(members.get(name, b""))
    return archive(members)
