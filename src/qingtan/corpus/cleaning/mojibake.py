"""Mojibake: text that was decoded with another encoding than it was written in.

UTF-8 read as Latin-1 or Windows-1252 is ftfy's to repair. Where GBK was mixed up with another
encoding, a line is decoded back, and taken if that succeeds and gives ordinary Chinese.
"""

import re
from collections.abc import Iterable
from functools import cache

from ftfy import TextFixerConfig, fix_encoding

# Only what decodes back entirely: no guessing at lost bytes, nothing but encodings.
_ENCODING_ONLY = TextFixerConfig(
    replace_lossy_sequences=False, fix_c1_controls=False, explain=False, max_decode_length=1 << 30
)

# How Windows-1252 and Latin-1 show the second byte of a character in UTF-8.
_CONTINUATIONS = bytes(range(0x80, 0xC0)).decode("sloppy-windows-1252") + "\x80-\xbf"
# Two ideographs of GB 2312 as Latin-1 shows them: four letters with accents or signs in a row.
_LATIN_PAIRS = r"[\xa1-\xfe][\xb0-\xf7][\xa1-\xfe]"

# The share of a line's ideographs that must be common ones for it to be ordinary Chinese.
_COMMON_SHARE = 0.8
_IDEOGRAPH = re.compile("[\u4e00-\u9fff]")
_UNUSUAL = re.compile(
    "[^\t\x20-\x7e\u4e00-\u9fff\u3000-\u3029\u3041-\u30ff\u2500-\u25ff\uff01-\uff5e\uffe5\u2010-\u2026·×÷°℃‰①-⑳Ⅰ-Ⅻ]"
)


def repair_mojibake(text: str) -> str:
    """Return the text with the lines repaired that were decoded with the wrong encoding."""
    if text.isascii() or not _suspects().search(text):
        return text
    return "\n".join(map(_repair_line, text.split("\n")))


def _repair_line(line: str) -> str:
    suspect = None if line.isascii() else _suspects().search(line)
    if not suspect:
        return line
    if suspect[0] > "\xff":
        return _decode_back(line, "gb18030", "utf-8")
    for wrong in ("latin-1", "sloppy-windows-1252"):
        decoded = _decode_back(line, wrong, "gb18030")
        if decoded != line:
            return decoded
    return fix_encoding(line, _ENCODING_ONLY)


def _decode_back(line: str, wrong: str, right: str) -> str:
    """Return the line read with the right encoding if that makes Chinese of it, or else as is."""
    try:
        decoded = line.encode(wrong).decode(right)
    except UnicodeError:
        return line
    return decoded if _is_chinese(decoded) and not _is_chinese(line) else line


def _is_chinese(line: str) -> bool:
    """Tell whether a line has at least two ideographs, mostly common, and nothing unusual."""
    ideographs = len(_IDEOGRAPH.findall(line))
    if ideographs < 2 or _UNUSUAL.search(line):
        return False
    return len(_common().findall(line)) >= _COMMON_SHARE * ideographs


@cache
def _common() -> re.Pattern[str]:
    """Return the class of the first levels of GB 2312 and of Big5: 3,755 and 5,401 ideographs."""
    simplified = _decoded("gb2312", range(0xB0, 0xD8), range(0xA1, 0xFF))
    traditional = _decoded("big5", range(0xA4, 0xC7), range(0x40, 0xFF))
    return re.compile(f"[{''.join(filter(_IDEOGRAPH.match, simplified + traditional))}]")


@cache
def _suspects() -> re.Pattern[str]:
    """Return a pattern found in every line that can be repaired, and rarely elsewhere.

    UTF-8 writes Chinese in threes of bytes, E2 to E9 or EF and then two of 80 to BF. As GBK, the
    first two are one character and the third begins the next.
    """
    first = _decoded("gb18030", [*range(0xE2, 0xEA), 0xEF], range(0x80, 0xC0))
    second = _decoded("gb18030", range(0x81, 0xC0), range(0x40, 0xFF))
    # The multiplication sign, D7, stands before signs of its own accord and would become Hebrew.
    # A class at the very beginning lets the search skip everything else quickly.
    return re.compile(
        rf"[\xb0-\xf7{first}](?:(?<=[\xc2-\xd6\xd8-\xf4])[{_CONTINUATIONS}]"
        rf"|(?<=[\xb0-\xf7]){_LATIN_PAIRS}|(?<=[{first}])[{second}])"
    )


def _decoded(encoding: str, leads: Iterable[int], trails: range) -> str:
    """Return the characters of one kind of two-byte codes."""
    codes = (bytes((lead, trail)) for lead in leads for trail in trails)
    characters = (code.decode(encoding, "ignore") for code in codes)
    return "".join(re.escape(c) for c in characters if len(c) == 1 and not c.isascii())
