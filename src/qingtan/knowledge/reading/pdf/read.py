"""Reading a PDF file: each page's lines and tables, then what all pages together tell."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from qingtan.i18n import tr
from qingtan.knowledge.documents import Box
from qingtan.knowledge.reading.draft import Draft
from qingtan.knowledge.reading.grid import Cell, Grid
from qingtan.knowledge.reading.limits import Unreadable
from qingtan.knowledge.reading.pdf import layout, ocr
from qingtan.knowledge.reading.pdf.furniture import without_furniture
from qingtan.knowledge.reading.pdf.lines import Character, Line, PageText, merged, text_of
from qingtan.knowledge.reading.pdf.plumber import Plumber
from qingtan.knowledge.reading.pdf.tables import RuledTable, find_tables, is_within

T = TypeVar("T")

# A page with fewer characters, so much of which is covered by pictures, is taken for a scan.
_LEAST_CHARACTERS = 8
_LEAST_PICTURED = 0.3


@dataclass(slots=True)
class _Page:
    number: int
    width: float
    height: float
    lines: list[Line]
    tables: list[tuple[float, Grid, Box]] = field(default_factory=list)
    """Each with its top, in points."""


def read_pdf(data: bytes, draft: Draft) -> None:
    """Read a PDF file."""
    document = open_pdf(data)
    draft.count_pages(len(document))
    _read_metadata(document, draft)
    reader = _Reader(document, data, draft)
    pages = [reader.page(number) for number in range(1, len(document) + 1)]
    reader.warn()
    _add(pages, _outline(document), draft)


def open_pdf(data: bytes) -> pdfium.PdfDocument:
    """Return the file, opened.

    Raises:
        Unreadable: it is none, damaged, or protected.
    """
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if (
            pdfium.raw.FPDF_GetLastError() == raw.FPDF_ERR_PASSWORD
            or "password" in str(error).lower()
        ):
            reason = tr("is protected by a password; remove it", "受密码保护，请先解除密码")
        else:
            reason = tr(
                f"is no PDF file, or a damaged one: {error}", f"不是PDF文件，或已损坏：{error}"
            )
        raise Unreadable(reason) from None


def _read_metadata(document: Any, draft: Draft) -> None:
    facts = document.get_metadata_dict(skip_empty=True)
    draft.title = facts.get("Title", "")
    draft.date = facts.get("ModDate", "") or facts.get("CreationDate", "")
    for key in ("Author", "Subject", "Keywords"):
        if facts.get(key):
            draft.facts[key.lower()] = facts[key]


def _outline(document: Any) -> dict[tuple[int, str], int]:
    """Return the levels of the titles that a file lists, by page and title."""
    found: dict[tuple[int, str], int] = {}
    for mark in document.get_toc(max_depth=6):
        target = mark.get_dest()
        page = target.get_index() if target is not None else None
        if page is not None:
            found.setdefault((page + 1, layout.squeezed(mark.get_title())), mark.level + 1)
    return found


class _Reader:
    """Reads pages, and remembers which could not be read."""

    def __init__(self, document: Any, data: bytes, draft: Draft) -> None:
        self._document = document
        self._plumber = Plumber(data)
        self._draft = draft
        self._scans: list[int] = []
        self._broken: list[int] = []
        self._unread: list[int] = []

    def page(self, number: int) -> _Page:
        """Read one; a page that is broken is empty."""
        try:
            page = self._document[number - 1]
        except pdfium.PdfiumError:
            self._broken.append(number)
            return _Page(number, 1, 1, [])
        try:
            text = PageText(page)
        except pdfium.PdfiumError:
            self._broken.append(number)
            return _Page(number, 1, 1, [])
        try:
            return self._read(page, text, number)
        finally:
            text.close()
            page.close()

    def _read(self, page: Any, text: PageText, number: int) -> _Page:
        result = _Page(number, text.width, text.height, [])
        result.lines = merged(text.lines())
        if not result.lines and _has(page, raw.FPDF_PAGEOBJ_TEXT):
            # Of a font that is not inside the file pdfium passes over characters that stand alone.
            result.lines = self._plumb(self._plumber.lines, number)
        if text.count < _LEAST_CHARACTERS and _pictured(page) >= _LEAST_PICTURED:
            result.lines = self._look(page, number) or result.lines
        found = find_tables(page, text.view) if result.lines else []
        if found:
            _take_tables(result, found, text.characters(), self._draft)
        result.lines = layout.in_order(result.lines)
        return result

    def _look(self, page: Any, number: int) -> list[Line]:
        lines = ocr.read_page(page) if ocr.is_installed() else []
        if not lines:
            self._scans.append(number)
        return lines

    def _plumb(self, look: Callable[[int], list[T]], number: int) -> list[T]:
        try:
            return look(number)
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception:  # pdfminer raises whatever a damaged file makes it stumble over
            self._unread.append(number)
            return []

    def warn(self) -> None:
        """Say what could not be read."""
        command = "pip install 'qingtan[ocr]'"
        scans, broken, unread = map(_listed, (self._scans, self._broken, self._unread))
        if scans and not ocr.is_installed():
            self._draft.warn(
                tr(
                    f"pages {scans} are pictures without text; {command} reads them",
                    f"第{scans}页是没有文字的图片，安装文字识别后可读取：{command}",
                )
            )
        elif scans:
            self._draft.warn(tr(f"no text was seen on pages {scans}", f"第{scans}页未识别出文字"))
        if broken:
            self._draft.warn(tr(f"pages {broken} are damaged", f"第{broken}页已损坏"))
        if unread:
            self._draft.warn(
                tr(f"the text of pages {unread} cannot be read", f"第{unread}页的文字无法读取")
            )


def _listed(numbers: list[int]) -> str:
    """Return page numbers with runs as ranges: 1-3, 7."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)


