"""From lines to paragraphs and titles."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from qingtan.knowledge.documents import Box
from qingtan.knowledge.reading import headings
from qingtan.knowledge.reading.pdf.lines import Line
from qingtan.knowledge.reading.text import is_spaceless, join

_LARGER = 1.13  # than the body is a title's size
_SAME_SIZE = 0.06
_LONGEST_TITLE = 120
_MOST_SIZES = 5
_ENDS = "。！？!?.…；;：:”」』"
_BEGINS = re.compile(
    "第[一二三四五六七八九十百千零〇0-9]+[条编章节篇款]|[一二三四五六七八九十]{1,3}、"
    "|[（(][一二三四五六七八九十0-9]{1,3}[）)]|[0-9]{1,2}[.．、)）](?![0-9])|[•·●○■□◆▪–] ?|[-*+] "
)
_LEADERS = re.compile(r"…\s*\d*$")  # of a table of contents
_BULLET = re.compile("[•·●○■□◆▪–] ?|[-*+] ")


@dataclass(slots=True)
class Piece:
    """A paragraph or a title.

    Attributes:
        level: of a title; 0 for a paragraph.
        page: from 1.
    """

    lines: list[Line]
    page: int
    level: int = 0
    kind: str = ""
    width: float = 1
    height: float = 1
    edge: float = 0.0
    """How far right the column goes in which its last line stands, in points."""

    @property
    def text(self) -> str:
        return join(line.text for line in self.lines)

    @property
    def size(self) -> float:
        return self.lines[0].size

    @property
    def box(self) -> Box:
        return (
            share(min(line.left for line in self.lines), self.width),
            share(min(line.top for line in self.lines), self.height),
            share(max(line.right for line in self.lines), self.width),
            share(max(line.bottom for line in self.lines), self.height),
        )


def share(value: float, whole: float) -> float:
    return round(min(max(value / max(whole, 1), 0.0), 1.0), 4)


def in_order(lines: list[Line]) -> list[Line]:
    """Return the lines of a page as they are read.

    The file's order is kept where lines stand side by side, for it tells columns apart; else lines
    are read from top to bottom.
    """
    ordered = sorted(lines, key=lambda line: (line.middle, line.left))
    for above, below in pairwise(ordered):
        overlap = min(above.bottom, below.bottom) - max(above.top, below.top)
        lower = min(above.bottom - above.top, below.bottom - below.top)
        if overlap > 0.5 * lower > 0:
            return lines
    return ordered


def body_size(pages: Iterable[list[Line]]) -> float:
    """Return the size in which most characters are set."""
    sizes: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            sizes[round(line.size * 2) / 2] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def pieces_of(lines: list[Line], page: int, width: float, height: float) -> list[Piece]:
    """Return the paragraphs of a page."""
    edges = _edges(lines)
    gap = _leading(lines, [right for _, right in edges])
    found: list[Piece] = []
    for line, (left, right) in zip(lines, edges, strict=True):
        last = found[-1] if found else None
        if last is not None and not _is_indented(line, left) and _goes_on(last, line, right, gap):
            last.lines.append(line)
        else:
            last = Piece([line], page, width=width, height=height)
            found.append(last)
        last.edge = right
    return found


def _edges(lines: list[Line]) -> list[tuple[float, float]]:
    """Return for each line where the column begins in which it stands, and where it ends.

    It begins where at least two lines do, and ends where two do: an address that cannot be divided
    may stand out.
    """
    result = []
    for line in lines:
        beside = [
            other
            for other in lines
            if abs(other.left - line.left) < 3 * line.size and _same_size(other, line)
        ]
        lefts = sorted(other.left for other in beside)
        left = next((a for a, b in pairwise(lefts) if b - a < 0.3 * line.size), line.left)
        rights = sorted((other.right for other in beside), reverse=True)
        right = next((a for a, b in pairwise(rights) if a - b < line.size), rights[0])
        result.append((left, right))
    return result


def _is_indented(line: Line, left: float) -> bool:
    """Return whether a line stands two characters in, as paragraphs begin in Chinese."""
    step = (line.left - left) / max(line.size, 1)
    return 1.6 < step < 2.4 and is_spaceless(line.text[0])


def _leading(lines: list[Line], edges: list[float]) -> float:
    """Return how far lines of a paragraph stand below one another, as a multiple of their size.

    Lines that end at the edge tell it; where there are none, all do.
    """
    steps: Counter[float] = Counter()
    full: Counter[float] = Counter()
    for (above, right), (below, _) in pairwise(zip(lines, edges, strict=True)):
        step = (below.bottom - above.bottom) / max(above.size, 1)
        if 0.5 < step < 3 and _same_size(above, below):
            steps[round(step, 1)] += 1
            full[round(step, 1)] += _is_full(above, right, below)
    best = (+full or steps).most_common(1)
    return best[0][0] if best else 1.5


def _same_size(one: Line, other: Line) -> bool:
    return abs(one.size - other.size) <= _SAME_SIZE * max(one.size, other.size)


def _goes_on(piece: Piece, line: Line, right: float, gap: float) -> bool:
    """Return whether a line belongs to the paragraph above it."""
    last = piece.lines[-1]
    if not _same_size(last, line) or last.is_bold != line.is_bold:
        return False
    step = (line.bottom - last.bottom) / max(line.size, 1)
    if not 0.3 < step <= gap * 1.25 + 0.1 or line.left > last.right or line.right < last.left:
        return False
    if _BEGINS.match(line.text) or _LEADERS.search(last.text):
        return False
    first = piece.lines[0]
    is_hanging = len(piece.lines) == 1 and line.left > last.left and _BEGINS.match(first.text)
    if line.left - last.left > 0.9 * line.size and not is_hanging:
        return False  # indented: a paragraph begins
    if _is_full(last, max(right, last.right), line):
        return True
    return _is_centred(last, line) and not headings.numbered(last.text)


def _is_full(line: Line, right: float, below: Line | None = None) -> bool:
    """Return whether nothing more went into a line before the right edge."""
    room = 2.6 * line.size
    if below is not None and not is_spaceless(below.text[0]):
        word = below.text.split(" ", 1)[0]
        share = (below.right - below.left) / max(len(below.text), 1)
        room = min(max((len(word) + 1) * share + 0.5 * line.size, 0), 0.5 * (right - line.left))
    return right - line.right <= room


def _is_centred(last: Line, line: Line) -> bool:
    """Return whether both are centred on one axis, as long titles are."""
    axis = abs((last.left + last.right) - (line.left + line.right)) / 2
    return axis < 0.3 * line.size and abs(last.left - line.left) > line.size


def join_pages(pieces: list[Piece]) -> list[Piece]:
    """Join paragraphs that the end of a page or of a column has divided."""
    result: list[Piece] = []
    for piece in pieces:
        last = result[-1] if result else None
        if (
            last is not None
            and (last.page == piece.page - 1 or _is_next_column(last, piece))
            and _is_open(last, piece.lines[0])
            and not last.level
            and not piece.level
            and _same_size(last.lines[-1], piece.lines[0])
            and (_is_next_column(last, piece) or _is_aligned(last, piece))
            and not _BEGINS.match(piece.text)
        ):
            # The place is the first part's.
            last.lines.extend(_placed(piece.lines, last))
            last.edge = piece.edge
        else:
            result.append(piece)
    return result


def _is_open(piece: Piece, below: Line) -> bool:
    """Return whether a paragraph's last line is full and ends no sentence."""
    end = piece.lines[-1]
    return end.text[-1] not in _ENDS and _is_full(end, piece.edge, below)


