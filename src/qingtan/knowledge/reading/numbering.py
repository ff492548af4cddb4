"""The numbers that Word writes before paragraphs: they are not in the text, and are counted here.

Laws and contracts often number their articles so ("第%1条"). Formats as in ECMA-376, part 1, 17.9
and 17.18.59.
"""

from dataclasses import dataclass, field
from typing import Any

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_DIGITS = "零一二三四五六七八九"
_STEMS = "甲乙丙丁戊己庚辛壬癸"
_BRANCHES = "子丑寅卯辰巳午未申酉戌亥"
_CIRCLED = "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳"
_ROMAN = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"),
    (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip
_CHINESE = (
    "chineseCounting", "chineseCountingThousand", "japaneseCounting", "taiwaneseCounting",
    "taiwaneseCountingThousand", "ideographDigital",
)  # fmt: skip
_LEVELS = 9


@dataclass(slots=True)
class _Level:
    start: int = 1
    format: str = "decimal"
    text: str = ""


@dataclass(slots=True)
class _List:
    levels: dict[int, _Level] = field(default_factory=dict)
    counters: dict[int, int] = field(default_factory=dict)


class Numbering:
    """Counts the numbered paragraphs of a document, which are given in their order."""

    def __init__(self, part: Any) -> None:
        """Read the definitions of lists; `part` is numbering.xml's root, or None."""
        abstract: dict[str, _List] = {}
        self._lists: dict[str, _List] = {}
        for each in () if part is None else part.iter(f"{_W}abstractNum"):
            abstract[_value(each, "abstractNumId")] = _List(
                {_depth(level): _read_level(level) for level in each.iter(f"{_W}lvl")}
            )
        for each in () if part is None else part.iter(f"{_W}num"):
            base = each.find(f"{_W}abstractNumId")
            found = abstract.get(_value(base, "val")) if base is not None else None
            if found is not None:
                self._lists[_value(each, "numId")] = _overridden(found, each)

    def label(self, number: str, depth: int) -> str:
        """Count a paragraph of a list, and return what stands before it; nothing for bullets."""
        found = self._lists.get(number)
        if found is None or depth not in found.levels:
            return ""
        level = found.levels[depth]
        found.counters[depth] = found.counters.get(depth, level.start - 1) + 1
        for deeper in [each for each in found.counters if each > depth]:
            del found.counters[deeper]
        if level.format in ("bullet", "none"):
            return ""
        text = level.text
        for each in range(min(depth, _LEVELS - 1) + 1):
            other = found.levels.get(each, _Level())
            count = found.counters.get(each, other.start)
            text = text.replace(f"%{each + 1}", format_number(count, other.format))
        return text.strip()


def _overridden(base: _List, num: Any) -> _List:
    """Return a list of its own where this use starts it anew; else the counters are shared."""
    starts = {
        _depth(each): _number(each.find(f"{_W}startOverride"))
        for each in num.iter(f"{_W}lvlOverride")
        if each.find(f"{_W}startOverride") is not None
    }
    if not starts:
        return base
    levels = {
        depth: _Level(starts.get(depth, level.start), level.format, level.text)
        for depth, level in base.levels.items()
    }
    return _List(levels)


def _read_level(level: Any) -> _Level:
    text, form = level.find(f"{_W}lvlText"), level.find(f"{_W}numFmt")
    start = level.find(f"{_W}start")
    return _Level(
        1 if start is None else _number(start),
        "decimal" if form is None else _value(form, "val"),
        "" if text is None else _value(text, "val"),
    )


def _value(element: Any, name: str) -> str:
    return str(element.get(f"{_W}{name}") or "")


def _number(element: Any) -> int:
    value = _value(element, "val")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 9 else 1


def _depth(element: Any) -> int:
    value = _value(element, "ilvl")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 3 else 0


def format_number(number: int, form: str) -> str:
    """Return a number as a list writes it; an unknown form is written in digits."""
    if form in _CHINESE:
        return chinese(number)
    if form in ("upperRoman", "lowerRoman") and 0 < number < 4000:
        roman = _roman(number)
        return roman if form == "upperRoman" else roman.lower()
    if form in ("upperLetter", "lowerLetter") and 0 < number <= 26 * 100:
        letter = chr(ord("A") + (number - 1) % 26) * ((number - 1) // 26 + 1)
        return letter if form == "upperLetter" else letter.lower()
    if form == "ideographTraditional" and number > 0:
        return _STEMS[(number - 1) % len(_STEMS)]
    if form == "ideographZodiac" and number > 0:
        return _BRANCHES[(number - 1) % len(_BRANCHES)]
    if form.startswith("decimalEnclosedCircle") and 0 < number <= len(_CIRCLED):
        return _CIRCLED[number - 1]
    if form == "decimalZero":
        return f"{number:02}"
    if form == "decimalFullWidth":
        return "".join(chr(ord(digit) + 0xFEE0) for digit in str(number))
    return str(number)


def _roman(number: int) -> str:
    result = ""
    for value, sign in _ROMAN:
        count, number = divmod(number, value)
        result += sign * count
    return result


def chinese(number: int) -> str:
    """Return a number below 10,000 in Chinese, as laws number their articles; others in digits."""
    if not 0 < number < 10_000:
        return str(number)
    text, pending = "", False
    for unit, sign in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, number = divmod(number, unit)
        if digit:
            text += ("零" if pending else "") + _DIGITS[digit] + sign
        pending = bool(text) and not digit
    return text.removeprefix("一") if text.startswith("一十") else text
