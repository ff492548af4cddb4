"""HTML pages: what a visitor reads of them, by lxml."""

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree, html

from qingtan.i18n import tr
from qingtan.knowledge.reading.draft import Draft, iso_date
from qingtan.knowledge.reading.grid import Cell, Grid
from qingtan.knowledge.reading.limits import Unreadable
from qingtan.knowledge.reading.text import clean, decode, join

_CHARSET = re.compile(rb"""<meta\b[^>]{0,200}?\bcharset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_CHARSET_BYTES = 1024
_DROPPED = frozenset((
    "script", "style", "nav", "template", "noscript", "svg", "head", "iframe", "object", "embed",
    "canvas", "select", "button", "textarea", "dialog", "datalist", "audio", "video", "map",
    "applet", "input",
))  # fmt: skip
_INLINE = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em",
    "font", "i", "img", "ins", "kbd", "label", "mark", "math", "nobr", "output", "q", "rb", "ruby",
    "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
))  # fmt: skip
_READINGS = frozenset(("rt", "rp"))  # what stands over characters tells how they sound
_LISTS = ("ul", "ol", "dl", "menu")
_TABLE_PARTS = ("thead", "tbody", "tfoot", "tr", "td", "th", "colgroup", "col")
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_DEEPEST = 150
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_WIDEST_SPAN, _HIGHEST_SPAN = 1000, 65534  # of the HTML standard
_BREAK = "\x00"  # <br>, until spaces are gone
_DATES = (
    "article:published_time", "publishdate", "pubdate", "datepublished", "publish_time", "date",
    "dc.date", "dcterms.date", "dc.date.issued", "article:modified_time", "last-modified",
)  # fmt: skip


def read_html(data: bytes, draft: Draft) -> None:
    """Read a page."""
    declared = _CHARSET.search(data, 0, _CHARSET_BYTES)
    page = decode(data, _codec(declared[1]) if declared else "")
    tree = parse_page(page)
    if tree is None:
        return
    _read_meta(tree, draft)
    mains = [each for each in tree.iter("main") if _has_text(each)]
    body = tree.find("body")
    Walk(draft).block(mains[0] if len(mains) == 1 else tree if body is None else body)


def parse_page(page: str) -> Any:
    """Return the tree of a page, or None where there is nothing in it.

    Entities that the page defines are not known to HTML, and nothing outside is loaded.
    """
    data = clean(page).encode()
    parser = html.HTMLParser(
        encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=False
    )
    if not data.strip():
        return None
    try:
        return html.document_fromstring(data, parser=parser)
    except etree.ParserError:
        return None  # comments alone


def _codec(name: bytes) -> str:
    # As browsers do: the old sets are read as the newest that contains them.
    label = name.decode("ascii", "replace").lower()
    return "gb18030" if label in ("gb2312", "gbk", "x-gbk", "gb_2312-80") else label


def _has_text(element: Any) -> bool:
    return any(text.strip() for text in element.itertext())


def _read_meta(tree: Any, draft: Draft) -> None:
    meta: dict[str, str] = {}
    for each in tree.iter("meta"):
        key = each.get("property") or each.get("name") or each.get("itemprop") or ""
        meta.setdefault(key.lower(), each.get("content") or "")
    title = tree.find(".//title")
    own = "" if title is None else "".join(title.itertext())
    draft.title = own.strip() or meta.get("og:title", "")
    draft.date = next((meta[key] for key in _DATES if iso_date(meta.get(key, ""))), "")
    if not draft.date:
        times = (each.get("datetime") or "" for each in tree.iter("time"))
        draft.date = next(filter(iso_date, times), "")
    for key in ("author", "description", "keywords"):
        if meta.get(key):
            draft.facts[key] = meta[key]


class Walk:
    """Goes through elements and adds what they hold to a draft."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._text: list[str] = []

    def block(self, element: Any, depth: int = 0) -> None:
        """Add the blocks of an element, in their order."""
        if depth > _DEEPEST:
            raise Unreadable(
                tr(f"nests elements deeper than {_DEEPEST}", f"元素嵌套超过{_DEEPEST}层")
            )
        self._text.append(element.text or "")
        for child in element:
            self._child(child, depth)
            self._text.append(child.tail or "")
        if depth == 0:
            self.flush()

    def _child(self, child: Any, depth: int) -> None:
        tag = child.tag if isinstance(child.tag, str) else ""
        if not tag or tag in _DROPPED or tag in _READINGS or _is_hidden(child):
            return
        if tag == "br":
            self._text.append(_BREAK)
        elif tag in _INLINE and not _holds_blocks(child):
            self._text.append(_inline(child))
        else:
            self.flush()
            self._block(child, tag, depth)
            self.flush()

    def _block(self, child: Any, tag: str, depth: int) -> None:
        if tag in _HEADINGS and not _holds(child, ("table", "ul", "ol")):
            self._draft.heading(flat(_inline(child)), _HEADINGS[tag])
        elif tag in _LISTS and not _holds(child, ("table", "pre", *_HEADINGS)):
            self._draft.items(list_lines(child))
        elif tag == "pre":
            self._draft.code("".join(_visible(child)))
        elif tag == "table" and not _is_layout(child):
            self._table(child)
        else:
            self.block(child, depth + 1)

    def _table(self, table: Any) -> None:
        for caption in table.findall("caption"):
            self._draft.paragraph(flat(_inline(caption)))
        self._draft.paragraph(flat(" ".join(_stray(table))))
        add_table(table, self._draft)

    def flush(self) -> None:
        """End the paragraph."""
        text = flat("".join(self._text))
        self._text.clear()
        if text:
            self._draft.paragraph(text)


def _is_hidden(element: Any) -> bool:
    return element.get("hidden") is not None or bool(_HIDDEN.search(element.get("style") or ""))


def _holds(element: Any, tags: tuple[str, ...]) -> bool:
    return next(element.iterdescendants(*tags), None) is not None


def _holds_blocks(element: Any) -> bool:
    return any(
        isinstance(each.tag, str) and each.tag not in _INLINE | _READINGS | _DROPPED | {"br"}
        for each in element.iterdescendants()
    )


def _visible(element: Any) -> Iterator[str]:
    """Yield the text inside an element, but for what is dropped or hidden; "\\n" for <br>."""
    walk = etree.iterwalk(element, events=("start", "end"))
    skipped: Any = None
    for event, each in walk:
        if event == "start" and skipped is None:
            tag = each.tag if isinstance(each.tag, str) else ""
            if each is not element and (tag in _DROPPED | _READINGS or _is_hidden(each)):
                skipped = each
            else:
                yield "\n" if tag == "br" else each.text or ""
        elif event == "end":
            if each is skipped:
                skipped = None
            if skipped is None and each is not element:
                yield each.tail or ""


def _inline(element: Any) -> str:
    pieces: list[str] = []
    walk = etree.iterwalk(element, events=("start", "end"))
    skipped: Any = None
    for event, each in walk:
        tag = each.tag if isinstance(each.tag, str) else ""
        inner = each is not element
        if event == "start" and skipped is None:
            if inner and (not tag or tag in _DROPPED | _READINGS or _is_hidden(each)):
                skipped = each
            elif tag == "br":
                pieces.append(_BREAK)
            else:
                apart = _BREAK if inner and tag not in _INLINE else ""
                pieces.append(apart + (each.text or ""))
        elif event == "end":
            if skipped is None and inner and tag not in _INLINE:
                pieces.append(_BREAK)
            if each is skipped:
                skipped = None
            if skipped is None and inner:
                pieces.append(each.tail or "")
    return "".join(pieces)


def flat(text: str) -> str:
    """Return text with its spaces as a browser shows them; a <br> is a line break."""
    lines = (join(" ".join(each.split()) for each in part.split("\n")) for part in _parts(text))
    return "\n".join(line for line in lines if line)


def _parts(text: str) -> list[str]:
    return text.split(_BREAK)


def list_lines(element: Any, depth: int = 0) -> Iterator[str]:
    """Yield the items of a list, those of lists inside it with two spaces a level before them."""
    if depth > _DEEPEST:
        raise Unreadable(tr(f"nests lists deeper than {_DEEPEST}", f"列表嵌套超过{_DEEPEST}层"))
    number = _start(element)
    yield from _list_text(element.text, depth)
    for child in element:
        tag = child.tag if isinstance(child.tag, str) else ""
        if tag in _LISTS and not _is_hidden(child):
            yield from list_lines(child, depth + 1)
        elif tag and tag not in _DROPPED and not _is_hidden(child):
            sign = f"{number}. " if element.tag == "ol" and tag == "li" else ""
            number += tag == "li"
            yield from _item_lines(child, sign, depth)
        yield from _list_text(child.tail, depth)


def _list_text(text: str | None, depth: int, sign: str = "") -> Iterator[str]:
    words = flat(text or "").replace("\n", " ")
    if words:
        yield "  " * depth + sign + words


def _start(element: Any) -> int:
    start = element.get("start") or ""
    return int(start) if re.fullmatch(r"-?\d{1,9}", start) else 1


def _item_lines(item: Any, sign: str, depth: int) -> Iterator[str]:
    """Yield an item: its own words, then the lists in it, which are taken out of the tree."""
    inner = [each for each in item if each.tag in _LISTS]
    tails = [each.tail for each in inner]
    for each in inner:
        each.tail = None
        item.remove(each)
    yield from _list_text(_inline(item), depth, sign)
    for each, tail in zip(inner, tails, strict=True):
        if not _is_hidden(each):
            yield from list_lines(each, depth + 1)
        yield from _list_text(tail, depth)


def _is_layout(table: Any) -> bool:
    """Return whether a table only puts blocks in their places."""
    return table.get("role") == "presentation" or _holds(table, ("table", "pre", *_HEADINGS))


def _stray(table: Any) -> Iterator[str]:
    """Yield the text that stands in a table outside its cells, where none belongs."""
    for part in (table, *table.iter("thead", "tbody", "tfoot", "tr")):
        yield part.text or ""
        for child in part:
            tag = child.tag if isinstance(child.tag, str) else ""
            inside = (*_TABLE_PARTS, "caption") if part is table else _TABLE_PARTS
            if tag and tag not in _DROPPED and tag not in inside and not _is_hidden(child):
                yield _inline(child)
            yield child.tail or ""


def add_table(table: Any, draft: Draft) -> None:
    """Add a table of data."""
    grid = Grid(draft)
    lines = _rows(table)
    marked = 0
    for row, (line, cells) in enumerate(lines):
        is_header = len(lines) > 1 and all(each.tag == "th" for each in cells)
        in_head = next(line.iterancestors("thead"), None) is not None
        marked += marked == row and (in_head or is_header)
        for each in cells:
            height = _span(each, "rowspan", _HIGHEST_SPAN) or len(lines)
            height = min(height, len(lines) - row)
            width = max(_span(each, "colspan", _WIDEST_SPAN), 1)
            text = flat(_inline(each)).replace("\n", " ")
            grid.put(Cell(row, grid.free_column(row), text, height, width))
    draft.table(grid.rows(), marked or grid.header_rows())


def _rows(table: Any) -> list[tuple[Any, list[Any]]]:
    """Return each row with its cells; cells without a row are one of their own."""
    rows: dict[Any, list[Any]] = {}
    for cell in table.iter("td", "th"):
        line = next(cell.iterancestors("tr", "td", "th", "table"))
        if line.tag in ("tr", "table") and not _is_hidden(line):
            rows.setdefault(line, []).append(cell)
    return list(rows.items())


def _span(cell: Any, name: str, most: int) -> int:
    value = cell.get(name) or ""
    return min(int(value), most) if re.fullmatch(r"\s*\d{1,6}\s*", value) else 1
