"""How likely a text is by a model's logits."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def nats(logits: NDArray[np.float32], tokens: Sequence[int]) -> float:
    """Return the negative log-likelihood of all tokens but the first.

    Args:
        logits: (tokens, vocabulary), what each position says of the next one.
    """
    before = logits[:-1].astype(np.float64)
    before -= before.max(-1, keepdims=True)
    chosen = np.take_along_axis(before, np.array(tokens[1:])[:, None], -1)[:, 0]
    return float((np.log(np.exp(before).sum(-1)) - chosen).sum())
