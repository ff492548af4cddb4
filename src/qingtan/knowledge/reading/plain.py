"""Plain text: paragraphs, and titles where they are clear."""

import re
from collections.abc import Iterator

from qingtan.knowledge.reading import headings
from qingtan.knowledge.reading.draft import Draft
from qingtan.knowledge.reading.text import clean, decode, is_spaceless, join, width

# A text is broken at a width if its lines fill it, and it is one that people set.
_NARROWEST, _WIDEST, _FULL = 40, 120, 0.75
_LONGEST_TITLE = 50
_SIGNED = re.compile(r"(#{1,6}) +(\S.{0,79})")  # a title as Markdown writes it, standing alone
_UNDERLINE = re.compile(r"[=＝]{3,}|[-－—]{3,}|[~～]{3,}")
_UNDERLINE_LEVELS = {"=": 1, "＝": 1, "-": 2, "－": 2, "—": 2, "~": 3, "～": 3}
_RULE = re.compile(r"[-=*_#~＝－—＊～\s]{3,}")
_ENDS = "。！？!?.…；;：:”」』）)"
# What begins a new paragraph wherever it stands.
_BEGINS = re.compile(
    "[\u3000\t]| {2,}|第[一二三四五六七八九十百千零〇0-9]+[条编章节篇款]|[一二三四五六七八九十]+、"
    "|[（(][一二三四五六七八九十0-9]+[）)]|[0-9]+[.．、)）]|[•·●○■□◆-]|[*+] "
)


def read_text(data: bytes, draft: Draft) -> None:
    """Read a text file."""
    add_text(clean(decode(data)), draft)


def add_text(text: str, draft: Draft, level: int = 1) -> None:
    """Add the paragraphs and titles of a text.

    Args:
        level: of the highest title in it.
    """
    pieces = list(_pieces(text))
    kinds = [headings.numbered(piece) if not depth else "" for piece, depth in pieces]
    if level == 1 and (title := _title(pieces, kinds)):
        draft.heading(title)
        pieces, kinds = pieces[1:], kinds[1:]
        level = 2
    deepest = max((depth for _, depth in pieces), default=0)
    of_kind = headings.levels(kinds, level + deepest)
    for (piece, depth), kind in zip(pieces, kinds, strict=True):
        if depth:
            draft.heading(piece, level - 1 + depth)
        elif kind:
            draft.heading(piece, of_kind[kind])
        else:
            draft.paragraph(piece)


def _title(pieces: list[tuple[str, int]], kinds: list[str]) -> str:
    """Return the first line where it is short, is no sentence, and titles follow."""
    if len(pieces) < 2 or pieces[0][1] or kinds[0] or not any(kinds):
        return ""
    first = pieces[0][0]
    is_title = (
        len(first) <= _LONGEST_TITLE and "\n" not in first and first[-1] not in _ENDS + "，,、"
    )
    return first if is_title else ""


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    """Yield paragraphs with 0, and titles that are underlined or signed with their depth."""
    for part in re.split(r"\n(?:[ \t\u3000]*\n)+", text):
        lines = [line.rstrip() for line in part.split("\n") if line.strip()]
        if len(lines) == 1 and (sign := _SIGNED.fullmatch(lines[0])):
            yield sign[2], len(sign[1])
            continue
        start = 0
        for number, line in enumerate(lines):
            if _is_underline(lines, number) and number > start:
                yield from ((each, 0) for each in _paragraphs(lines[start : number - 1]))
                yield lines[number - 1].strip(), _UNDERLINE_LEVELS[line.strip()[0]]
                start = number + 1
        yield from ((each, 0) for each in _paragraphs(lines[start:]))


def _is_underline(lines: list[str], number: int) -> bool:
    line = lines[number].strip()
    if not number or not _UNDERLINE.fullmatch(line):
        return False
    above = lines[number - 1].strip()
    return not _RULE.fullmatch(above) and width(above) <= 80 and width(line) >= width(above) * 0.5


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Yield the paragraphs of lines between which no line is empty."""
    lines = [line for line in lines if not _RULE.fullmatch(line)]
    full = _wrapped_at(lines)
    paragraph: list[str] = []
    for line in lines:
        if paragraph and (not full or _begins(paragraph[-1], line, full)):
            yield join(paragraph)
            paragraph = []
        paragraph.append(line)
    if paragraph:
        yield join(paragraph)


def _wrapped_at(lines: list[str]) -> int:
    """Return the width at which lines were broken, or 0 where each is a paragraph."""
    full = max(map(width, lines), default=0)
    inner = [line for line in lines[:-1] if line.rstrip()[-1] not in _ENDS]
    if not _NARROWEST <= full <= _WIDEST or not inner:
        return 0
    filled = sum(width(line) >= full * _FULL for line in inner)
    return full if filled >= 0.8 * len(inner) else 0


def _begins(before: str, line: str, full: int) -> bool:
    if _BEGINS.match(line) or headings.numbered(before):
        return True
    ended = before[-1] in _ENDS
    slack = full - width(before)
    first = re.match(r"\s*(\S+)", line)
    fits = 4 if first is None or is_spaceless(first[1][0]) else width(first[1]) + 1
    return ended and slack >= max(fits, 0.1 * full)
