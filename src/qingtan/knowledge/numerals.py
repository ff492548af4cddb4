"""Chinese numerals, as laws number their articles and people write amounts."""

import re

_DIGITS = {
    **{digit: value for value, digit in enumerate("零一二三四五六七八九")},
    **{digit: value for value, digit in enumerate("零壹贰叁肆伍陆柒捌玖")},
    **{digit: value for value, digit in enumerate("〇１２３４５６７８９")},
    "０": 0,
    "两": 2,
}
_UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_WAN, _YI = 10_000, 100_000_000
NUMERAL = "[零〇一二三四五六七八九十百千万亿两壹贰叁肆伍陆柒捌玖拾佰仟]"
_ARABIC = re.compile(r"第\s*(\d{1,5})\s*(条|章|节|编|款|项)")


def read_numeral(text: str) -> int | None:
    """Return the number that a numeral such as 一百七十, 二〇二四 or 170 means; None if none."""
    if text.isascii() and text.isdigit():
        return int(text)
    if not text or any(c not in _DIGITS and c not in _UNITS and c not in "万亿" for c in text):
        return None
    if all(c in _DIGITS for c in text):
        return int("".join(str(_DIGITS[c]) for c in text))
    total = part = digit = 0
    for character in text:
        if character in _DIGITS:
            digit = _DIGITS[character]
        elif character in _UNITS:
            # 十五 has no digit before its unit; 一百零五 has one that is 0.
            part += (digit or 1) * _UNITS[character]
            digit = 0
        else:
            value, part, digit = part + digit, 0, 0
            # 一万亿 is ten thousand times 亿, but 三亿零二万 three times 亿 and two times 万.
            total = (total + value) * _YI if character == "亿" else total + value * _WAN
    return total + part + digit


def write_numeral(number: int) -> str:
    """Return a number from 1 to 99,999 as laws write it: 170 is 一百七十, 15 十五."""
    digits = "零一二三四五六七八九"
    text, rest, gap = "", number, False
    for value, unit in ((10_000, "万"), (1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, rest = divmod(rest, value)
        if digit:
            text += ("零" if gap and text else "") + digits[digit] + unit
        gap = not digit
    return text[1:] if text.startswith("一十") else text


def spell_articles(text: str) -> str:
    """Return a text with 第170条 as 第一百七十条, as it stands in laws."""
    return _ARABIC.sub(
        lambda match: f"第{write_numeral(int(match[1]))}{match[2]}" if int(match[1]) else match[0],
        text,
    )
