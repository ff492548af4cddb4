"""Characters: one code point for one meaning, nothing invisible, tidy spaces and lines.

The folding is NFKC (Unicode Standard Annex 15) without the decompositions that lose meaning
(10² is not 102), and with Chinese punctuation kept wide.
"""

import re
import unicodedata
from functools import cache

# Decompositions that only undo a width, a position in a word or a direction of writing.
_FOLDED_TAGS = {"<wide>", "<narrow>", "<small>", "<vertical>"}
_FOLDED_TAGS |= {"<initial>", "<medial>", "<final>", "<isolated>"}

# Among the compatibility characters proper, those that are other ways to write the same letters:
# the micro sign, digraphs, radicals that stand for ideographs, typographic ligatures.
_FOLDED_COMPATIBILITY = (
    "\u00b5\u0132\u0133\u01c4-\u01cc\u01f1-\u01f3\u2e80-\u2fdf"
    "\ufb00-\ufb4f\ufb50-\ufdff\ufe70-\ufefc"
)

# Wide forms that are Chinese punctuation, and ︰, which old Chinese texts use as a colon.
_CHINESE_PUNCTUATION = set("！（），：；？［］｛｝～￥") | {"\ufe30"}

# Narrow punctuation that the small and vertical forms of Chinese punctuation decompose to.
_WIDE_FORMS = str.maketrans("!(),:;?[]{}", "！（），：；？［］｛｝")

# Format characters that are seen: Arabic, Syriac and Kaithi signs over numbers, Mongolian and
# Egyptian ones that shape what stands beside them.
_SEEN_FORMATS = (
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u180e\U000110bd\U000110cd\U00013430-\U0001343f"
)

# Blank or without a glyph of their own, though their category says otherwise: the combining
# grapheme joiner, Hangul fillers, the object replacement character.
_BLANKS = {"\u034f", "\u3164", "\uffa0", "\ufffc"}

_LINE_BREAKS = {"\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"}
_JOINERS = "\u200c\u200d"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_TAGS = "\U000e0020-\U000e007f"

# Characters, emoji among them, that may be followed by a selector or be joined to another.
_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2934\u2935"
    "\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
# Scripts whose letters joiners shape: Arabic to N'Ko, those of South and South-East Asia,
# Mongolian.
_JOINED_SCRIPTS = "\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff\u1800-\u18af\ua840-\ua87f"

# Selectors, joiners and tags with the characters that give them a meaning, or else alone.
_SEQUENCES = re.compile(
    rf"(\U0001f3f4[{_TAGS}]+(?<=\U000e007f)"
    rf"|[{_EMOJI}][\ufe0e\ufe0f]?(?:\u200d[{_EMOJI}][\ufe0e\ufe0f]?)*"
    rf"|[0-9#*]\ufe0f(?=\u20e3)"
    rf"|[{_JOINED_SCRIPTS}][{_JOINERS}])"
    rf"|[{_JOINERS}{_SELECTORS}{_TAGS}]"
)
_SEQUENCE_MARKS = re.compile(f"[{_JOINERS}{_SELECTORS}{_TAGS}]")

_ASCII_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_INDENTS = re.compile(r"^[ \t]*\u3000[ \t\u3000]*", re.MULTILINE)
# Looking back keeps a long run of spaces from being tried at each of its places.
_TRAILING = re.compile(r"(?<![ \t])[ \t]+$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")


def tidy_characters(text: str) -> str:
    """Return the text with ordinary, visible characters and tidy lines.

    Removed: controls, format characters, private use, noncharacters, halves of surrogate pairs,
    ideographs' variation selectors, ideographic spaces that begin a line, spaces that end one,
    blank lines after a blank line. Line separators become a line feed, other spaces a space.
    """
    suspects = _ASCII_CONTROL if text.isascii() else _suspects()
    if suspects.search(text):
        text = _fold(text)
    if " \n" in text or "\t\n" in text:
        text = _TRAILING.sub("", text)
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return text.strip()


def _fold(text: str) -> str:
    text = text.replace("\r\n", "\n")
    text = _suspects().sub(lambda match: _image(match[0]), text)
    if _SEQUENCE_MARKS.search(text):
        text = _SEQUENCES.sub(lambda match: match[1] or "", text)
    text = unicodedata.normalize("NFC", text)
    if "\u3000" in text:
        text = _INDENTS.sub("", text).replace("\u3000", " ")
    return text


@cache
def _suspects() -> re.Pattern[str]:
    """Return a class of characters without which a text has nothing to fold or to compose.

    Beyond the basic plane it is coarse, which is faster; ideographs and emoji are not in it.
    """
    basic = map(chr, range(0x10000))
    wanted = "".join(re.escape(c) for c in basic if _image(c) != c or _composes(c))
    beyond = "\U00010000-\U0001efff\U0001fffe\U0001ffff\U0002f800-\U0002ffff\U0003fffe-\U0010ffff"
    return re.compile(f"[{wanted}\u3000{_JOINERS}\ufe00-\ufe0f{beyond}]")


def _composes(character: str) -> bool:
    """Tell whether a character may combine with the one before it."""
    return not unicodedata.is_normalized("NFC", "a" + character) or (
        unicodedata.combining(character) != 0
        or unicodedata.category(character) in ("Mn", "Mc")
        or "\u1160" <= character <= "\u11ff"
    )


_KEPT = re.compile(f"[{_SEEN_FORMATS}{_JOINERS}{_TAGS}\u3000\t\n]")
_COMPATIBILITY = re.compile(f"[{_FOLDED_COMPATIBILITY}]")


@cache
def _image(character: str) -> str:
    """Return what a single character becomes: itself, another, several or nothing."""
    if _KEPT.match(character):
        return character
    if character in _LINE_BREAKS:
        return "\n"
    category = unicodedata.category(character)
    if (
        category in ("Cc", "Cf", "Cs", "Co")
        or character in _BLANKS
        or _never_a_character(character)
    ):
        return ""
    if category == "Zs":
        return " "
    return unicodedata.normalize("NFC", _decompose(character))


def _never_a_character(character: str) -> bool:
    """Tell whether Unicode reserves a code point for no character at all."""
    return ord(character) & 0xFFFE == 0xFFFE or "\ufdd0" <= character <= "\ufdef"


def _decompose(character: str) -> str:
    """Return the character or, where that loses no meaning, what it is a form of."""
    tag, _, codes = unicodedata.decomposition(character).partition(" ")
    folded = tag in _FOLDED_TAGS or (tag == "<compat>" and _COMPATIBILITY.match(character))
    if not folded or character in _CHINESE_PUNCTUATION:
        return character
    parts = "".join(_decompose(chr(int(code, 16))) for code in codes.split())
    if " " in parts:
        return character  # a mark of its own, such as an accent without a letter
    return parts.translate(_WIDE_FORMS) if tag in ("<small>", "<vertical>") else parts