def _is_next_column(last: Piece, piece: Piece) -> bool:
    """Return whether a piece stands to the right of the last one, and higher on the same page."""
    above, below = piece.lines[0], last.lines[-1]
    return last.page == piece.page and above.bottom < below.top and above.left > below.right


def _is_aligned(last: Piece, piece: Piece) -> bool:
    return piece.lines[0].left - last.lines[-1].left < 0.9 * piece.size


def _placed(lines: list[Line], piece: Piece) -> list[Line]:
    """Return lines of the next page at the place of a paragraph's last line."""
    end = piece.lines[-1]
    return [
        Line(each.text, end.left, end.top, end.right, end.bottom, each.size, each.is_bold)
        for each in lines
    ]


def find_titles(pieces: list[Piece], body: float, outline: Mapping[tuple[int, str], int]) -> None:
    """Give titles their levels: by the file's outline, by size, by number, or by weight.

    Args:
        body: the size of common text.
        outline: levels by page and title; spaces left out.
    """
    for piece in pieces:
        piece.level = outline.get((piece.page, squeezed(piece.text)), 0)
    sizes = _levels_by_size(pieces, body)
    deepest = max([*sizes.values(), *(piece.level for piece in pieces)], default=0)
    for piece in pieces:
        if not piece.level and len(piece.lines) <= 3:
            piece.level = sizes.get(_step(piece.size), 0) if _is_title(piece) else 0
            piece.kind = (
                "" if piece.level or len(piece.lines) > 2 else headings.numbered(piece.text)
            )
    of_kind = headings.levels([piece.kind for piece in pieces], deepest + 1)
    for piece in pieces:
        if not piece.level and piece.kind:
            piece.level = of_kind[piece.kind]
        elif not piece.level and _is_bold_title(piece, body):
            piece.level = deepest + len(of_kind) + 1


def title_of(pieces: list[Piece], body: float) -> str:
    """Return what is set largest on the first page, if it is much larger than common text."""
    first = [piece for piece in pieces if piece.page == 1 and _is_title(piece)]
    largest = max(first, key=lambda piece: piece.size, default=None)
    return largest.text if largest is not None and largest.size >= 1.3 * body else ""


def squeezed(text: str) -> str:
    """Return a title as it is compared."""
    return re.sub(r"[\s.．·:：]+", "", text).lower()


def _step(size: float) -> float:
    return round(size * 2) / 2


def _levels_by_size(pieces: list[Piece], body: float) -> dict[float, int]:
    """Return the level of each larger size; where an outline knows a size, its level."""
    known: dict[float, Counter[int]] = {}
    for piece in pieces:
        if piece.level:
            known.setdefault(_step(piece.size), Counter())[piece.level] += 1
    if known:
        return {
            size: counts.most_common(1)[0][0]
            for size, counts in known.items()
            if size >= body * _LARGER
        }
    larger = {_step(p.size) for p in pieces if p.size >= body * _LARGER and _is_title(p)}
    return {size: n for n, size in enumerate(sorted(larger, reverse=True)[:_MOST_SIZES], 1)}


def _is_title(piece: Piece) -> bool:
    text = piece.text
    is_short = len(text) <= _LONGEST_TITLE and len(piece.lines) <= 3
    has_words = sum(character.isalpha() for character in text) >= 2
    return is_short and has_words and text[-1] not in "。；;，,、"


def _is_bold_title(piece: Piece, body: float) -> bool:
    line = piece.lines[0]
    alone = len(piece.lines) == 1 and line.is_bold and line.size >= 0.95 * body
    return alone and _is_title(piece) and len(line.text) <= 60 and line.text[-1] not in _ENDS + ","


def is_item(piece: Piece) -> bool:
    """Return whether a paragraph is a point of a list with signs."""
    return _BULLET.match(piece.text) is not None
