"""What a metric is: numbers that every answer adds, and a figure made of their sums.

Means, F1 over a whole set, BLEU and perplexity are all of this kind, so that one bootstrap over the
items gives each of them its interval.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Item = Mapping[str, Any]
# share: from 0 to 1; points: from 0 to 100, as translation's metrics are given; number: any other.
Unit = Literal["share", "points", "number"]


@dataclass(frozen=True)
class Answer:
    """What a model said to an item.

    Attributes:
        text: the answer, without white space around it.
        ended: it ended by itself, not at the limit of tokens.
    """

    text: str
    ended: bool = True


class Metric(ABC):
    """One figure of a task.

    Attributes:
        name: unique within a task; a key of results.json.
        english, chinese: what people read.
        unit: how it is shown.
        higher_is_better: otherwise lower is.
    """

    name: ClassVar[str]
    english: ClassVar[str]
    chinese: ClassVar[str]
    unit: ClassVar[Unit] = "share"
    higher_is_better: ClassVar[bool] = True

    @abstractmethod
    def measure(self, item: Item, answer: Answer) -> Sequence[float]:
        """Return what this answer adds to the sums, always equally many numbers."""

    @abstractmethod
    def combine(self, sums: NDArray[np.float64]) -> float:
        """Return the figure for the sums (k,); nan where they say nothing."""


class MeanMetric(Metric):
    """The mean of one number for each answer."""

    @abstractmethod
    def score(self, item: Item, answer: Answer) -> float | None:
        """Return an answer's number; None leaves the item out of the mean."""

    def measure(self, item: Item, answer: Answer) -> Sequence[float]:
        """Return the number, and 1 for the count."""
        score = self.score(item, answer)
        return (0.0, 0.0) if score is None else (score, 1.0)

    def combine(self, sums: NDArray[np.float64]) -> float:
        """Return the mean."""
        return float(sums[0] / sums[1]) if sums[1] else float("nan")
