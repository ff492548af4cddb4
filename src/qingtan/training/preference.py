"""Direct Preference Optimization (2305.18290): learning from pairs of answers without a reward.

With the reference π_ref, the model at the start, an answer's implicit reward is
β·(ln π(answer | question) − ln π_ref(answer | question)). The margin is by how much the chosen
answer's exceeds the rejected one's; the loss of a pair is −ln σ(margin). With a share ε of pairs
that are thought to be the wrong way round it is −(1 − ε)·ln σ(margin) − ε·ln σ(−margin) (cDPO,
Mitchell 2023, "A note on DPO with noisy preferences").
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from qingtan.training.batches import Batch
from qingtan.training.choices import Choices
from qingtan.training.evaluation import measure_nats
from qingtan.training.objective import Loss, Objective
from qingtan.training.pairs import Pair
from qingtan.training.subject import Subject
from qingtan.training.tables import PreferenceTable


class DirectPreference(Objective):
    """DPO on batches whose rows are chosen and rejected answers in turn.

    Args:
        reference: the model at the start, frozen and in evaluation mode; None takes the subject
            without its adapter.
    """

    def __init__(self, table: PreferenceTable, reference: Subject | None = None) -> None:
        self._table = table
        self.reference = reference

    def count(self, batch: Batch) -> int:
        """Return how many pairs a batch has."""
        return len(batch.tokens) // 2

    def loss(self, subject: Subject, batch: Batch) -> Loss:
        """Return the sum over the pairs.

        `parts` sums up `accuracy`, 1 for a pair whose chosen answer has the greater implicit
        reward and ½ for a tie (before the first update all are), and `margin`.
        """
        with torch.no_grad(), _as_reference(subject, self.reference) as reference:
            before = sequence_scores(reference, batch)
        rewards = self._table.beta * (sequence_scores(subject, batch) - before)
        margins = rewards[0::2] - rewards[1::2]
        parts = {"accuracy": _preferred(margins.detach()).sum(), "margin": margins.detach().sum()}
        return Loss(pair_losses(margins, self._table.label_smoothing).sum(), parts)


def sequence_scores(subject: Subject, batch: Batch) -> Tensor:
    """Return Σ ln p of each row's labelled tokens, (rows,) float32."""
    kept = batch.kept
    logits = subject(batch).logits.float()
    scores = -F.cross_entropy(logits, batch.labels[kept], reduction="none")
    sums = torch.zeros(len(kept), device=scores.device)
    return sums.index_add(0, kept.nonzero()[:, 0], scores)


def pair_losses(margins: Tensor, label_smoothing: float) -> Tensor:
    """Return each pair's loss, (pairs,), from its margin, (pairs,); see the module."""
    right, wrong = F.logsigmoid(margins), F.logsigmoid(-margins)
    return -(1 - label_smoothing) * right - label_smoothing * wrong


def evaluate_preference(
    subject: Subject, reference: Subject | None, pairs: Sequence[Pair], table: PreferenceTable
) -> dict[str, float]:
    """Measure on pairs that were not trained on.

    Args:
        reference: as for DirectPreference.

    Returns:
        `pairs`, how many; `loss`, the mean; `margin`, the mean; `accuracy`, the share of pairs
        whose chosen answer has the greater implicit reward, a tie being half of one; and
        `accuracy_low` and `accuracy_high`, Wilson's interval of 95% for it. A model that equals
        its reference has a loss of ln 2 and an accuracy of ½.
    """
    sides = [side for pair in pairs for side in (pair.chosen, pair.rejected)]
    with _as_reference(subject, reference) as before:
        nats = measure_nats(before, sides)
    rewards: NDArray[np.float64] = table.beta * (nats - measure_nats(subject, sides))
    margins = torch.from_numpy(rewards[0::2] - rewards[1::2])
    preferred = float(_preferred(margins).sum())
    low, high = Choices(round(preferred), len(pairs)).interval
    return {
        "pairs": len(pairs),
        "loss": float(pair_losses(margins, table.label_smoothing).mean()),
        "margin": float(margins.mean()),
        "accuracy": preferred / len(pairs),
        "accuracy_low": low,
        "accuracy_high": high,
    }


def _preferred(margins: Tensor) -> Tensor:
    return (torch.sign(margins) + 1) / 2


@contextmanager
def _as_reference(subject: Subject, reference: Subject | None) -> Iterator[Subject]:
    """Yield the reference: the one that was given, or the subject without its adapter."""
    if reference is not None:
        yield reference
        return
    with subject.without_adapter():
        yield subject
