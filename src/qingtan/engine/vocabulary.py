"""A tokenizer's vocabulary as llguidance needs it, and masks over it."""

from collections.abc import Iterable

import numpy as np
from llguidance import LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from qingtan.glm.tokenizer import GLMTokenizer

# llguidance has all text that is certain encoded anew for each token; no more than this is.
_CERTAIN_CHARACTERS = 512
# The last tokens of a text that was cut off might be others in the whole.
_UNSURE_TOKENS = 8


class Vocabulary:
    """A tokenizer's tokens as llguidance needs them, and sets of them as masks.

    Attributes:
        tokenizer: llguidance's.
        words: the length of a mask. Bit i % 32 of its word i // 32 is of
            token i.
        text: the tokens that stand for text; the others are special tokens and controls.
        spaced: those whose text begins with a space.
    """

    def __init__(self, tokenizer: GLMTokenizer) -> None:
        encoder = _Encoder(tokenizer)
        self.tokenizer = LLTokenizer(TokenizerWrapper(encoder))
        self.words = mask_words(tokenizer)
        self.text = self.bits(i for i, text in enumerate(encoder.tokens) if text)
        self.spaced = self.bits(i for i, text in enumerate(encoder.tokens) if text[:1] == b" ")

    def bits(self, tokens: Iterable[int]) -> NDArray[np.int32]:
        """Return a mask of these tokens."""
        flags = np.zeros(self.words * 32, np.uint8)
        flags[list(tokens)] = 1
        return np.packbits(flags, bitorder="little").view("<i4").astype(np.int32)

    def is_text(self, token: int) -> bool:
        """Return whether a token stands for text."""
        return is_set(self.text, token)


class _Encoder:
    """The tokenizer as llguidance asks for one; what TokenizerWrapper is made of.

    Special tokens have no bytes here, so no grammar's text can become one.
    """

    bos_token_id = None

    def __init__(self, tokenizer: GLMTokenizer) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = tokenizer.eos_id
        self.tokens = [tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)]
        self._of_byte = {text[0]: i for i, text in enumerate(self.tokens) if len(text) == 1}

    def __call__(self, data: bytes) -> list[int]:
        """Encode text within a text, so without the space before it; of a long one, the start."""
        text = data.decode()
        ids = self._encode(text[:_CERTAIN_CHARACTERS])
        return ids[:-_UNSURE_TOKENS] if len(text) > _CERTAIN_CHARACTERS else ids

    def _encode(self, text: str) -> list[int]:
        # Nothing merges with a line break, so after one the tokens are those within a text.
        ids = self._tokenizer.encode("\n" + text)[len(self._tokenizer.newline) :]
        data = text.encode()
        if b"".join(self.tokens[i] for i in ids) == data:
            return ids
        # SentencePiece takes U+2581 for a space, which it is not.
        return [self._of_byte[byte] for byte in data]


def is_set(mask: NDArray[np.int32], token: int) -> bool:
    """Return whether a token is in a mask."""
    return 0 <= token < len(mask) * 32 and bool(int(mask[token // 32]) >> token % 32 & 1)


def tokens_of(mask: NDArray[np.int32]) -> list[int]:
    """Return the tokens in a mask, in order."""
    flags = np.unpackbits(mask.astype("<i4").view(np.uint8), bitorder="little")
    return [int(token) for token in np.flatnonzero(flags)]


def mask_words(tokenizer: GLMTokenizer) -> int:
    """Return the length of a mask over a tokenizer's vocabulary, in words of 32 bits."""
    return -(-tokenizer.vocab_size // 32)
