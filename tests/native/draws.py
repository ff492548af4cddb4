"""The sampler's draws written with numpy in double precision, and what tests ask of many draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from qingtan.native import Sampler

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Options:
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    no_repeat_ngram_size: int = 0
    seed: int = 0
    bias: Mapping[int, float] = field(default_factory=dict)
    prompt: Sequence[int] = ()

    def sampler(self, vocab: int) -> Sampler:
        values = dict(vars(self))
        values["bias_ids"] = np.array(list(self.bias), np.int32)
        values["bias"] = np.array(list(self.bias.values()), np.float32)
        values["prompt"] = np.array(self.prompt, np.int32)
        return Sampler(vocab, **values)


class UnsureError(Exception):
    """Rounding may decide: the sampler, which has floats, need not find what doubles say."""


def require_sure(sure: bool) -> None:
    if not sure:
        raise UnsureError


def mix64(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def split_mix(state: NDArray[np.uint64], index: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return mix64(state + (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))


def gumbel(seed: int, drawn: int, vocab: int) -> NDArray[np.float64]:
    state = split_mix(mix64(np.array([seed], np.uint64)), np.array([drawn], np.uint64))
    bits = split_mix(state, np.arange(vocab, dtype=np.uint64))
    uniform = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return -np.log(-np.log1p(-uniform))


def adjust(logits: Scores, options: Options, output: Sequence[int]) -> Scores:
    scores = logits.astype(np.float64)
    for token, bias in options.bias.items():
        scores[token] = np.float32(scores[token] + bias)
    for token in {t for t in [*options.prompt, *output] if t < len(scores)}:
        factor = options.repetition_penalty
        scores[token] *= 1 / factor if scores[token] > 0 else factor
    for token in set(output):
        times = output.count(token)
        scores[token] -= options.presence_penalty + options.frequency_penalty * times
    if size := options.no_repeat_ngram_size:
        last = tuple(output[len(output) - size + 1 :])
        for i in range(len(output) - size + 1):
            if tuple(output[i : i + size - 1]) == last:
                scores[output[i + size - 1]] -= 10_000
    return scores.astype(np.float32)


def kept(scores: Scores, options: Options) -> NDArray[np.bool_]:
    """Which tokens the filters leave.

    Raises:
        UnsureError: some stand nearly at a border.
    """
    ranked = np.lexsort((np.arange(len(scores)), -scores))[: options.top_k or None]
    scaled = (scores[ranked].astype(np.float64) - scores.max()) / options.temperature
    weights = np.exp(scaled)
    sums = weights.cumsum() / weights.sum()
    size = len(ranked)
    if options.top_p < 1:
        size = min(int(np.searchsorted(sums, options.top_p)) + 1, size)
        ends = np.append(np.diff(scaled) < 0, True)  # inside a tie no border lies
        require_sure(options.top_p == 0 or (np.abs(sums[ends] - options.top_p) > 1e-5).all())
    allowed = scores[ranked] >= scores[ranked[size - 1]]
    if options.min_p > 0:
        least = np.log(options.min_p)
        require_sure((np.abs(scaled - least)[scaled < 0] > 1e-9).all())
        allowed &= scaled >= least
    result = np.zeros(len(scores), bool)
    result[ranked[allowed]] = True
    return result


def reference(logits: Scores, options: Options, output: Sequence[int]) -> int:
    """The token drawn after `output`.

    Raises:
        UnsureError: see `kept`, or two tokens are nearly the same.
    """
    scores = adjust(logits, options, output)
    if options.temperature == 0:
        return int(scores.argmax())
    keys = (scores.astype(np.float64) - scores.max()) / options.temperature
    keys += gumbel(options.seed, len(output), len(scores))
    keys[~kept(scores, options)] = -np.inf
    first, second = (*np.sort(keys)[::-1], -np.inf)[:2]
    require_sure(first - second > 1e-4)
    return int(keys.argmax())


def mask_of(tokens: Sequence[int], vocab: int) -> NDArray[np.int32]:
    bits = np.zeros((vocab + 31) // 32 * 32, np.uint8)
    bits[list(tokens)] = 1
    return np.packbits(bits, bitorder="little").view(np.int32)


def assert_follows(tokens: Sequence[int], probabilities: NDArray[np.float64]) -> None:
    """A chi-square test of goodness of fit, which one true sampler in ten thousand fails."""
    counts = np.bincount(tokens, minlength=len(probabilities))
    assert counts[probabilities == 0].sum() == 0
    expected = probabilities * len(tokens)
    rare = expected < 10  # taken together: the test is for numbers that are not small
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    used = expected > 0
    statistic = ((observed - expected)[used] ** 2 / expected[used]).sum()
    assert used.sum() == 1 or statistic < chi2.ppf(1 - 1e-4, used.sum() - 1)


def distribution(scores: Scores, options: Options) -> NDArray[np.float64]:
    scaled = (scores.astype(np.float64) - scores.max()) / options.temperature
    weights = np.exp(scaled) * kept(scores, options)
    result: NDArray[np.float64] = weights / weights.sum()
    return result
