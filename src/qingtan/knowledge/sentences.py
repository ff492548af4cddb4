"""Sentences of Chinese and English text, so that nothing between them is lost."""

import re

# The end of a sentence with the quotation marks and brackets that close after it. A point ends one
# only before white space, and not after a single letter or a number, as in "J. Smith" or "1. 步骤".
_END = re.compile(
    r"""(?:[。！？!?]|…+|(?<=[^\W\d_]{2})\.(?=\s|$)|(?<=[\)\]”"])\.(?=\s|$))"""
    r"""[。！？!?…]*["”’」』）)】》]*[ \t\u3000]*|\n+"""
)


def split_sentences(text: str) -> list[str]:
    """Return a text's sentences, each with what follows it; joined they are the text again.

    A line's end is one, too.
    """
    sentences, start = [], 0
    for end in _END.finditer(text):
        sentences.append(text[start : end.end()])
        start = end.end()
    if start < len(text):
        sentences.append(text[start:])
    return sentences
