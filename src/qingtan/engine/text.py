"""From generated tokens to text that may be passed on, up to a stop string."""

from collections.abc import Sequence

from qingtan.glm.tokenizer import GLMTokenizer, StreamDecoder


class TextStream:
    """Decodes a generation token by token, and ends it at a stop string.

    A character cut across tokens waits until it is whole, and text that could begin a stop string
    until it is clear that it does not.

    Args:
        before: the tokens that the text stands after when it is read: of a prompt to continue its
            tokens, of a blank those on its left.
        stop: the strings to stop at; they are left out.
        stop_at_start: whether stop strings count before the first character that is no white
            space. A chat's answer begins with a line break that belongs to the format.

    Attributes:
        stopped: a stop string was met; nothing more is to be fed.
    """

    def __init__(
        self,
        tokenizer: GLMTokenizer,
        before: Sequence[int],
        stop: Sequence[str] = (),
        stop_at_start: bool = True,
    ) -> None:
        self._decoder = StreamDecoder(tokenizer)
        # The decoder takes away a space at the start of a text. After tokens that end in text
        # this is no start: "Hello" goes on with " world".
        self._decoder.feed(before[-1])
        self._stop = tuple(stop)
        self._searching = stop_at_start
        self._held = ""
        self.stopped = False

    def feed(self, token: int) -> str:
        """Return the text that may be passed on with this token, perhaps none."""
        return self._pass_on(self._decoder.feed(token), final=False)

    def finish(self) -> str:
        """Return what was held back; the rest of a broken character is U+FFFD."""
        return "" if self.stopped else self._pass_on(self._decoder.finish(), final=True)

    def _pass_on(self, text: str, final: bool) -> str:
        if not self._searching:
            rest = text.lstrip()
            self._searching = bool(rest)
            start = text[: len(text) - len(rest)]
            return start + (self._search(rest, final) if rest else "")
        return self._search(text, final)

    def _search(self, text: str, final: bool) -> str:
        text = self._held + text
        found = [(text.index(stop), len(stop)) for stop in self._stop if stop in text]
        if found:
            # The one that is complete first: so it does not matter where tokens begin and end.
            self.stopped = True
            return text[: min(found, key=sum)[0]]
        ready = len(text) - (0 if final else self._beginning_of_stop(text))
        self._held = text[ready:]
        return text[:ready]

    def _beginning_of_stop(self, text: str) -> int:
        """Return the length of the longest end of the text that begins a stop string."""
        longest = max(map(len, self._stop), default=1) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stop):
                return length
        return 0
