"""A document while it is being read: blocks are cleaned, counted and kept in order."""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from textwrap import dedent

from qingtan.i18n import tr
from qingtan.knowledge.documents import Block, Box, Document, Faq
from qingtan.knowledge.reading.limits import Limits, Unreadable
from qingtan.knowledge.reading.text import clean, one_line

Rows = Sequence[Sequence[str]]

_DEEPEST_HEADING = 9
_DATE = re.compile(r"((?:19|20)\d\d)\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})(?!\d)")
# What programs write where nobody gave a title.
_NO_TITLE = re.compile(
    r"(?i)microsoft (word|powerpoint|excel)\b|about:|(https?|file)://|untitled|no title"
    r"|(powerpoint )?presentation\d*$|document\d*$|slide ?\d+$"
    r"|无标题|(powerpoint )?演示文稿\d*$|(未命名)?文档\d*$|幻灯片 ?\d+$"
)


class Draft:
    """What a parser fills.

    Attributes:
        name: the file's, for parsers that look at it.
        media_hint: what a server or a sender says that the file is; may be empty.
        page: given to blocks from now on; None where the format has no pages.
        title, date, pages, facts, warnings: as in `Document`; a title that says nothing is passed
            over, and so is a date that is none.
    """

    def __init__(self, name: str, limits: Limits, media_hint: str = "") -> None:
        self.name = name
        self.limits = limits
        self.media_hint = media_hint
        self.page: int | None = None
        self.pages: int | None = None
        self.title = ""
        self.date = ""
        self.facts: dict[str, str] = {}
        self.warnings: list[str] = []
        self.blocks: list[Block] = []
        self._characters = 0
        self._cells = 0

    def heading(self, text: str, level: int = 1, box: Box | None = None) -> None:
        """Add a title."""
        level = min(max(level, 1), _DEEPEST_HEADING)
        self._add(Block("heading", one_line(text), level=level, page=self.page, box=box))

    def paragraph(self, text: str, box: Box | None = None) -> None:
        """Add a paragraph; line breaks in it are meant."""
        self._add(Block("paragraph", tidy_lines(text), page=self.page, box=box))

    def items(self, lines: Iterable[str], box: Box | None = None) -> None:
        """Add a list, an item a line."""
        text = dedent("\n".join(line for line in map(_item, lines) if line))
        self._add(Block("list", text, page=self.page, box=box))

    def code(self, text: str, box: Box | None = None) -> None:
        """Add code, as it stands."""
        text = clean(text).strip("\n").rstrip()
        self._add(Block("code", text, page=self.page, box=box))

    def faq(self, faq: Faq) -> None:
        """Add a question with its answer."""
        text = f"{faq.question}\n{faq.answer}"
        self._characters += sum(map(len, faq.similar))
        self._add(Block("faq", text, page=self.page, faq=faq))

    def table(self, rows: Rows, header_rows: int = 0, box: Box | None = None) -> None:
        """Add a table, without its empty rows and columns; of one column, its rows as a list."""
        cells = [[one_line(cell) for cell in row] for row in rows]
        columns = max(map(len, cells), default=0)
        self.count_cells(columns * len(cells))
        filled = [[*row, *[""] * (columns - len(row))] for row in cells]
        wanted = [any(column) for column in zip(*filled, strict=True)]
        header_rows = sum(any(row) for row in filled[:header_rows])
        kept = [
            tuple(cell for cell, is_wanted in zip(row, wanted, strict=True) if is_wanted)
            for row in filled
            if any(row)
        ]
        if sum(wanted) <= 1 or len(kept) == 1:
            for row in kept:
                self.paragraph(" | ".join(dict.fromkeys(cell for cell in row if cell)), box)
            return
        text = "\n".join(" | ".join(row) for row in kept)
        header_rows = min(header_rows, len(kept) - 1)
        self._add(
            Block("table", text, page=self.page, box=box, rows=tuple(kept), header_rows=header_rows)
        )

    def warn(self, message: str) -> None:
        """Tell people what could not be read; once."""
        if message not in self.warnings:
            self.warnings.append(message)

    def count_cells(self, count: int) -> None:
        """Count cells before they are made.

        Raises:
            Unreadable: there are too many.
        """
        self._cells += count
        if self._cells > self.limits.cells:
            most = self.limits.cells
            raise Unreadable(
                tr(
                    f"has more than {most} cells in tables; split it",
                    f"表格单元格超过{most}个，请拆分文件",
                )
            )

    def count_pages(self, count: int) -> None:
        """Say how many pages there are.

        Raises:
            Unreadable: there are too many.
        """
        self.pages = count
        if count > self.limits.pages:
            most = self.limits.pages
            raise Unreadable(
                tr(
                    f"has {count} pages, and {most} are allowed; split it",
                    f"共{count}页，最多允许{most}页，请拆分文件",
                )
            )

    def _add(self, block: Block) -> None:
        if not block.text.strip():
            return
        self._characters += len(block.text)
        self.blocks.append(block)
        if len(self.blocks) > self.limits.blocks:
            most = self.limits.blocks
            raise Unreadable(
                tr(
                    f"has more than {most} paragraphs; split it",
                    f"段落超过{most}个，请拆分文件",
                )
            )
        if self._characters > self.limits.characters:
            most = self.limits.characters
            raise Unreadable(
                tr(f"has more than {most} characters; split it", f"超过{most}字，请拆分文件")
            )

    def document(self, media_type: str) -> Document:
        """Return what was read.

        Raises:
            Unreadable: there is no text.
        """
        if not self.blocks:
            reason = tr("holds no text", "没有文字内容")
            raise Unreadable("; ".join([reason, *self.warnings]))
        return Document(
            name=self.name,
            title=self._title(),
            media_type=media_type,
            blocks=tuple(self.blocks),
            pages=self.pages,
            date=iso_date(self.date),
            warnings=tuple(self.warnings),
            facts={key: value for key, text in self.facts.items() if (value := one_line(text))},
        )

    def _title(self) -> str:
        own = one_line(self.title)
        if own and not _NO_TITLE.match(own):
            return own
        headings = [block for block in self.blocks if block.kind == "heading"]
        highest = min((block.level for block in headings), default=0)
        first = next((block.text for block in headings if block.level == highest), "")
        return first or self.name


def _item(line: str) -> str:
    indent = len(line) - len(line.lstrip(" "))
    text = one_line(line)
    return " " * indent + text if text else ""


def tidy_lines(text: str) -> str:
    """Return the lines of a text without spaces around them and without empty ones."""
    lines = (" ".join(line.split()) for line in clean(text).split("\n"))
    return "\n".join(line for line in lines if line)


def iso_date(text: str) -> str | None:
    """Return the first full date of a text as ISO 8601, if there is one."""
    found = _DATE.search(text)
    if found is None:
        compact = re.match(r"(?:D:)?((?:19|20)\d\d)(\d\d)(\d\d)(?:\d|$|T)", text)
        if compact is None:
            return None
        found = compact
    try:
        return date(*(int(part) for part in found.groups())).isoformat()
    except ValueError:
        return None
