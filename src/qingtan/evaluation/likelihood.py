"""How likely a model finds what people wrote: references after their questions, held-out text.

A tokenizer that cuts text into fewer pieces makes each of them harder to guess, so perplexity by
token compares models of one tokenizer only; bits per byte compares any.
"""

import hashlib
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.shards import Corpus, Shard
from qingtan.errors import UserError
from qingtan.evaluation.figures import estimate
from qingtan.evaluation.interval import bootstrap
from qingtan.evaluation.metrics.metric import Answer, Item, Metric
from qingtan.evaluation.results import Estimate
from qingtan.evaluation.task import Task
from qingtan.glm.conversation import encode_conversation, encode_prompt
from qingtan.glm.tokenizer import TOKENIZER_FILE, GLMTokenizer
from qingtan.training.batches import Piece, Written, cut
from qingtan.training.evaluation import measure_nats
from qingtan.training.subject import Subject


@dataclass(frozen=True)
class Likelihood:
    """What a model thinks of a text.

    Attributes:
        nats: Σ −ln p of its tokens.
        tokens: how many were predicted: the answer's line of metadata, which is empty, its
            content, and the token that ends it.
        bytes: UTF-8 bytes of the content.
    """

    nats: float
    tokens: int
    bytes: int


class _LikelihoodMetric(Metric):
    """A figure of texts that are known beforehand, whatever the answers are.

    Args:
        likelihoods: by the item's id; items without one are left out.
    """

    higher_is_better = False
    unit = "number"

    def __init__(self, likelihoods: Mapping[str, Likelihood]) -> None:
        self._likelihoods = likelihoods

    def measure(self, item: Item, answer: Answer) -> Sequence[float]:
        """Return the nats of the item's reference, and the count that they are divided by."""
        found = self._likelihoods.get(item["id"])
        return (0.0, 0.0) if found is None else (found.nats, self._count(found))

    @abstractmethod
    def _count(self, likelihood: Likelihood) -> float:
        """Return what the nats are divided by."""


class Perplexity(_LikelihoodMetric):
    """exp(Σ −ln p / tokens) of the references: as many equally likely tokens at each place."""

    name = "perplexity"
    english = "perplexity of the reference"
    chinese = "参考文本困惑度"

    def _count(self, likelihood: Likelihood) -> float:
        return likelihood.tokens

    def combine(self, sums: NDArray[np.float64]) -> float:
        """Return it; nan without a token. Too great a one for a float is infinite."""
        if not sums[1]:
            return math.nan
        with np.errstate(over="ignore"):
            return float(np.exp(sums[0] / sums[1]))


class BitsPerByte(_LikelihoodMetric):
    """Σ −log₂ p / UTF-8 bytes of the texts."""

    name = "bits_per_byte"
    english = "bits per byte of the reference"
    chinese = "参考文本每字节比特数"

    def _count(self, likelihood: Likelihood) -> float:
        return likelihood.bytes

    def combine(self, sums: NDArray[np.float64]) -> float:
        """Return it; nan without a byte."""
        return float(sums[0] / math.log(2) / sums[1]) if sums[1] else math.nan


def measure_references(
    subject: Subject, tokenizer: GLMTokenizer, task: Task, items: Sequence[Item]
) -> dict[str, Likelihood]:
    """Measure each item's reference as the answer to its question.

    Returns:
        By the item's id. Items whose question and reference together do not fit the model's
        context, or whose reference is blank, are left out.
    """
    if task.reference is None:
        return {}
    longest = subject.model.config.max_position_embeddings + 1
    pieces: dict[str, tuple[Written, int]] = {}
    for item in items:
        reference = task.reference(item)
        if reference.strip():
            piece = _encode(tokenizer, task, item, reference)
            if piece.length <= longest:
                pieces[item["id"]] = piece, len(reference.encode("utf-8", "replace"))
    nats = measure_nats(subject, [piece for piece, _ in pieces.values()])
    return {
        name: Likelihood(float(value), int(piece.mask.sum()), size)
        for (name, (piece, size)), value in zip(pieces.items(), nats, strict=True)
    }


def _encode(tokenizer: GLMTokenizer, task: Task, item: Item, reference: str) -> Written:
    """Return question and reference, of which the reference alone is to be predicted."""
    messages = task.ask(item)
    answer = {"role": "assistant", "content": reference}
    ids, trained = encode_conversation(tokenizer, [*messages, answer])
    mask = np.array(trained, np.bool_)
    # The conversation may hold earlier answers.
    mask[: len(encode_prompt(tokenizer, messages))] = False
    return Written(f"{task.name} {item['id']}", np.array(ids, np.int64), mask)


def open_corpus(path: str | Path, checkpoint: str | Path) -> Corpus:
    """Open a corpus of held-out text for a model.

    Raises:
        UserError: it cannot be opened, has no held-out documents, or its tokens are of another
            tokenizer than the model's.
    """
    corpus = Corpus.open(path)
    tokenizer = Path(checkpoint) / TOKENIZER_FILE
    if not tokenizer.is_file():
        raise UserError(f"{tokenizer}: no such file; the model is incomplete")
    if hashlib.sha256(tokenizer.read_bytes()).hexdigest() != corpus.index.tokenizer_sha256:
        raise UserError(
            f"{path}: its tokens are of another tokenizer than {tokenizer}; build the corpus with "
            "the model's tokenizer"
        )
    if not corpus.select("valid"):
        raise UserError(f"{path}: has no held-out documents; its recipe kept no validation_share")
    return corpus


def measure_held_out(
    subject: Subject, shards: Sequence[Shard], max_tokens: int
) -> dict[str, Estimate]:
    """Measure bits per byte by source, with intervals by the bootstrap over documents.

    Documents stand in rows of the model's context, as in `training.evaluation.evaluate`, and the
    values are the same.

    Args:
        max_tokens: a source's measurement ends with the document that reaches so many.

    Returns:
        Sources without a document that can be measured are left out.
    """
    length = subject.model.config.max_position_embeddings
    results = {}
    for source in dict.fromkeys(shard.source for shard in shards):
        statistics = _measure_source(
            subject, [s for s in shards if s.source == source], length, max_tokens
        )
        if len(statistics):
            found = estimate(bootstrap(BitsPerByte({}), statistics))
            if found is not None:
                results[source] = found
    return results


def _measure_source(
    subject: Subject, shards: Sequence[Shard], length: int, max_tokens: int
) -> NDArray[np.float64]:
    """Return (documents, 2): the nats of each, and its bytes."""
    pieces: list[Piece] = []
    owners: list[int] = []
    sizes: list[int] = []
    for shard, document in _documents(shards, length, max_tokens):
        new = list(cut(shard, document, length))
        owners += [len(sizes)] * len(new)
        pieces += new
        sizes.append(int(shard.bytes[document]))
    nats = measure_nats(subject, pieces)
    by_document = np.bincount(np.array(owners, np.int64), nats, minlength=len(sizes))
    return np.stack([by_document, np.array(sizes, np.float64)], axis=1)


def _documents(shards: Sequence[Shard], length: int, max_tokens: int) -> list[tuple[Shard, int]]:
    """Return the first documents that can be measured, until they have so many tokens."""
    chosen: list[tuple[Shard, int]] = []
    tokens = 0
    for shard in shards:
        for document in range(len(shard)):
            if tokens >= max_tokens:
                return chosen
            if size := sum(piece.length for piece in cut(shard, document, length)):
                chosen.append((shard, document))
                tokens += size
    return chosen
