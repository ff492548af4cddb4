"""How the next token is picked from a row of logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import UserError

MAX_STOP_STRINGS = 16


@dataclass(frozen=True)
class SamplingParams:
    """What a request asks of the generation.

    Attributes:
        max_tokens: the most tokens to generate; None for what is left of the context.
        temperature: divides the logits; 0 picks the likeliest token always.
        top_p: keep the likeliest tokens that together have this probability (1904.09751).
        top_k: keep so many of the likeliest tokens; 0 keeps all.
        presence_penalty: taken off the logit of every token that was generated already.
        frequency_penalty: the same, once for each time that it was generated.
        repetition_penalty: divides the positive logits (multiplies the negative ones) of tokens
            in the prompt or the generated text (1909.05858); 1 changes nothing.
        seed: the same seed gives the same text; None draws another each time.
        stop: strings that end the text, and are left out of it.

    Raises:
        UserError: a field is out of range; the message begins with its name.
    """

    max_tokens: int | None = None
    temperature: float = 0.8
    top_p: float = 0.8
    top_k: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_range("max_tokens", 1 if self.max_tokens is None else self.max_tokens, 1)
        _check_range("temperature", self.temperature, 0, 2)
        _check_range("top_p", self.top_p, 0, 1)
        _check_range("top_k", self.top_k, 0)
        _check_range("presence_penalty", self.presence_penalty, -2, 2)
        _check_range("frequency_penalty", self.frequency_penalty, -2, 2)
        _check_range("repetition_penalty", self.repetition_penalty, 0.1, 10)
        if len(self.stop) > MAX_STOP_STRINGS or not all(self.stop):
            raise UserError(f"stop: give at most {MAX_STOP_STRINGS} strings, none of them empty")

    def new_rng(self) -> np.random.Generator:
        """Return the random numbers of one request, its own whatever else runs."""
        # The generator takes no negative seeds, the API does.
        return np.random.default_rng(None if self.seed is None else self.seed % 2**64)


def sample(
    logits: NDArray[np.floating[Any]],
    params: SamplingParams,
    rng: np.random.Generator,
    prompt: Sequence[int],
    output: Sequence[int],
) -> int:
    """Pick a token.

    Args:
        logits: (vocabulary,); the caller leaves out the vocabulary's padding.
        rng: one number is drawn from it, unless the temperature is 0.
        prompt: the tokens of the prompt.
        output: the tokens generated so far.

    Raises:
        FloatingPointError: the model gave NaN or infinite logits.
    """
    if not np.isfinite(logits).all():
        raise FloatingPointError("the model's logits are not finite")
    scores = _penalize(logits.astype(np.float64), params, prompt, output)
    if params.temperature == 0:
        return int(scores.argmax())
    kept, probabilities = _likeliest(scores, params)
    # In the order of ids, not of probabilities: then rounding moves the borders a little, where
    # two tokens that change places in a ranking would change the text.
    cumulative = probabilities.cumsum()
    place = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    return int(kept[min(place, len(kept) - 1)])


def _check_range(name: str, value: float, least: float, most: float = float("inf")) -> None:
    if not least <= value <= most:
        limits = f"at least {least}" if most == float("inf") else f"between {least} and {most}"
        raise UserError(f"{name}: {value} is not {limits}")


def _penalize(
    scores: NDArray[np.float64],
    params: SamplingParams,
    prompt: Sequence[int],
    output: Sequence[int],
) -> NDArray[np.float64]:
    if params.repetition_penalty != 1.0:
        seen = np.unique(np.array([*prompt, *output]))
        seen = seen[seen < len(scores)]
        scores[seen] *= params.repetition_penalty ** -np.sign(scores[seen])
    if output and (params.presence_penalty or params.frequency_penalty):
        used, counts = np.unique(np.array(output), return_counts=True)
        scores[used] -= params.presence_penalty + params.frequency_penalty * counts
    return scores


def _likeliest(
    scores: NDArray[np.float64], params: SamplingParams
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the ids that top_k and top_p leave, ascending, and their weights."""
    ids = np.arange(len(scores))
    if 0 < params.top_k < len(ids):
        ids = np.sort(np.argpartition(-scores, params.top_k - 1)[: params.top_k])
    # Subtract the greatest before dividing: a tiny temperature must not overflow.
    weights = np.exp((scores[ids] - scores[ids].max()) / params.temperature)
    if params.top_p < 1:
        nucleus = _nucleus(weights, params.top_p)
        ids, weights = ids[nucleus], weights[nucleus]
    return ids, weights


def _nucleus(weights: NDArray[np.float64], top_p: float) -> NDArray[np.intp]:
    """Return the places, ascending, of the fewest weights that hold top_p of their sum.

    Weights equal to the least of them stay too: which of two equals goes must not be chance.
    """
    total = weights.sum()
    # All weights below this one together are less than what is left out: they need no sorting.
    bound = (1 - top_p) * total / len(weights)
    descending = np.sort(weights[weights >= bound])[::-1]
    last = int(np.searchsorted(descending.cumsum(), top_p * total))
    return np.flatnonzero(weights >= descending[min(last, len(descending) - 1)])
