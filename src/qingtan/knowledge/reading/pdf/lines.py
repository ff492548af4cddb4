"""The lines of a page with their places, as pdfium finds them."""

import ctypes
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from qingtan.knowledge.reading.pdf.view import View
from qingtan.knowledge.reading.text import clean, is_spaceless

# Fonts of East Asia often map a glyph to a radical instead of the character that looks alike, and
# Latin ones to ligatures; nobody would find such words.
_LOOKALIKE = re.compile("[\u2e80-\u2fdf\ufb00-\ufb06]")
# Radicals of the supplement block, which compatibility mappings leave alone (as in Unicode's
# EquivalentUnifiedIdeograph.txt).
_RADICALS = dict(
    zip(
        "⺁⺄⺈⺊⺌⺍⺕⺗⺙⺛⺝⺟⺠⺢⺣⺤⺥⺧⺩⺪⺫⺬⺭⺮⺯⺱⺲⺶⺷⺹⺺⺼⺾⺿⻀⻁⻂⻃⻄⻅⻆⻈⻉⻋⻌⻎⻏⻑⻒⻓⻔⻗⻘⻙⻚⻛⻜⻝⻟⻠⻢⻣⻤⻥⻦⻧⻨⻩⻪⻬⻮⻯⻰⻱⻲⻳",
        "厂乙刀卜小小彐心攵无月母民水灬爫爫牛王疋罒示礻竹糹罓罒羊羊老聿月艹艹艹虎衤覀西见角讠贝车辶辶阝長镸长门雨青韦页风飞食飠饣马骨鬼鱼鸟卤麦黄黾齐齿竜龙龜亀龟",
        strict=True,
    )
)
_LEADERS = re.compile(r"(?:[.．·…] ?){4,}")  # between a title and its page
_HYPHEN = "\x02"  # pdfium's sign for a hyphen that divides a word at the end of a line
_BOLD = 600


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or a part of one.

    Attributes:
        text: clean, with "-" at the end where a word is divided.
        left, top, right, bottom: in points from the upper left corner of the page as it is shown.
        size: of the letters, in points.
    """

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    is_bold: bool = False

    @property
    def middle(self) -> float:
        """Its height on the page."""
        return (self.top + self.bottom) / 2


@dataclass(frozen=True, slots=True)
class Character:
    """A character of a page and the middle of its place, in points from the upper left corner."""

    text: str
    x: float
    y: float


class PageText:
    """The text of one page. pdfium's own objects are closed by `close`.

    Attributes:
        view: of the page.
    """

    def __init__(self, page: pdfium.PdfPage) -> None:
        self._page: Any = page.get_textpage()
        self._text: Any = self._page.raw
        self.view = View(page)
        self.width, self.height = self.view.size
        self.count = raw.FPDFText_CountChars(self._text)
        self._box = raw.FS_RECTF()

    def close(self) -> None:
        """Give back what pdfium holds."""
        self._page.close()

    def lines(self) -> list[Line]:
        """Return the lines in the order in which the file has them."""
        text = self._characters()
        found: list[Line] = []
        for start, end in _spans(text):
            line = self._line(text, start, end)
            if line is not None:
                found.append(line)
        return found

    def characters(self) -> list[Character]:
        """Return each character that stands somewhere; slower than lines, for tables."""
        found = []
        for number, text in enumerate(self._characters()):
            if text.isspace() and raw.FPDFText_IsGenerated(self._text, number) == 1:
                found.append(Character(" ", -1, -1))
                continue
            left, top, right, bottom = self._place(number)
            found.append(Character(text, (left + right) / 2, (top + bottom) / 2))
        return found

    def _characters(self) -> str:
        """Return one character for each of pdfium's; some have none in its whole text."""
        whole = str(self._page.get_text_range()) if self.count else ""
        if len(whole) == self.count:
            return whole.replace("\ufffe", _HYPHEN)  # as it calls the same sign there
        codes = (raw.FPDFText_GetUnicode(self._text, number) for number in range(self.count))
        return "".join(chr(code) if 0 < code < 0x110000 else " " for code in codes)

    def _place(self, number: int) -> tuple[float, float, float, float]:
        box = self._box
        raw.FPDFText_GetLooseCharBox(self._text, number, ctypes.byref(box))
        return self.view.shown(box.left, box.top, box.right, box.bottom)

    def _line(self, text: str, start: int, end: int) -> Line | None:
        words = text[start:end]
        start += len(words) - len(words.lstrip())
        end -= len(words) - len(words.rstrip())
        shown = plain(words)
        if not shown or end <= start:
            return None
        first, last, middle = self._place(start), self._place(end - 1), (start + end) // 2
        sizes = [raw.FPDFText_GetFontSize(self._text, each) for each in {start, middle, end - 1}]
        weights = [raw.FPDFText_GetFontWeight(self._text, each) for each in {start, end - 1}]
        left, right = min(first[0], last[0]), max(first[2], last[2])
        top, bottom = min(first[1], last[1]), max(first[3], last[3])
        size = sorted(sizes)[len(sizes) // 2] * self._scale(start)
        return Line(shown, left, top, right, bottom, round(size, 1), min(weights) >= _BOLD)

    def _scale(self, number: int) -> float:
        """Return by how much a text's own coordinates enlarge its letters."""
        matrix = raw.FS_MATRIX()
        if not raw.FPDFText_GetMatrix(self._text, number, ctypes.byref(matrix)):
            return 1.0
        return float((matrix.c**2 + matrix.d**2) ** 0.5) or 1.0


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield first and last + 1 of each line; a divided word ends a line, too."""
    start = 0
    for number, character in enumerate(text):
        if character in "\r\n":
            yield start, number
            start = number + 1
        elif character == _HYPHEN:
            yield start, number + 1
            start = number + 1
    yield start, len(text)


def plain(text: str) -> str:
    """Return a line's text with characters in the place of those that look alike."""
    text = text.replace(_HYPHEN, "-")
    if not text.isascii():
        # A rare character may come as the two halves of its pair.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        text = _LOOKALIKE.sub(
            lambda found: _RADICALS.get(found[0]) or unicodedata.normalize("NFKC", found[0]), text
        )
    return " ".join(_LEADERS.sub(" … ", clean(text)).split())


