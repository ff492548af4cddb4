"""What a run tries to lower: the interface of objectives, and the usual one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from qingtan.training.batches import Batch
from qingtan.training.head import score_head, score_likelihood
from qingtan.training.subject import Subject

# For `logits_at`: no logits at all.
NONE = slice(0)


@dataclass(frozen=True)
class Loss:
    """The loss of a part of an update.

    Attributes:
        total: () float32 with a gradient: the sum over what `Objective.count` counts.
        parts: other sums over the same, to be shown by name beside the loss.
    """

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(ABC):
    """Base of the objectives. An update's loss is the sum of `loss` by the sum of `count`.

    Attributes:
        learned: what it learns beside the subject, such as projections; None if nothing.
    """

    learned: nn.Module | None = None

    def prepare(self, subject: Subject, batch: Batch, step: int) -> Batch:
        """Return the batch to learn from in an update (numbered from 0) instead of this one."""
        return batch

    def count(self, batch: Batch) -> int:
        """Return how many terms the loss of a batch has."""
        return batch.labelled

    @abstractmethod
    def loss(self, subject: Subject, batch: Batch) -> Loss:
        """Return the loss of a batch that is on the subject's device."""


class Likelihood(Objective):
    """Cross-entropy of the tokens to predict, in nats."""

    def loss(self, subject: Subject, batch: Batch) -> Loss:
        """Return the sum over the labelled tokens."""
        kept = batch.kept
        hidden = subject(batch, logits_at=NONE).hidden[kept]
        score = score_likelihood(batch.labels[kept])
        return Loss(score_head(subject.model.head, hidden, score)[0].float())
