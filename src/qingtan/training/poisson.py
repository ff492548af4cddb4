"""Documents as DP-SGD draws them, and their loss; see `privacy` for what it is about."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray

from qingtan.corpus.shards import Shard
from qingtan.errors import UserError
from qingtan.glm.lora import LoRALinear
from qingtan.training.batches import Batch, Excerpt, Skipped, make_batch
from qingtan.training.objective import Loss, Objective
from qingtan.training.subject import Subject


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
        drawable = [(i, document) for i, here in enumerate(fitting) for document in here.tolist()]
        self._documents = np.asarray(drawable, np.int64).reshape(-1, 2)
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
