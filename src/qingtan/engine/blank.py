"""A text with a blank, as blank infilling (2103.10360) writes it for a model to fill.

`[gMASK] sop`, the text with `[MASK]` in the place of the blank, and then `sop`: what follows, up to
`eop`, stands in the blank. Only a model that was trained with blanks knows this form.
"""

from qingtan.glm.tokenizer import GLMTokenizer

# A SentencePiece vocabulary cannot hold a piece with this character, so the tokens after it are
# the same whatever stands before it.
_SEPARATOR = "\0"


def encode_blank(tokenizer: GLMTokenizer, after: str) -> list[int]:
    """Return a blank, the text after it, and `sop`: what goes behind the tokens before a blank.

    Those begin with `[gMASK] sop`, and then these are the tokens of one text with a piece of it
    masked: the space that the encoder puts before every text is not put before `after`.
    """
    mask = tokenizer.special_id("[MASK]")
    return [mask, *_encode_inside(tokenizer, after), tokenizer.sop_id]


def blank_end(tokenizer: GLMTokenizer) -> int:
    """Return the token that ends what stands in a blank, `eop`."""
    return tokenizer.special_id("eop")


def _encode_inside(tokenizer: GLMTokenizer, text: str) -> list[int]:
    """Encode what stands inside a text, and so gets no space before it."""
    return tokenizer.encode(_SEPARATOR + text)[len(tokenizer.encode(_SEPARATOR)) :]
