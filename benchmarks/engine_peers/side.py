"""What every side does; all of it starts from an empty cache and picks the likeliest token."""

from collections.abc import Sequence
from typing import Protocol

Tokens = Sequence[int]


class Side(Protocol):
    """An engine with a model opened in it."""

    def read(self, tokens: Tokens) -> float:
        """Return the seconds that it takes to read a prompt, to the logits of its last token."""

    def write(self, prompts: Sequence[Tokens], count: int) -> float:
        """Return the seconds of `count` steps that each write a token after each prompt.

        Reading the prompts, which have the same length, is not timed.
        """

    def share(self, beginning: Tokens, rests: Sequence[Tokens], count: int) -> float:
        """Return the seconds that prompts take which begin alike: to read and to write.

        Args:
            beginning: what they share; it is read once.
            rests: what follows it in each, of the same length.
            count: tokens to write after each.
        """

    def serve(self, beginning: Tokens, rests: Sequence[Tokens], count: int) -> float:
        """Return the seconds that they take where nobody says what they share, as in a server."""

    def predict(self, tokens: Tokens) -> list[int]:
        """Return the likeliest next token at each position of a prompt."""

    def score(self, tokens: Tokens) -> float:
        """Return the negative log-likelihood of all tokens of a text but the first, in nats."""
