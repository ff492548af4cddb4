"""The measures of one text by their plain definitions."""

import unicodedata
from collections import Counter
from functools import cache
from itertools import groupby

from qingtan.corpus.quality.classes import FUNCTION, MISREAD, PUNCTUATION
from qingtan.corpus.quality.lines import BULLETS
from qingtan.corpus.quality.words import STOP_WORDS

LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def is_han(character: str) -> bool:
    code = ord(character)
    ranges = [(0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)]
    return character in "〇々" or any(first <= code <= last for first, last in ranges)


@cache
def kind(character: str) -> str:
    category, code = unicodedata.category(character), ord(character)
    if character.isspace() or category == "Cf" or 0xE0000 <= code < 0xE0200:
        return "space"
    if category in ("Cc", "Co", "Cs") or code == 0xFFFD or code >= 0xF0000:
        return "broken"
    if character in PUNCTUATION:
        return "punctuation"
    if is_han(character):
        return "han"
    if category[0] == "N":
        return "digit"
    if category[0] in "LM" and code < 0x20000:
        latin = code < 0x250 or 0x1E00 <= code < 0x1F00 or 0xFF21 <= code <= 0xFF5A
        return "latin" if latin else "letter"
    return "symbol"


def visible(text: str) -> int:
    return sum(kind(character) != "space" for character in text)


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def units_of(text: str) -> list[str]:
    """Return Han characters and words in order, the case of ASCII letters left out."""
    units = []
    for is_word, run in groupby(text, lambda c: kind(c) in ("digit", "letter", "latin")):
        if is_word:
            units.append("".join(run).translate(LOWER))
        else:
            units += [character for character in run if is_han(character)]
    return units


def lines_of(text: str) -> list[str]:
    """Return the lines that are not blank, without the spaces around them."""
    lines = []
    for line in text.split("\n"):
        while line and kind(line[0]) == "space":
            line = line[1:]
        while line and kind(line[-1]) == "space":
            line = line[:-1]
        lines += [line] if line else []
    return lines


def broken(text: str) -> int:
    bad = {i for i, character in enumerate(text) if kind(character) == "broken"}
    for i in range(len(text)):
        if text[i : i + 3] in MISREAD:
            bad |= {i, i + 1, i + 2}
        lead, trail = text[i], text[i + 1 : i + 2]
        leads = 0xC2 <= ord(lead) <= 0xF4 and kind(lead) == "latin"
        if leads and "\x80" <= trail <= "\xbf" and trail not in "\xa0»":
            bad |= {i, i + 1}
    return sum(kind(text[i]) != "space" for i in bad)


def longest_stretch(text: str) -> int:
    marked = "".join(
        "\n" if c == "\n" or kind(c) in ("broken", "symbol", "punctuation") else c for c in text
    )
    return max(len(units_of(part)) for part in marked.split("\n"))


def in_runs(text: str) -> int:
    total = 0
    for character, run in groupby(text):
        length = len(list(run))
        counted = kind(character) in ("letter", "latin", "han")
        counted |= kind(character) == "punctuation" and not character.isascii()
        total += length if counted and length > 5 else 0
    return total


def in_blobs(text: str) -> int:
    lengths = [len(list(run)) for good, run in groupby(text, lambda c: "!" <= c <= "~") if good]
    return sum(length for length in lengths if length > 100)


def grams(units: list[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(units[i : i + length]) for i in range(len(units) - length + 1)]


def repeated_units(units: list[str]) -> int:
    seen: set[tuple[str, ...]] = set()
    covered: set[int] = set()
    for i, gram in enumerate(grams(units, 10)):
        if gram in seen:
            covered |= set(range(i, i + 10))
        seen.add(gram)
    return len(covered)


def duplicate_characters(lines: list[str]) -> int:
    seen: set[str] = set()
    total = 0
    for line in lines:
        key = line.translate(LOWER)
        total += visible(line) if key in seen else 0
        seen.add(key)
    return total


def measures_of(text: str) -> dict[str, float]:
    kinds = Counter(map(kind, text))
    seen = visible(text)
    letters = kinds["letter"] + kinds["latin"] + kinds["han"]
    units, lines = units_of(text), lines_of(text)
    words = [unit for unit in units if not is_han(unit[0])]
    top = Counter(grams(units, 4)).most_common(1)
    return {
        "characters": letters + kinds["digit"],
        "symbol_share": share(kinds["symbol"], seen),
        "digit_share": share(kinds["digit"], seen),
        "broken_share": share(broken(text), seen),
        "han_share": share(kinds["han"], letters),
        "latin_share": share(kinds["latin"], letters),
        "word_length": share(sum(map(len, words)), len(words)),
        "stop_word_share": share(sum(word in STOP_WORDS for word in words), len(words)),
        "function_share": share(sum(c in FUNCTION for c in text), kinds["han"]),
        "short_line_share": share(
            sum(visible(line) for line in lines if len(units_of(line)) < 5), seen
        ),
        "bullet_share": share(sum(line[0] in BULLETS for line in lines), len(lines)),
        "ellipsis_share": share(
            max(sum(line.endswith(("…", "...")) for line in lines) - 1, 0), len(lines)
        ),
        "longest_stretch": longest_stretch(text),
        "duplicate_line_share": share(duplicate_characters(lines), seen),
        "top_gram_share": min(1.0, share(4 * (top[0][1] - 1) if top else 0, len(units))),
        "repeated_share": share(repeated_units(units), len(units)),
        "run_share": share(in_runs(text), seen),
        "blob_share": share(in_blobs(text), seen),
    }
