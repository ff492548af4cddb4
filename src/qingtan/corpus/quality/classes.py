"""What kind of character each one is, for the measures."""

import unicodedata
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray


class Kind(IntEnum):
    """Kinds of characters, in an order that makes a group of them a range."""

    LINE_BREAK = 0
    SPACE = 1  # and characters of no width
    BROKEN = 2  # controls, private use, halves of surrogate pairs, U+FFFD
    SYMBOL = 3
    PUNCTUATION = 4
    DIGIT = 5
    LETTER = 6  # other than Latin and Han; combining marks too
    LATIN = 7
    LEAD = 8  # Latin letters that are the first byte of misread UTF-8
    HAN = 9
    FUNCTION = 10  # Han characters that hold sentences together
    SUSPECT = 11  # Han characters that are known from misread text


# Of a sentence, in any of its languages; every other mark is a symbol.
PUNCTUATION = frozenset(
    ",.!?;:'\"()-，。！？；：、…—·“”‘’（）《》〈〉「」『』【】〔〕–‹›«»¿¡،؛؟।॥։。､"
)
# Without them Chinese is a list of names or a menu: particles, pronouns, prepositions,
# conjunctions, modal verbs; those of the literary language too. Simplified and traditional. Left
# out: those that are common in names (上海, 中国).
FUNCTION = frozenset(
    "的了是在我你您他她它们們这這那个個和与與或及有不没沒就也都还還要会會能可以把被让讓给給对對从從"
    "到向于於由为為因所如但而且则則并並使其之者此该該等得着著很更只才又再"
    "吗嗎呢吧啊么麼什谁誰哪怎说說曰乎焉矣哉兮乃亦若何无無未莫皆尔爾吾汝夫岂豈"
)
# What UTF-8 and GBK give when one is read as the other, and uninitialised memory read as GBK.
MISREAD = ("锟斤拷", "烫烫烫", "屯屯屯")


@cache
def kind_table() -> NDArray[np.uint8]:
    """Return (0x110000,) uint8: the `Kind` of every code point."""
    table = np.full(0x110000, Kind.SYMBOL, np.uint8)
    table[0x20000:0x40000] = Kind.HAN
    table[0xE0000:0xE0200] = Kind.SPACE  # tags and selectors of glyphs
    table[0xF0000:] = Kind.BROKEN  # private use
    for code in range(0x20000):
        table[code] = _kind(code)
    return table


def _kind(code: int) -> Kind:
    character = chr(code)
    category = unicodedata.category(character)
    if character == "\n":
        return Kind.LINE_BREAK
    if character.isspace() or category == "Cf":
        return Kind.SPACE
    if category in ("Cc", "Co", "Cs") or code == 0xFFFD:
        return Kind.BROKEN
    if character in PUNCTUATION:
        return Kind.PUNCTUATION
    if 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or character in "〇々":
        return _han(character)
    if category[0] == "N":
        return Kind.DIGIT
    if category[0] in "LM":
        return _letter(code)
    return Kind.SYMBOL


def _han(character: str) -> Kind:
    if character in FUNCTION:
        return Kind.FUNCTION
    return Kind.SUSPECT if any(character == text[0] for text in MISREAD) else Kind.HAN


def _letter(code: int) -> Kind:
    if 0xC2 <= code <= 0xF4:
        return Kind.LEAD
    latin = code <= 0x24F or 0x1E00 <= code <= 0x1EFF or 0xFF21 <= code <= 0xFF5A
    return Kind.LATIN if latin else Kind.LETTER
