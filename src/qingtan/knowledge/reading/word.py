"""Word files, opened by python-docx; their text is taken from the XML, tracked insertions too."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docx
from docx.document import Document as WordDocument
from docx.opc.constants import RELATIONSHIP_TYPE as RELATIONSHIPS
from docx.oxml.parser import parse_xml

from qingtan.i18n import tr
from qingtan.knowledge.reading import headings, office
from qingtan.knowledge.reading.draft import Draft
from qingtan.knowledge.reading.grid import Cell, Grid
from qingtan.knowledge.reading.limits import Unreadable
from qingtan.knowledge.reading.numbering import Numbering
from qingtan.knowledge.reading.text import is_spaceless

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SKIPPED = frozenset((f"{_W}del", f"{_W}moveFrom", _FALLBACK, f"{_W}txbxContent", f"{_W}pPr"))
_CONTAINERS = frozenset(
    f"{_W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo")
)
_SIGNS = {"tab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_HEADING = re.compile(r"(?:heading|标题)\s*([1-9])", re.IGNORECASE)
_TITLE = re.compile("(?:title|标题|文档标题)", re.IGNORECASE)
_ARTICLE = re.compile("第.+[条款]")  # of a law: each is a paragraph
_LIST = re.compile("(?:list|列表)", re.IGNORECASE)
_DEEPEST = 40
_HIGHEST_LEVEL_OF_TEXT = 9


def read_docx(data: bytes, draft: Draft) -> None:
    """Read a Word file."""
    office.open_package(data, draft.limits).close()
    try:
        document = docx.Document(io.BytesIO(data))
        office.read_properties(document.core_properties, draft)
        _Reader(document, draft).read()
    except office.UNEXPECTED as error:
        raise office.broken(error, "Word") from None


@dataclass(slots=True)
class _Paragraph:
    """A paragraph before its kind is decided.

    Attributes:
        level: of a heading by its style; 0 for none.
        depth: of an item of a list; None for none.
        label: the number before it.
    """

    text: str
    level: int = 0
    depth: int | None = None
    label: str = ""

    @property
    def whole(self) -> str:
        """The text with its number."""
        if not self.label or not self.text:
            return self.text
        tight = is_spaceless(self.label[-1]) and not self.label.endswith(("条", "章", "节", "编"))
        return f"{self.label}{'' if tight else ' '}{self.text}"


class _Reader:
    def __init__(self, document: WordDocument, draft: Draft) -> None:
        self._draft = draft
        self._body: Any = document.element.body
        self._notes = _related(document, RELATIONSHIPS.FOOTNOTES)
        self._numbering = Numbering(_related(document, RELATIONSHIPS.NUMBERING))
        self._styles = {each.style_id: each for each in document.styles}
        self._looks: dict[str, tuple[int, str, int | None]] = {}

    def read(self) -> None:
        pieces = list(self._pieces(self._body, 0))
        self._add(pieces)
        notes = () if self._notes is None else self._notes.iter(f"{_W}p")
        for paragraph in notes:
            self._draft.paragraph(_text(paragraph))

    def _pieces(self, parent: Any, depth: int) -> Iterator[_Paragraph | Grid]:
        """Yield paragraphs and tables in their order, those in content controls too."""
        if depth > _DEEPEST:
            raise Unreadable(tr("nests its parts too deep", "内容嵌套过深"))
        for child in parent:
            if child.tag == f"{_W}p":
                yield self._paragraph(child)
                for box in child.iter(f"{_W}txbxContent"):
                    if not _is_inside(box, _FALLBACK):
                        yield from self._pieces(box, depth + 1)
            elif child.tag == f"{_W}tbl":
                yield from self._table(child, depth)
            elif child.tag in _CONTAINERS:
                yield from self._pieces(child, depth + 1)

    def _paragraph(self, element: Any) -> _Paragraph:
        properties = element.find(f"{_W}pPr")
        style = _attribute(properties, "pStyle")
        level, number, depth = self._look(style)
        outline = _attribute(properties, "outlineLvl")
        if outline.isdigit():
            level = int(outline) + 1 if int(outline) < _HIGHEST_LEVEL_OF_TEXT else 0
        own = None if properties is None else properties.find(f"{_W}numPr")
        if own is not None:
            number = _attribute(own, "numId") or number
            ilvl = _attribute(own, "ilvl")
            depth = int(ilvl) if ilvl.isdigit() else depth or 0
        text = _text(element)
        is_listed = number not in ("", "0")
        label = self._numbering.label(number, depth or 0) if is_listed and text.strip() else ""
        is_item = (is_listed or depth is not None) and not level and not _ARTICLE.match(label)
        return _Paragraph(text, level, (depth or 0) if is_item else None, label)

    def _look(self, style_id: str) -> tuple[int, str, int | None]:
        """Return what a style says: a heading's level, a list's number, and depth in the list."""
        if style_id not in self._looks:
            self._looks[style_id] = self._find_look(style_id)
        return self._looks[style_id]

    def _find_look(self, style_id: str) -> tuple[int, str, int | None]:
        level, number, depth = 0, "", None
        style = self._styles.get(style_id)
        for _ in range(20):
            if style is None:
                break
            properties = style.element.find(f"{_W}pPr")
            outline = _attribute(properties, "outlineLvl")
            name = style.name or ""
            if not level and (found := _HEADING.match(name)):
                level = int(found[1])
            elif not level and outline.isdigit() and int(outline) < _HIGHEST_LEVEL_OF_TEXT:
                level = int(outline) + 1
            elif not level and _TITLE.fullmatch(name):
                level = 1
            own = None if properties is None else properties.find(f"{_W}numPr")
            if own is not None and not number:
                number = _attribute(own, "numId")
                ilvl = _attribute(own, "ilvl")
                depth = int(ilvl) if ilvl.isdigit() else 0
            if depth is None and _LIST.match(name):
                depth = 0
            style = getattr(style, "base_style", None)
        return level, number, depth

    def _table(self, table: Any, depth: int) -> Iterator[_Paragraph | Grid]:
        """Yield a table; one of a single cell only frames what is in it."""
        cells = list(table.iter(f"{_W}tc"))
        if len(cells) == 1:
            yield from self._pieces(cells[0], depth + 1)
            return
        grid = Grid(self._draft)
        _fill(grid, table)
        grid.marked = _marked_rows(table)
        yield grid

    def _add(self, pieces: list[_Paragraph | Grid]) -> None:
        kinds = [self._kind(piece) for piece in pieces]
        styled = [p.level for p in pieces if isinstance(p, _Paragraph) and p.level]
        of_kind = headings.levels(kinds, max(styled, default=0) + 1)
        items: list[str] = []
        for piece, kind in zip(pieces, kinds, strict=True):
            is_item = isinstance(piece, _Paragraph) and piece.depth is not None and not kind
            if items and not is_item:
                self._draft.items(items)
                items = []
            if isinstance(piece, Grid):
                self._draft.table(piece.rows(), piece.marked or piece.header_rows())
            elif piece.level or kind:
                self._draft.heading(piece.whole, piece.level or of_kind[kind])
            elif is_item:
                items.append("  " * (piece.depth or 0) + piece.whole)
            else:
                self._draft.paragraph(piece.whole)
        if items:
            self._draft.items(items)

    def _kind(self, piece: _Paragraph | Grid) -> str:
        """Return the kind of a title that only its number shows."""
        if isinstance(piece, Grid) or piece.level:
            return ""
        return headings.numbered(piece.whole)


def _related(document: WordDocument, kind: str) -> Any:
    """Return the root of a part, such as the footnotes; None where there is none."""
    try:
        part: Any = document.part.part_related_by(kind)
    except KeyError:
        return None
    element = getattr(part, "element", None)
    if element is not None:
        return element
    return parse_xml(part.blob)


def _attribute(parent: Any, name: str) -> str:
    child = None if parent is None else parent.find(f"{_W}{name}")
    return "" if child is None else str(child.get(f"{_W}val") or "")


def _is_inside(element: Any, tag: str) -> bool:
    return next(element.iterancestors(tag), None) is not None


def _text(paragraph: Any) -> str:
    """Return what a paragraph shows: insertions, but no deletions and no hidden runs."""
    pieces: list[str] = []
    waiting = [paragraph]
    while waiting:
        element = waiting.pop()
        tag = element.tag if isinstance(element.tag, str) else ""
        if tag in _SKIPPED or (tag == f"{_W}r" and _is_vanished(element)):
            continue
        if tag == f"{_W}t":
            pieces.append(element.text or "")
        elif tag.startswith(_W) and tag[len(_W) :] in _SIGNS:
            pieces.append(_SIGNS[tag[len(_W) :]])
        else:
            waiting.extend(reversed(element))
    return "".join(pieces)


def _is_vanished(run: Any) -> bool:
    mark = run.find(f"{_W}rPr/{_W}vanish")
    return mark is not None and mark.get(f"{_W}val") not in ("0", "false", "off")


def _fill(grid: Grid, table: Any) -> None:
    """Put a table's cells; one that continues the cell above makes that one higher."""
    open_cells: dict[int, list[int]] = {}
    placed: list[list[Any]] = []
    for row, line in enumerate(_rows(table)):
        column = _grid_offset(line)
        for cell in _cells(line):
            properties = cell.find(f"{_W}tcPr")
            span = _attribute(properties, "gridSpan")
            width = min(int(span), 1000) if span.isdigit() and int(span) else 1
            merge = None if properties is None else properties.find(f"{_W}vMerge")
            continues = merge is not None and merge.get(f"{_W}val") != "restart"
            if continues and column in open_cells:
                placed[open_cells[column][0]][3] += 1
            else:
                open_cells[column] = [len(placed)]
                placed.append([row, column, _cell_text(cell), 1, width])
            if merge is None:
                open_cells.pop(column)
            column += width
    for each in placed:
        grid.put(Cell(*each))


def _rows(table: Any) -> Iterator[Any]:
    """Yield a table's own rows, not those of tables inside it."""
    for child in table:
        if child.tag == f"{_W}tr":
            yield child
        elif child.tag in _CONTAINERS:
            yield from _rows(child)


def _cells(row: Any) -> Iterator[Any]:
    for child in row:
        if child.tag == f"{_W}tc":
            yield child
        elif child.tag in _CONTAINERS:
            yield from _cells(child)


def _grid_offset(row: Any) -> int:
    value = _attribute(row.find(f"{_W}trPr"), "gridBefore")
    return min(int(value), 1000) if value.isdigit() else 0


def _cell_text(cell: Any) -> str:
    return "\n".join(filter(None, map(_text, cell.iter(f"{_W}p"))))


def _marked_rows(table: Any) -> int:
    """Return how many first rows are marked to be repeated on each page."""
    count = 0
    for row in _rows(table):
        mark = row.find(f"{_W}trPr/{_W}tblHeader")
        if mark is None or mark.get(f"{_W}val") in ("0", "false", "off"):
            break
        count += 1
    return count
