"""HTML pages: their visible text, or the main part of it."""

import codecs
import re
from html import unescape
from typing import Any

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from qingtan.corpus.reading.encodings import decode
from qingtan.corpus.reading.lines import find_whole, take_found
from qingtan.corpus.reading.records import Parsed, Run
from qingtan.corpus.reading.settings import FormatTable
from qingtan.corpus.reading.text import explain_undecodable

# Where the HTML standard has a declaration of the encoding end at the latest.
_DECLARATION_BYTES = 1024
_DECLARATION = re.compile(rb"""<meta\b[^>]*?\bcharset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
# Browsers stop nesting here, and the extraction takes time in the square of the depth.
_DEEPEST = 512
_TOO_DEEP = " > ".join("*" * _DEEPEST)
# Resiliparse takes any single character of three bytes for a letter of an icon font, and drops it:
# <b>江</b>, or the 和 between two links. A noncharacter after it, taken out again, keeps it.
_SINGLE_CHARACTER = re.compile(r"(?:^|>)\s*([\u0800-\uffff]|&#?\w+;)\s*(?=<)")
_ICON = re.compile(r"[\ue000-\uf8ff¶]")
_GUARD = "\ufdd0"
# It also drops lists so near the body, menus or not; the rule for lists further down, which looks
# at their share of links, tells them better.
_SHALLOW_LISTS = "body > ul, body > * > ul, body > * > * > ul"
_LEVELS = 3
# Classes and ids of what is never main text, as Chinese sites have them and Resiliparse has not.
_ASIDES = tuple(
    f"{sign}{name}"
    for name in (
        *(
            "ad",
            "ads",
            "adv",
            "guanggao",
            "foot",
            "topbar",
            "top-bar",
            "toolbar",
            "crumb",
            "crumbs",
        ),
        *("pager", "share", "bdsharebuttonbox", "recommend", "friendlink", "friend-link"),
    )
    for sign in ".#"
)


def take_page(run: Run, count: int, table: FormatTable) -> tuple[Run, int]:
    """Return the page; a file is one."""
    return take_found(run, count, find_whole)


def parse_html(run: Run, table: FormatTable) -> Parsed:
    """Yield {"text": …}, and "title" when the page has one."""
    try:
        page = _decode_page(run.data, table.encoding)
    except UnicodeDecodeError as error:
        yield run.line, explain_undecodable(error)
        return
    yield run.line, _extract(page, table)


def _extract(page: str, table: FormatTable) -> dict[str, Any] | str:
    main = table.html == "main"
    tree = HTMLTree.parse(_guard(page) if main else page)
    if tree.body is None:
        return "no text in the page"
    if tree.body.query_selector(_TOO_DEEP) is not None:
        return f"elements are nested deeper than {_DEEPEST}"
    if main:
        _lower_lists(tree)
    text = extract_plain_text(
        tree,
        main_content=main,
        list_bullets=False,
        alt_texts=False,
        comments=not main,
        skip_elements=_ASIDES if main else None,
    )
    text = text.replace(_GUARD, "")
    if not text.strip():
        return "no text in the page"
    title = " ".join((tree.title or "").replace(_GUARD, "").split())
    return {"title": title, "text": text} if title else {"text": text}


def _guard(page: str) -> str:
    return _SINGLE_CHARACTER.sub(_guard_character, page)


def _guard_character(found: re.Match[str]) -> str:
    return found[0] if _ICON.fullmatch(unescape(found[1])) else found[0] + _GUARD


def _lower_lists(tree: HTMLTree) -> None:
    assert tree.body is not None
    for element in list(tree.body.query_selector_all(_SHALLOW_LISTS)):
        for _ in range(_LEVELS):
            level = tree.create_element("div")
            assert level is not None
            element.replace_with(level)
            level.append_child(element)


def _decode_page(data: bytes, encoding: str) -> str:
    declared = _DECLARATION.search(data, 0, _DECLARATION_BYTES)
    if declared and not data.startswith(
        (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    ):
        try:
            return decode(data, _codec_of(declared[1].decode("ascii", "replace").lower()))
        except (LookupError, UnicodeDecodeError):
            pass  # pages often declare what they are not
    return decode(data, encoding)


def _codec_of(label: str) -> str:
    # As browsers do: the old Chinese sets are read as the newest that contains them, and a page
    # whose declaration can be read byte by byte is not in UTF-16.
    if label in ("gb2312", "gbk", "x-gbk", "gb_2312-80"):
        return "gb18030"
    return "utf-8" if label.startswith("utf-16") else label
