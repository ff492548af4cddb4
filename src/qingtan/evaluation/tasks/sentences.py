"""Where the first sentence of a text ends, for the baselines that answer with it."""

import re

# A sentence ends at a Chinese mark, at a line's end, or at a Latin mark before white space or
# before an ideograph, as in abstracts, but not within 2.5.
_SENTENCE = re.compile(r".+?(?:[。！？\n]|[.!?](?=[\s\u4e00-\u9fff]|$)|$)", re.DOTALL)


def first_sentence(text: str) -> str:
    """Return a text up to its first full stop, question or exclamation mark, or line's end."""
    match = _SENTENCE.match(text.strip())
    return match[0].strip() if match else ""
