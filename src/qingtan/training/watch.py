"""The watch over a run: it stops before a step that would spoil the weights."""

import math
from collections import deque
from collections.abc import Sequence
from statistics import median

from qingtan.errors import UserError
from qingtan.training.batches import Batch

# Steps whose median a loss is compared with, and how many of them there must be.
WINDOW = 50
FEWEST = 20
NAMED_PIECES = 8


class Diverged(UserError):  # noqa: N818 - what the run has done
    """A loss or a gradient with which training must not go on."""


class Watch:
    """Looks at each step's loss and gradient before the weights are changed.

    Args:
        spike_nats: how far above the median of the last 50 steps a loss may be; 0 is no limit.
    """

    def __init__(self, spike_nats: float) -> None:
        self._spike_nats = spike_nats
        self._losses: deque[float] = deque(maxlen=WINDOW)

    def check(self, step: int, loss: float, gradient_norm: float, batch: Batch) -> None:
        """Note a step's loss.

        Args:
            step: from 1, the one whose gradient has been computed.
            loss: the mean of the update, in nats.
            gradient_norm: before it is clipped.
            batch: what the update was computed from.

        Raises:
            Diverged: either is not finite, or the loss is a spike, which needs 20 steps before
                it to be known. The message names the batch's documents.
        """
        for name, value in (("loss", loss), ("gradient's norm", gradient_norm)):
            if not math.isfinite(value):
                raise Diverged(_explain(step, f"the {name} is {value}", batch))
        if self._spike_nats and len(self._losses) >= FEWEST:
            usual = median(self._losses)
            if loss > usual + self._spike_nats:
                what = (
                    f"the loss is {loss:.3f}, more than spike_nats {self._spike_nats:g} above "
                    f"{usual:.3f}, the median of the last {len(self._losses)} steps"
                )
                raise Diverged(_explain(step, what, batch))
        self._losses.append(loss)

    def state(self) -> list[float]:
        """Return the losses that are compared with, for a checkpoint."""
        return list(self._losses)

    def load(self, state: Sequence[float]) -> None:
        """Go on from a checkpoint's losses."""
        self._losses = deque(state, maxlen=WINDOW)


def _explain(step: int, what: str, batch: Batch) -> str:
    names = list(dict.fromkeys(piece.name for row in batch.pieces for piece in row))
    more = len(names) - NAMED_PIECES
    listed = "".join(f"\n  {name}" for name in names[:NAMED_PIECES])
    listed += f"\n  and {more} more" if more > 0 else ""
    return (
        f"step {step}: {what}; training stopped before this step changed the weights. It read:"
        f"{listed}\n"
        "Look at these documents, and start another run without the bad ones or with a lower "
        "optimizer.learning_rate; it may start from this run's last checkpoint (model.start). "
        "--resume with the same recipe would come to the same step."
    )
