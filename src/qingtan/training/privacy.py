"""DP-SGD (1607.00133) for LoRA, through Opacus: (ε, δ) for each document that is trained on.

What is promised: with any one document more or less, any set of final weights is at most e^ε times
as likely, but for a chance of δ. It takes all of these:

- Each update draws every document by itself with the same chance q (`PoissonDocuments`), and one
  document is one row, for the unit of the promise is a document.
- A document's loss is the mean over its own tokens (`DocumentLikelihood`), so that no gradient
  depends on what else was drawn. Its gradient is scaled down to the norm C at most, the gradients
  are summed up, and normal noise of deviation σ·C is added; the sum is divided by the number of
  documents that is expected, q·documents, not by the number that was drawn, which is a secret.
- Draws and noise come from the operating system's entropy and not from the recipe's seed: whoever
  knew the seed would know who was drawn. So these runs, unlike all others, cannot be repeated
  exactly. The generators are statistical ones (PCG64; torch's own), not cryptographic ones.
- The accountant composes the updates (PRV, 2106.02848); σ follows from ε, δ, q and their number.

Nothing is promised of what is written beside the weights while they are learnt: the losses of
documents that are trained on come without noise, and are for those only who may read these
documents.
"""

import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from opacus.accountants import PRVAccountant
from opacus.accountants.utils import get_noise_multiplier
from opacus.grad_sample.grad_sample_module import GradSampleHooks
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from qingtan.errors import UserError
from qingtan.training.recipe import TrainRecipe
from qingtan.training.tables import PrivacyTable


def check_privacy(
    recipe: TrainRecipe, sources: Mapping[str, float], documents: int, processes: int = 1
) -> None:
    """Check what the promise needs and the recipe alone does not show.

    Args:
        sources: how often each is read in an epoch, the corpus's own numbers included.
        documents: how many there are to draw from.
        processes: that train together.

    Raises:
        UserError: the promise would not hold, or not be one; the message names the field.
    """
    table = recipe.privacy
    if table is None:
        return
    if odd := sorted(name for name, weight in sources.items() if weight not in (0, 1)):
        raise UserError(
            f"data.sources: the corpus reads {', '.join(odd)} other than once an epoch, and "
            "privacy protects all documents alike; set it to 1 or 0 in data.sources"
        )
    if table.delta >= 1 / documents:
        raise UserError(
            f"privacy.delta: {table.delta:g} is not below 1 / {documents} documents, so to give "
            f"one of them away would be allowed; set it to {0.1 / documents:.1g}, for example"
        )
    if recipe.batch_rows > documents:
        raise UserError(
            f"batch_tokens: an update has {recipe.batch_rows} rows, a document each, but there are "
            f"only {documents} documents; lower it to at most "
            f"{documents * recipe.data.sequence_length}"
        )
    if processes > 1:
        raise UserError("privacy: is accounted for in one process only; start it without torchrun")
    if recipe.model.activation_checkpointing:
        raise UserError(
            "model.activation_checkpointing: with privacy it would count each gradient twice; turn "
            "it off and lower micro_batch_tokens"
        )
    if recipe.compile:
        raise UserError("compile: privacy needs each document's gradient; set it to false")


