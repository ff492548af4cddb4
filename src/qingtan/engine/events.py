"""What the engine tells of a request, and the errors that it has of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import UserError

Reason = Literal["stop", "length", "cancelled"]


class ContextExceeded(UserError):  # noqa: N818 - named like the API's code
    """The prompt leaves no room for an answer in the model's context."""


class EngineClosed(RuntimeError):  # noqa: N818 - a state, not a fault
    """The engine was closed before the request was finished."""


class Cancelled(RuntimeError):  # noqa: N818 - what was asked for, not a fault
    """The request was cancelled before it was finished."""


@dataclass(frozen=True)
class Usage:
    """Tokens of the prompt, how many of them the cache held, and tokens generated.

    The token that ended the text counts.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True)
class TokenLogprob:
    """How likely the model, at temperature 1, found a token.

    Attributes:
        token: its id.
        logprob: the natural logarithm of its probability.
        top: the likeliest tokens at its place and their logprobs, the likeliest first.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Delta:
    """More of the text. `tokens` are those sampled since the last one; the text may be empty.

    `logprobs`, where they were asked for, are those of the tokens.
    """

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finished:
    """The end: a stop token or string, the limit of tokens, or a cancellation."""

    reason: Reason
    usage: Usage


@dataclass(frozen=True)
class Scored:
    """The end of a scoring: the logprobs of the tokens from the first one asked for."""

    logprobs: tuple[float, ...]


@dataclass(frozen=True)
class Encoded:
    """The end of an encoding: the mean of the last hidden states, float32 (hidden_size,)."""

    vector: NDArray[np.float32]


@dataclass(frozen=True)
class Failed:
    """The end: something broke, and the engine's log says what."""

    error: Exception


Event = Delta | Finished | Scored | Encoded | Failed
OnEvent = Callable[[Event], None]