def text_of(characters: Iterable[Character]) -> str:
    """Return the text of characters in their order; a step down the page is a new line."""
    pieces: list[str] = []
    last: Character | None = None
    for each in characters:
        if each.x >= 0 and last is not None and abs(each.y - last.y) > 4:
            pieces.append("\n")
        pieces.append(each.text)
        last = each if each.x >= 0 else last
    lines = (plain(line) for line in "".join(pieces).split("\n"))
    return "\n".join(line for line in lines if line)


def merged(lines: list[Line]) -> list[Line]:
    """Join pieces that stand side by side, close together, as one line."""
    result: list[Line] = []
    for line in lines:
        last = result[-1] if result else None
        if last is not None and _continues(last, line):
            gap = line.left - last.right > 0.15 * line.size
            spaced = gap and not (is_spaceless(last.text[-1]) and is_spaceless(line.text[0]))
            result[-1] = replace(
                last,
                text=last.text + (" " if spaced else "") + line.text,
                left=min(last.left, line.left),
                top=min(last.top, line.top),
                right=max(last.right, line.right),
                bottom=max(last.bottom, line.bottom),
                size=max(last.size, line.size) if len(line.text) < 4 else line.size,
                is_bold=last.is_bold and line.is_bold,
            )
        else:
            result.append(line)
    return result


def _continues(last: Line, line: Line) -> bool:
    same = abs(last.bottom - line.bottom) < 0.35 * max(last.size, line.size, 1)
    return same and -0.5 * line.size <= line.left - last.right < 1.2 * max(line.size, last.size)
