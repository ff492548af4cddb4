"""What stands on every page: running heads, feet and page numbers."""

import re
from collections import Counter

from qingtan.knowledge.reading.pdf.lines import Line

_MARGIN = 0.1  # of the height, above and below
_OUTERMOST = 3  # lines, above and below
_LONGEST_HEAD = 60  # characters; a longer line must be the same to its last digit
_STEPS = 60  # places that are told apart on the height of a page
_LEAST_PAGES = 3
_LEAST_COUNTING = 5  # pages; by chance a title of a list counts on with two or three
_COUNTED, _COUNTS = re.compile(r"(\d{1,4})\s"), re.compile(r"\s(\d{1,4})$")
_DIGITS = re.compile(r"\d+|\b[ivxlc]{1,6}\b", re.IGNORECASE)
_PAGE_NUMBER = re.compile(
    r"[-–—·\s]*(?:第\s*)?(\d{1,4})\s*页?(?:\s*[/／,，]?\s*(?:共\s*)?\d{1,4}\s*页?)?[-–—·\s]*"
    r"|page\s+(\d{1,4})(?:\s+of\s+\d{1,4})?",
    re.IGNORECASE,
)
Key = tuple[str, int]


def without_furniture(pages: list[list[Line]], heights: list[float]) -> list[list[Line]]:
    """Return the pages' lines without what repeats at the same place in their margins.

    Running heads that name the chapter repeat their place and count on with the pages.

    Args:
        heights: of the pages, in points.
    """
    edges = [_edges(lines, height) for lines, height in zip(pages, heights, strict=True)]
    seen: Counter[Key] = Counter()
    counting: Counter[tuple[int, int] | None] = Counter()
    for number, (lines, keys) in enumerate(zip(pages, edges, strict=True), 1):
        seen.update({near for key in keys.values() for near in _near(key)})
        counting.update({_count(lines[line], key, number) for line, key in keys.items()} - {None})
    least = min(_LEAST_PAGES, max(len(pages), 2))
    result = []
    for number, (lines, keys) in enumerate(zip(pages, edges, strict=True), 1):
        kept = [
            line
            for place, line in enumerate(lines)
            if place not in keys
            or (
                seen[keys[place]] < least
                and counting[_count(line, keys[place], number)] < _LEAST_COUNTING
                and not _is_number_of(line, number)
            )
        ]
        result.append(kept)
    return result


def _count(line: Line, key: Key, page: int) -> tuple[int, int] | None:
    """Return the place of a line and how far its number is from the page's; None without one."""
    found = _COUNTED.match(line.text) or _COUNTS.search(line.text)
    return (
        (key[1], int(found[1]) - page) if found and len(line.text) <= _LONGEST_HEAD + 20 else None
    )


def _edges(lines: list[Line], height: float) -> dict[int, Key]:
    """Return the outermost lines of a page, by number, with their words and their place."""
    order = sorted(range(len(lines)), key=lambda number: lines[number].middle)
    outer = {*order[:_OUTERMOST], *order[-_OUTERMOST:]}
    result = {}
    for number in outer:
        place = lines[number].middle / max(height, 1)
        if place < _MARGIN or place > 1 - _MARGIN:
            words = lines[number].text.replace(" ", "")
            if len(words) <= _LONGEST_HEAD:
                words = _DIGITS.sub("#", words)
            result[number] = (words, round(place * _STEPS))
    return result


def _near(key: Key) -> list[Key]:
    words, place = key
    return [(words, place - 1), key, (words, place + 1)]


def _is_number_of(line: Line, page: int) -> bool:
    """Return whether a line in the margin is the number of this very page."""
    found = _PAGE_NUMBER.fullmatch(line.text)
    return found is not None and int(found[1] or found[2]) == page