class PrivateGradients:
    """Gradients (see `Gradients`) that are private; the run's own optimizer then makes the step.

    An update is `add` for each of its parts, of which there may be none, and then `finish` once.

    Args:
        subject: whose parameters that require a gradient are in linear layers, as LoRA's are. In
            training mode each backward pass from now on keeps every row's gradient.
        documents: how many there are to draw from.
        expected_rows: q·documents, how many an update draws on average.
        steps: of the whole run.

    Attributes:
        noise_multiplier: σ, so that the run spends at most `table.epsilon`.

    Raises:
        UserError: no noise is found that is enough.
    """

    def __init__(
        self,
        subject: nn.Module,
        table: PrivacyTable,
        documents: int,
        expected_rows: int,
        steps: int,
    ) -> None:
        self._table = table
        self._rate = expected_rows / documents
        self._accountant = PRVAccountant()
        self.noise_multiplier = find_noise(table, self._rate, steps)
        self._parameters = [p for p in subject.parameters() if p.requires_grad]
        # The first layer's input needs no gradient, only its output does.
        warnings.filterwarnings("ignore", "Full backward hook is firing")
        self._hooks = GradSampleHooks(subject, loss_reduction="sum")
        # It clips and adds noise. The optimizer inside it gives it the parameters and never steps.
        self._sums = DPOptimizer(
            torch.optim.SGD(self._parameters),
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=table.clip_norm,
            expected_batch_size=expected_rows,
            secure_mode=True,  # against reading the noise out of the floats' last bits (2107.10138)
        )

    def add(self, total: Tensor, count: int) -> None:
        """Clip the gradient of each row of a part, and add them to the sum.

        Args:
            total: () the sum of the rows' losses, each of which depends on its own row only.
            count: has no effect, for how many rows were drawn is a secret.
        """
        total.backward()
        for parameter in self._parameters:
            # In bfloat16 the norm would be rounded, and the bound on it not kept.
            parameter.grad_sample = parameter.grad_sample.float()  # type: ignore[attr-defined]
        self._sums.clip_and_accumulate()
        for parameter in self._parameters:
            parameter.grad_sample = None  # type: ignore[attr-defined]
            parameter.grad = None

    def finish(self) -> float:
        """Add the noise, put the gradient in place, account for it, and return its norm."""
        for parameter in self._parameters:
            if parameter.summed_grad is None:  # type: ignore[attr-defined]
                parameter.summed_grad = torch.zeros_like(parameter)  # type: ignore[attr-defined]
        device = self._parameters[0].device
        generator = torch.Generator(device).manual_seed(secrets.randbits(63))
        self._sums.generator = generator
        self._sums.add_noise()
        for parameter in self._parameters:
            assert parameter.grad is not None
            parameter.grad /= self._sums.expected_batch_size
            parameter.summed_grad = None  # type: ignore[attr-defined]
        self._accountant.step(noise_multiplier=self.noise_multiplier, sample_rate=self._rate)
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))

    def spent(self) -> float:
        """Return ε so far, for the table's δ; it takes about a second."""
        return measure_epsilon(self._accountant.history, self._table)

    def state_dict(self) -> dict[str, Any]:
        """Return what was spent: σ, q and number of the updates."""
        return {"history": list(self._accountant.history)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what was spent."""
        self._accountant.history = [tuple(entry) for entry in state["history"]]

    def close(self) -> None:
        """Let backward passes be as they were before."""
        self._hooks.cleanup()


def find_noise(table: PrivacyTable, rate: float, steps: int) -> float:
    """Return σ with which so many updates spend at most `table.epsilon`, and hardly less.

    Args:
        rate: q, the chance of each document in an update.

    Raises:
        UserError: none is found.
    """
    try:
        with _without_warnings():
            sigma: float = get_noise_multiplier(
                target_epsilon=table.epsilon,
                target_delta=table.delta,
                sample_rate=rate,
                steps=steps,
                accountant="prv",
                epsilon_tolerance=table.epsilon / 100,
                eps_error=_error(table),
            )
    except (ValueError, RuntimeError, MemoryError) as error:
        raise UserError(
            f"privacy.epsilon: found no noise that keeps {steps} steps within {table.epsilon:g} at "
            f"a delta of {table.delta:g} ({error}); raise epsilon, or train for fewer steps"
        ) from None
    return sigma


def measure_epsilon(history: Sequence[tuple[float, float, int]], table: PrivacyTable) -> float:
    """Return an upper bound of ε for (σ, q, updates) one after another, for the table's δ."""
    if not history:
        return 0.0
    accountant = PRVAccountant()
    accountant.history = list(history)
    with _without_warnings():
        return float(accountant.get_epsilon(table.delta, eps_error=_error(table)))


def _error(table: PrivacyTable) -> float:
    """Return how exactly ε is computed; it is a part of the bound, and the finer the slower."""
    return max(1e-4, table.epsilon / 100)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Hide what Opacus says of its numerics: that a bound could be tighter, or a log is infinite.

    None of it makes the result less of a bound.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="opacus")
        yield
