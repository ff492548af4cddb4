"""Which tokens a choice's text is made of, and how likely each of them was, in OpenAI's forms.

The text that is shown is a part of what the tokens spell: the line of metadata, a space at the
start and white space at both ends are the format's, and a stop string is left out. The tokens
follow the text, so the bytes of those that are told, joined, are the text. A token of which only
a part is shown is told with the bytes of that part.
"""

import codecs
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qingtan.engine.events import TokenLogprob
from qingtan.glm.tokenizer import GLMTokenizer

Json = dict[str, Any]
# JSON has no infinity; OpenAI tells of what is impossible by this number.
_LEAST_LOGPROB = -9999.0


@dataclass(frozen=True)
class ShownToken:
    """A token of a text that is shown.

    Attributes:
        data: the part of its bytes that is shown.
        offset: the characters of the text before it.
        drawn: its id, its logprob and the likeliest tokens at its place.
        cut: bytes at its start that are not shown, nor are they where another of the likeliest
            tokens starts with them.
    """

    data: bytes
    offset: int
    drawn: TokenLogprob
    cut: bytes = b""


@dataclass(frozen=True)
class _Pending:
    """A token that is not shown yet, and the characters that it completes, perhaps none."""

    drawn: TokenLogprob
    data: bytes
    text: str
    cut: bytes = b""


class ShownTokens:
    """Finds the tokens of one choice's text, piece by piece.

    Args:
        trim: takes away from the start of what all tokens spell what is never shown.
    """

    def __init__(self, tokenizer: GLMTokenizer, trim: Callable[[str], str]) -> None:
        self._tokenizer = tokenizer
        self._trim = trim
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending: deque[_Pending] = deque()
        self._begun = False
        self._offset = 0
        self._owed = 0  # characters shown whose tokens were not told yet

    def feed(self, drawn: Sequence[TokenLogprob]) -> None:
        """Take tokens as they are drawn."""
        for each in drawn:
            data = self._tokenizer.token_bytes(each.token)
            self._pending.append(_Pending(each, data, self._utf8.decode(data)))

    def take(self, text: str, *, final: bool = False) -> list[ShownToken]:
        """Return the tokens that are shown to their ends with another piece of the text.

        Args:
            final: this is the last piece; a token of which only a part is shown comes too.
        """
        if text and not self._begun:
            self._begun = True
            self._drop_start()
        self._owed += len(text)
        taken = []
        while self._pending and self._owed and (final or self._next_is_whole()):
            taken.append(self._show(self._pending.popleft()))
        return taken

    def _next_is_whole(self) -> bool:
        return len(self._pending[0].text) <= self._owed

    def _show(self, token: _Pending) -> ShownToken:
        shown = token.text[: self._owed]
        data = token.data if shown == token.text else shown.encode()
        told = ShownToken(data, self._offset, token.drawn, token.cut)
        self._offset += len(shown)
        self._owed -= len(shown)
        return told

    def _drop_start(self) -> None:
        spelt = "".join(token.text for token in self._pending)
        left = len(spelt) - len(self._trim(spelt))
        while left:
            token = self._pending.popleft()
            if left < len(token.text):
                cut = token.text[:left].encode()
                rest = replace(token, data=token.data[len(cut) :], text=token.text[left:], cut=cut)
                self._pending.appendleft(rest)
            left -= min(left, len(token.text))


class Spelling:
    """Writes tokens: a special one by its name, one that is no whole character as "\\xe4"."""

    def __init__(self, tokenizer: GLMTokenizer) -> None:
        self._tokenizer = tokenizer

    def of_chat(self, tokens: Sequence[ShownToken]) -> Json:
        """Return a choice's `logprobs` in /v1/chat/completions."""
        return {"content": [self._entry(token) for token in tokens], "refusal": None}

    def of_text(self, tokens: Sequence[ShownToken]) -> Json:
        """Return a choice's `logprobs` in /v1/completions; offsets are in characters."""
        return {
            "tokens": [self._write(token.drawn.token, token.data) for token in tokens],
            "token_logprobs": [_finite(token.drawn.logprob) for token in tokens],
            "top_logprobs": [self._by_text(token) for token in tokens],
            "text_offset": [token.offset for token in tokens],
        }

    def _entry(self, token: ShownToken) -> Json:
        top = [self._told(other, self._data(other, token.cut), p) for other, p in token.drawn.top]
        own = self._told(token.drawn.token, token.data, token.drawn.logprob)
        return own | {"top_logprobs": top}

    def _told(self, token: int, data: bytes, logprob: float) -> Json:
        written = self._write(token, data)
        return {"token": written, "logprob": _finite(logprob), "bytes": list(data) or None}

    def _by_text(self, token: ShownToken) -> dict[str, float]:
        """Return the likeliest tokens, and the drawn one, which is always among them."""
        found: dict[str, float] = {}
        for other, logprob in token.drawn.top:
            found.setdefault(self._write(other, self._data(other, token.cut)), _finite(logprob))
        found.setdefault(self._write(token.drawn.token, token.data), _finite(token.drawn.logprob))
        return found

    def _data(self, token: int, cut: bytes) -> bytes:
        return self._tokenizer.token_bytes(token).removeprefix(cut)

    def _write(self, token: int, data: bytes) -> str:
        if not self._tokenizer.token_bytes(token):
            return self._tokenizer.token_name(token)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "".join(f"\\x{byte:02x}" for byte in data)


def _finite(logprob: float) -> float:
    return max(logprob, _LEAST_LOGPROB)
