"""Drawing tokens from a teacher's distributions (Random Sampling KD, 2503.16870).

The likeliest k tokens alone are a biased picture of a distribution: a student that is shown them
becomes too sure. Samples are not: whatever the number of draws, a token's expected share of them
is its probability.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Drawn:
    """What was drawn of each distribution.

    Attributes:
        ids: (N, draws) int64 tokens, ascending in each row.
        ratios: (N, draws) float32, how much likelier each is in the teacher's distribution than in
            the one that it was drawn from, p/q; None where the two are one.
        entropies: (N,) float32, of the teacher's distributions, in nats.
    """

    ids: Tensor
    ratios: Tensor | None
    entropies: Tensor


def draw(logits: Tensor, uniform: Tensor, temperature: float = 1.0) -> Drawn:
    """Draw from q ∝ p^(1/temperature), where p is the softmax of the logits.

    The draws are stratified: the i-th takes its random number from the i-th of equal parts of
    [0, 1). Each token is still drawn q·draws times on average, with less chance in it than
    independent draws leave (Owen, Monte Carlo theory, 8.4), and comes out in order.

    Args:
        logits: (N, V).
        uniform: (N, draws) random numbers from [0, 1).
    """
    log_p = logits.float().log_softmax(-1)
    p = log_p.exp()
    entropies = -(p * log_p).sum(-1)
    log_q = log_p if temperature == 1 else (log_p / temperature).log_softmax(-1)
    q = p if temperature == 1 else log_q.exp()
    # Summed in float64: in float32 unlikely tokens would be lost beside a sum near 1.
    cumulative = q.cumsum(-1, dtype=torch.float64)
    draws = uniform.shape[1]
    strata = (torch.arange(draws, device=logits.device) + uniform.double()) / draws
    ids = torch.searchsorted(cumulative, strata * cumulative[:, -1:], right=True)
    ids.clamp_(max=logits.shape[1] - 1)
    ratios = None if temperature == 1 else (log_p.gather(1, ids) - log_q.gather(1, ids)).exp()
    return Drawn(ids, ratios, entropies)


def compact(
    ids: NDArray[Any], ratios: NDArray[np.float32] | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the distinct tokens of each row of draws.

    Args:
        ids: (N, draws), ascending in each row.
        ratios: (N, draws) p/q of each draw; None where q is p.

    Returns:
        (N,) how many distinct tokens a row has; (M,) these, row after row; (M,) their weights:
        how often each was drawn, in the smallest unsigned type; with ratios, times its ratio, as
        float16 shares of the row's sum (self-normalised importance sampling).
    """
    small = np.min_scalar_type(ids.shape[1])
    first = np.ones(ids.shape, np.bool_)
    first[:, 1:] = ids[:, 1:] != ids[:, :-1]
    # A row begins with a new token, so that no count reaches into the next row.
    times = np.diff(np.flatnonzero(first), append=ids.size)
    counts = first.sum(1)
    if ratios is None:
        return counts.astype(small), ids[first], times.astype(small)
    weights = ratios[first] * times
    rows = np.repeat(np.arange(len(ids)), counts)
    sums = np.bincount(rows, weights, minlength=len(ids))
    return counts.astype(small), ids[first], (weights / sums[rows]).astype(np.float16)