def _has(page: Any, kind: int) -> bool:
    return next(iter(page.get_objects(filter=(kind,), max_depth=4)), None) is not None


def _pictured(page: Any) -> float:
    """Return the share of a page that pictures cover: of a scan all, of a cover's emblem little."""
    width, height = page.get_size()
    covered = 0.0
    for picture in page.get_objects(filter=(raw.FPDF_PAGEOBJ_IMAGE,), max_depth=4):
        if picture.container is not None:  # its bounds are the form's own
            return 1.0
        left, bottom, right, top = picture.get_bounds()
        covered += (right - left) * (top - bottom)
    return float(covered / max(width * height, 1))


def _take_tables(
    page: _Page, found: list[RuledTable], characters: list[Character], draft: Draft
) -> None:
    """Move what stands in tables out of a page's lines."""
    for table in found:
        inside = [each for each in characters if each.x < 0 or is_within(each.x, each.y, table.box)]
        grid = Grid(draft)
        for cell, box in table.cells:
            words = text_of(each for each in inside if each.x < 0 or is_within(each.x, each.y, box))
            grid.put(Cell(cell.row, cell.column, words, cell.height, cell.width))
        if not any(cell.text for cell in grid.cells):
            continue
        box = table.box
        shares: Box = (
            layout.share(box[0], page.width),
            layout.share(box[1], page.height),
            layout.share(box[2], page.width),
            layout.share(box[3], page.height),
        )
        page.tables.append((box[1], grid, shares))
        page.lines = [
            line
            for line in page.lines
            if not is_within((line.left + line.right) / 2, line.middle, box)
        ]


def _add(pages: list[_Page], outline: Mapping[tuple[int, str], int], draft: Draft) -> None:
    """Add what the pages hold, in the order in which it is read."""
    kept = without_furniture([page.lines for page in pages], [page.height for page in pages])
    body = layout.body_size(kept)
    pieces = [
        piece
        for page, lines in zip(pages, kept, strict=True)
        for piece in layout.pieces_of(lines, page.number, page.width, page.height)
    ]
    layout.find_titles(pieces, body, outline)
    draft.title = draft.title or layout.title_of(pieces, body)
    pieces = layout.join_pages(pieces)
    waiting = [(page.number, top, grid, box) for page in pages for top, grid, box in page.tables]
    for piece in pieces:
        while waiting and waiting[0][:2] < (piece.page, piece.lines[0].top):
            _add_table(*waiting.pop(0), draft)
        draft.page = piece.page
        if piece.level:
            draft.heading(piece.text, piece.level, piece.box)
        else:
            draft.paragraph(piece.text, piece.box)
    for each in waiting:
        _add_table(*each, draft)


def _add_table(page: int, top: float, grid: Grid, box: Box, draft: Draft) -> None:
    draft.page = page
    draft.table(grid.rows(), grid.header_rows(), box)
