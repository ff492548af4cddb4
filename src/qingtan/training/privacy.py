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
  exactly.
- The accountant composes the updates (PRV, 2106.02848); σ follows from ε, δ, q and their number.

Nothing is promised of what is written beside the weights while they are learnt: losses and
gradient norms of documents that are trained on come without noise and stay with whoever may read
these documents.
"""

import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from opacus.accountants import PRVAccountant
from opacus.accountants.utils import get_noise_multiplier
from opacus.grad_sample.grad_sample_module import GradSampleHooks
from opacus.optimizers import DPOptimizer
from torch import nn

from qingtan.corpus.shards import Shard
from qingtan.errors import UserError
from qingtan.glm.lora import LoRALinear
from qingtan.training.batches import Batch, Excerpt, Skipped, make_batch
from qingtan.training.objective import Loss, Objective
from qingtan.training.recipe import TrainRecipe
from qingtan.training.subject import Subject
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


class PoissonDocuments:
    """Documents, one a row, of which each update draws every one with the same chance.

    The draw comes from the operating system's entropy, and is another one in every run.

    Attributes:
        documents: how many there are to draw from.
        skipped: documents longer than a row, and those without anything to predict.

    Args:
        shards: what to draw from.
        sources: 1 or 0 by name, whether a source is drawn from.
        length: T, the tokens of a row that predict; a document may have one more.

    Raises:
        UserError: there is no document to draw.
    """

    def __init__(self, shards: Sequence[Shard], sources: Mapping[str, float], length: int) -> None:
        self._shards = [shard for shard in shards if sources.get(shard.source)]
        self.skipped: list[Skipped] = []
        fitting = [self._fitting(shard, length) for shard in self._shards]
        indices = [np.full(len(here), i) for i, here in enumerate(fitting)]
        self._documents = np.stack(
            [np.concatenate([[], *indices]), np.concatenate([[], *fitting])], axis=1
        ).astype(np.int64)
        self.documents = len(self._documents)
        if not self.documents:
            raise UserError(
                f"no document can be trained on: {len(self.skipped)} are longer than "
                f"data.sequence_length {length} or have nothing to predict"
            )

    def batches(self, rows: int, skip: int = 0) -> Iterator[Batch]:
        """Yield batches for ever, each as wide as its longest document.

        Args:
            rows: how many are expected; there may be more, fewer, or none.
            skip: has no effect, for a draw does not depend on those before it.
        """
        rng = np.random.default_rng()
        while True:
            drawn = self._documents[rng.random(self.documents) < rows / self.documents]
            pieces = [[self._excerpt(shard, document)] for shard, document in drawn.tolist()]
            longest = max((row[0].length for row in pieces), default=2)
            yield make_batch(pieces, longest - 1)

    def _fitting(self, shard: Shard, length: int) -> NDArray[np.int64]:
        sizes = np.diff(shard.starts)
        sums = np.concatenate([[0], np.cumsum(_predicted(shard))])
        counts = sums[shard.starts[1:]] - sums[shard.starts[:-1]]
        for document in np.flatnonzero((sizes > length + 1) | (counts == 0)).tolist():
            size = int(sizes[document])
            reason = f"longer than a row of {length}" if size > length + 1 else "nothing to predict"
            self.skipped.append(Skipped(Excerpt(shard, document, 0, 0).name, size, reason))
        return np.flatnonzero((sizes <= length + 1) & (counts > 0))

    def _excerpt(self, shard: int, document: int) -> Excerpt:
        starts = self._shards[shard].starts
        start = int(starts[document])
        return Excerpt(self._shards[shard], document, start, int(starts[document + 1]) - start)


def _predicted(shard: Shard) -> NDArray[np.bool_]:
    """Return for each token of a shard whether it is to be predicted."""
    trained = shard.trained
    predicted = np.ones(len(shard.tokens), np.bool_) if trained is None else np.array(trained)
    predicted[shard.starts[:-1]] = False
    return predicted


class DocumentLikelihood(Objective):
    """Cross-entropy in nats, each document's the mean over its own tokens.

    For batches with one document a row. Without that mean long documents would lose most to
    clipping; with a mean over all tokens of an update, a document's gradient would depend on the
    others.
    """

    unit = ("document", "篇文档")

    def count(self, batch: Batch) -> int:
        """Return how many documents a batch has."""
        return len(batch.tokens)

    def loss(self, subject: Subject, batch: Batch) -> Loss:
        """Return the sum over the documents."""
        kept = batch.kept
        # A head that is trained has to see rows, to tell whose gradient is whose.
        in_rows = isinstance(subject.model.head, LoRALinear)
        logits = subject(batch, logits_at=slice(None) if in_rows else kept).logits
        logits = logits[kept] if in_rows else logits
        losses = F.cross_entropy(logits.float(), batch.labels[kept], reduction="none")
        shares = 1 / kept.sum(1, keepdim=True).clamp(min=1)
        return Loss((losses * shares.expand_as(kept)[kept]).sum())


class PrivateGradients:
    """Makes each update's gradients private; the run's own optimizer then makes the step.

    An update is, for each of its parts (there may be none), `objective.loss(…).total.backward()`,
    not divided by anything, and `accumulate()`; then once `finish()`, after which the parameters'
    `grad` is what the optimizer may see.

    Args:
        subject: whose parameters that require a gradient are in linear layers, as LoRA's are; it
            is in training mode. From now on each backward pass keeps every row's gradient.
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

    def accumulate(self) -> None:
        """Clip the gradient of each row of the last backward pass, and add them to the sum."""
        for parameter in self._parameters:
            # In bfloat16 the norm would be rounded, and the bound on it not kept.
            parameter.grad_sample = parameter.grad_sample.float()  # type: ignore[attr-defined]
        self._sums.clip_and_accumulate()
        for parameter in self._parameters:
            parameter.grad_sample = None  # type: ignore[attr-defined]
            parameter.grad = None

    def finish(self) -> None:
        """Add the noise, put the gradients in place, and account for the update."""
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
