"""From the losses of an update's parts to the gradient that the optimizer sees."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from qingtan.training.parallel import Processes
from qingtan.training.subject import Subject


class Gradients(Protocol):
    """Takes in the parts of an update, one after another."""

    def add(self, total: Tensor, count: int) -> None:
        """Take in a part.

        Args:
            total: () the summed loss of the part, with a gradient.
            count: the terms of the whole update's loss.
        """

    def finish(self) -> float:
        """Put the update's gradient in place, and return its norm before it is clipped."""

    def spent(self) -> float | None:
        """Return the ε of differential privacy so far; None where none is promised."""

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a saved state."""


class MeanGradients:
    """The gradient of the mean over an update's terms, clipped by its norm.

    Args:
        clip_norm: the gradient is scaled down to this norm.
    """

    def __init__(self, subject: Subject, processes: Processes, clip_norm: float) -> None:
        self._subject = subject
        self._processes = processes
        self._clip_norm = clip_norm

    def add(self, total: Tensor, count: int) -> None:
        """Take in a part of this process.

        Every counted term of the update weighs the same, wherever it stands. Sharding takes the
        mean over the processes, so each multiplies by their number.
        """
        (total * (self._processes.world / max(1, count))).backward()

    def finish(self) -> float:
        """Put the update's gradient in place, and return its norm before it is clipped."""
        self._processes.average_gradients(self._subject)
        trained = [p for p in self._subject.parameters() if p.requires_grad]
        norm = torch.nn.utils.clip_grad_norm_(trained, self._clip_norm)
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def spent(self) -> None:
        """Return that no privacy is promised."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: each update begins anew."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up nothing."""
