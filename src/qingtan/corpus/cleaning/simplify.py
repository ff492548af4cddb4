"""Traditional characters to simplified ones, by OpenCC."""

import re
from collections.abc import Callable
from functools import cache

from opencc import OpenCC

# OpenCC takes UTF-8, which has no room for halves of surrogate pairs.
_SURROGATES = re.compile("([\ud800-\udfff]+)")


@cache
def simplifier(conversion: str) -> Callable[[str], str]:
    """Return a function that converts a text.

    Texts without a single traditional character, nearly all, are only searched for one.

    Args:
        conversion: the name of an OpenCC configuration, "t2s" for example.
    """
    # Simplified characters that few fonts have, and no vocabulary, would be no gain.
    converter = OpenCC(conversion, include_tofu_risk_dictionaries=False)
    traditional = _traditional(converter)

    def simplify(text: str) -> str:
        if not traditional.search(text):
            return text
        parts = _SURROGATES.split(text)
        parts[::2] = map(converter.convert, parts[::2])
        return "".join(parts)

    return simplify


def _traditional(converter: OpenCC) -> re.Pattern[str]:
    """Return a class of the characters that become another one where they stand alone."""
    blocks = [range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xF900, 0xFB00)]
    characters = [chr(code) for block in blocks for code in block]
    # Each on a line of its own, so that they form no words.
    converted = converter.convert("\n".join(characters)).split("\n")
    pairs = zip(characters, converted, strict=True)
    traditional = "".join(before for before, after in pairs if before != after)
    # All rare ideographs are in it: single ones among them would make every search slow.
    return re.compile(f"[{traditional}\U00020000-\U0003ffff]")
