"""Characters and lines: decoding, cleaning, and joining what a page's width has torn apart."""

import codecs
import re
import unicodedata
from collections.abc import Iterable

from qingtan.i18n import tr
from qingtan.knowledge.reading.limits import Unreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Ends of lines, and spaces that stand for one.
_NEWLINES = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f]")
# What nobody sees: controls, formats (zero width, directions, tags), surrogates, private use and
# noncharacters. Hidden characters can carry words that only a machine reads.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ufe00-\ufe0f\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufffe"
    "\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff]"
)
# Scripts that are written without spaces, with their punctuation and full-width forms.
_SPACELESS = re.compile(
    "[\u2e80-\u2fdf\u3000-\u30ff\u3100-\u312f\u31a0-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\ufe10-\ufe1f\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6\U00020000-\U0003ffff]"
)
_HYPHENATED = re.compile("[^\\W\\d_][-\u2010]$")


def decode(data: bytes, declared: str = "") -> str:
    """Decode a text in the encoding of its byte order mark, else as declared, UTF-8 or GB 18030.

    Args:
        declared: an encoding that the file or the server names; a wrong one is passed over.

    Raises:
        Unreadable: the bytes are no text in any of them.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding).removeprefix("\ufeff")
            except UnicodeDecodeError:
                break
    for encoding in (declared, "utf-8", "gb18030"):
        try:
            text = data.decode(encoding) if encoding else "\0"
        except (LookupError, UnicodeError, ValueError):
            continue
        if text.count("\0") * 20 <= len(text):  # else it is in another encoding, or no text
            return text
    raise Unreadable(
        tr(
            "is no text in UTF-8, UTF-16 or GB 18030; save it as UTF-8",
            "不是UTF-8、UTF-16或GB 18030编码的文本，请另存为UTF-8编码",
        )
    )


def clean(text: str) -> str:
    """Return the characters that people see, composed (NFC), with lines ended by "\\n"."""
    if text.isascii() and text.isprintable():
        return text
    text = _SPACES.sub(" ", _NEWLINES.sub("\n", text))
    return unicodedata.normalize("NFC", _UNSEEN.sub("", text))


def is_spaceless(character: str) -> bool:
    """Return whether a character is of a script that is written without spaces."""
    return _SPACELESS.match(character) is not None


def join(lines: Iterable[str]) -> str:
    """Join the lines of a paragraph: in Chinese with nothing, else with a space.

    A word that was hyphenated at the end of a line is put together again.
    """
    text = ""
    for line in map(str.strip, lines):
        if not line or not text:
            text += line
        elif _HYPHENATED.search(text[-2:]) and line[0].islower():
            text = text[:-1] + line
        else:
            spaceless = is_spaceless(text[-1]) or is_spaceless(line[0])
            text += line if spaceless else f" {line}"
    return text


def one_line(text: str) -> str:
    """Return a text without line breaks and repeated spaces."""
    return join(" ".join(line.split()) for line in clean(text).split("\n"))


def width(text: str) -> int:
    """Return how many columns a text takes where a Chinese character takes two."""
    return sum(2 if is_spaceless(character) else 1 for character in text)
