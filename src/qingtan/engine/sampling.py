"""How the next token is picked: what a request may ask, and the sampler that does it."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qingtan.errors import UserError
from qingtan.native import Sampler

MAX_STOP_STRINGS = 16
MAX_LOGPROBS = 20
MAX_BIAS = 100
MAX_NGRAM = 1_000_000


@dataclass(frozen=True)
class SamplingParams:
    """What a request asks of the generation.

    The filters apply in the order temperature, top_k, top_p, min_p (that of transformers), after
    the biases and then the penalties.

    Attributes:
        max_tokens: the most tokens to generate; None for what is left of the context.
        temperature: divides the logits; 0 picks the likeliest token always.
        top_p: keep the likeliest tokens that together have this probability (1904.09751).
        top_k: keep so many of the likeliest tokens; 0 keeps all.
        presence_penalty: taken off the logit of every token that was generated already.
        frequency_penalty: the same, once for each time that it was generated.
        repetition_penalty: divides the positive logits (multiplies the negative ones) of tokens
            in the prompt or the generated text (1909.05858); 1 changes nothing.
        no_repeat_ngram_size: no run of so many tokens stands in the generated text twice, unless a
            grammar leaves no choice; the prompt does not count, so that it can be copied from. 0
            allows all.
        seed: the same seed gives the same text; None draws another each time.
        stop: strings that end the text, and are left out of it.
        min_p: keep the tokens of at least this part of the likeliest one's probability
            (2407.01082); 0 keeps all.
        logit_bias: pairs of a token's id and what is added to its logit, from −100 to 100.
        logprobs: how many of the likeliest tokens are reported beside each generated one, with
            the logarithms of their probabilities; None reports none at all.

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
    no_repeat_ngram_size: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    min_p: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None

    def __post_init__(self) -> None:
        _check_range("max_tokens", 1 if self.max_tokens is None else self.max_tokens, 1)
        _check_range("temperature", self.temperature, 0, 2)
        _check_range("top_p", self.top_p, 0, 1)
        _check_range("top_k", self.top_k, 0)
        _check_range("presence_penalty", self.presence_penalty, -2, 2)
        _check_range("frequency_penalty", self.frequency_penalty, -2, 2)
        _check_range("repetition_penalty", self.repetition_penalty, 0.1, 10)
        _check_range("no_repeat_ngram_size", self.no_repeat_ngram_size, 0, MAX_NGRAM)
        _check_range("min_p", self.min_p, 0, 1)
        _check_range("logprobs", self.logprobs or 0, 0, MAX_LOGPROBS)
        for token, bias in self.logit_bias:
            _check_range(f"logit_bias: token {token}", bias, -MAX_BIAS, MAX_BIAS)
        if len(dict(self.logit_bias)) < len(self.logit_bias):
            raise UserError("logit_bias: names a token twice; give each token one bias")
        if len(self.stop) > MAX_STOP_STRINGS or not all(self.stop):
            raise UserError(f"stop: give at most {MAX_STOP_STRINGS} strings, none of them empty")


def new_sampler(params: SamplingParams, vocab: int, prompt: Sequence[int]) -> Sampler:
    """Return what draws the tokens of one request.

    Args:
        vocab: tokens from this on, for which a model may have logits as padding, are never drawn.
        prompt: the tokens of the prompt.

    Raises:
        UserError: logit_bias names a token that is not in the vocabulary.
    """
    for token, _ in params.logit_bias:
        if not 0 <= token < vocab:
            raise UserError(
                f"logit_bias: there is no token {token}; the vocabulary has tokens 0 to {vocab - 1}"
            )
    return Sampler(
        vocab,
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=min(params.top_k, vocab),  # people ask for more than 64 bits hold
        min_p=params.min_p,
        repetition_penalty=params.repetition_penalty,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        no_repeat_ngram_size=params.no_repeat_ngram_size,
        seed=_seed(params.seed),
        bias_ids=np.array([token for token, _ in params.logit_bias], np.int32),
        bias=np.array([bias for _, bias in params.logit_bias], np.float32),
        prompt=np.array(prompt, np.int32),
    )


def _seed(seed: int | None) -> int:
    """Return 64 bits: of the seed, which may be negative or longer, or random ones."""
    return int.from_bytes(os.urandom(8)) if seed is None else seed % 2**64


def _check_range(name: str, value: float, least: float, most: float = math.inf) -> None:
    if not least <= value <= most:
        limits = f"at least {least}" if most == math.inf else f"between {least} and {most}"
        raise UserError(f"{name}: {value} is not {limits}")
