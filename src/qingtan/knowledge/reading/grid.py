"""Tables with merged cells, and which of their rows are the header."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qingtan.knowledge.reading.draft import Draft

_NUMBER = re.compile(r"[-+(（]?[¥￥$€£]?\s*\d[\d,，.]*\s*[%％‰)）万亿元]*|[-—–/]")
_YEAR = re.compile(r"(?:19|20)\d\d年?")
_LONGEST_HEADER_CELL = 60
_MOST_HEADER_ROWS = 4


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as it was written; it covers `height` rows and `width` columns from its place."""

    row: int
    column: int
    text: str
    height: int = 1
    width: int = 1


class Grid:
    """A table that is being put together."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._places: dict[tuple[int, int], int] = {}
        self.cells: list[Cell] = []
        self.marked = 0  # header rows, where the file says so

    def put(self, cell: Cell) -> None:
        """Put a cell at its place; where it covers another, the other stays."""
        self._draft.count_cells(cell.height * cell.width)
        number = len(self.cells)
        self.cells.append(cell)
        for row in range(cell.row, cell.row + cell.height):
            for column in range(cell.column, cell.column + cell.width):
                self._places.setdefault((row, column), number)

    def free_column(self, row: int) -> int:
        """Return the first column of a row that nothing covers."""
        column = 0
        while (row, column) in self._places:
            column += 1
        return column

    def rows(self) -> list[list[str]]:
        """Return the text of each place; rows and columns where no cell begins are left out."""
        rows = sorted({cell.row for cell in self.cells})
        columns = sorted({cell.column for cell in self.cells})
        self._draft.count_cells(len(rows) * len(columns))
        return [[self._text(row, column) for column in columns] for row in rows]

    def _text(self, row: int, column: int) -> str:
        number = self._places.get((row, column))
        return "" if number is None else self.cells[number].text

    def header_rows(self) -> int:
        """Return how many of the first rows are the header, as far as it can be told."""
        rows = self.rows()
        if not looks_like_header(rows):
            return 0
        numbers = {row: n for n, row in enumerate(sorted({cell.row for cell in self.cells}))}
        whole = len(rows[0])
        count, row = 1, 0
        while row < count <= _MOST_HEADER_ROWS:
            for cell in self.cells:
                if numbers[cell.row] != row:
                    continue
                if cell.height > 1:
                    count = max(
                        count, row + sum(cell.row <= r < cell.row + cell.height for r in numbers)
                    )
                elif 1 < cell.width < whole and looks_like_header(rows[row + 1 :]):
                    count = max(count, row + 2)
            row += 1
        return count if count < len(rows) else 1


def looks_like_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first of these rows names columns: short words, hardly any blank."""
    if len(rows) < 2:
        return False
    first = [cell.strip() for cell in rows[0]]
    filled = [cell for cell in first if cell]
    if len(filled) * 2 < len(first) or not filled or len(set(filled)) == 1 < len(first):
        return False
    words = [cell for cell in filled if not is_number(cell)]
    years = [cell for cell in filled if _YEAR.fullmatch(cell)]
    if len(words) + len(years) < len(filled) or not words:
        return False
    return max(map(len, filled)) <= _LONGEST_HEADER_CELL


def is_number(text: str) -> bool:
    """Return whether a cell holds a number, an amount or a share."""
    return _NUMBER.fullmatch(text.strip()) is not None
