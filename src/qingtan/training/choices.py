"""Four-way questions made of held-out documents: a task that needs no data of its own.

A question asks which of four continuations follows a context; the other three follow contexts of
other documents of the same source. Guessing gets a quarter of them right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.shards import Shard
from qingtan.training.batches import Written
from qingtan.training.evaluation import measure_nats
from qingtan.training.subject import Subject

CHOICES = 4
# A text gives its first tokens, of which the last quarter is the continuation.
TEXT_TOKENS = 128
SHORTEST_TEXT = 16
# Of an answer its beginning is asked for, at most half a row of it.
ANSWER_TOKENS = 64


@dataclass(frozen=True)
class Choices:
    """How many questions of a source were answered rightly."""

    correct: int
    items: int

    @property
    def accuracy(self) -> float:
        """correct / items."""
        return self.correct / self.items

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval of 95% for the accuracy (Wilson 1927), within [0, 1]."""
        z, n, p = 1.959964, self.items, self.accuracy
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        # Rounding must not put a bound on the wrong side of the accuracy.
        return max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half))


@dataclass(frozen=True)
class _Split:
    """A document's context and what follows it, both (tokens,) int64."""

    context: NDArray[np.int64]
    continuation: NDArray[np.int64]


def measure_choices(
    subject: Subject, shards: Sequence[Shard], items: int, length: int, seed: int
) -> dict[str, Choices]:
    """Ask the same questions of every subject; return the answers' accuracy by source.

    Of a text the context is up to 96 tokens and the continuation up to 32; of a conversation it is
    what stands before the first answer, and up to 64 tokens of that answer, half a row at most.
    A continuation scores the mean of its tokens' log-likelihoods: the sum would favour short
    answers, and the mean by bytes, which compares vocabularies, is not needed, since before and
    after have the same one and nearly all continuations of texts have equally many tokens. A tie
    is a wrong answer.

    Args:
        items: questions of each source, at most; fewer where fewer documents are fit for them.
        length: tokens of a row; longer contexts make no question.
        seed: draws documents and wrong choices; equal seeds give equal questions.

    Returns:
        Sources with fewer than four documents of different continuations are left out.
    """
    results = {}
    for source in dict.fromkeys(shard.source for shard in shards):
        questions = _ask([s for s in shards if s.source == source], items, length, seed)
        if questions:
            results[source] = Choices(_count_correct(subject, questions), len(questions))
    return results


def _count_correct(subject: Subject, questions: Sequence[Sequence[Written]]) -> int:
    nats = measure_nats(subject, [choice for question in questions for choice in question])
    tokens = [int(choice.mask.sum()) for question in questions for choice in question]
    means = (nats / tokens).reshape(len(questions), CHOICES)
    return int((means[:, 0] < means[:, 1:].min(axis=1)).sum())


def _ask(shards: Sequence[Shard], items: int, length: int, seed: int) -> list[list[Written]]:
    """Return questions, each its four choices after the context, the right one first."""
    rng = np.random.default_rng(seed)
    splits = _draw(shards, max(items, CHOICES), length, rng)
    if len(splits) < CHOICES:
        return []
    questions = []
    for i, split in enumerate(splits[:items]):
        # Continuations all differ, so any other one is wrong.
        others = rng.choice(len(splits) - 1, CHOICES - 1, replace=False)
        chosen = [split, *(splits[j + (j >= i)] for j in others)]
        questions.append([_join(split.context, choice.continuation) for choice in chosen])
    return questions


def _draw(
    shards: Sequence[Shard], count: int, length: int, rng: np.random.Generator
) -> list[_Split]:
    """Return so many documents, split, of which no two go on with the same tokens."""
    places = [(shard, document) for shard in shards for document in range(len(shard))]
    drawn: dict[bytes, _Split] = {}
    for i in rng.permutation(len(places)):
        if len(drawn) >= count:
            break
        shard, document = places[i]
        if (split := _split(shard, document, length)) is not None:
            drawn.setdefault(split.continuation.tobytes(), split)
    return list(drawn.values())


def _split(shard: Shard, document: int, length: int) -> _Split | None:
    tokens = shard.document(document).astype(np.int64)
    if shard.trained is None:
        return _split_text(tokens[: min(TEXT_TOKENS, length + 1)])
    start = int(shard.starts[document])
    return _split_conversation(tokens, shard.trained[start : start + len(tokens)], length)


def _split_text(tokens: NDArray[np.int64]) -> _Split | None:
    middle = len(tokens) * 3 // 4
    return _Split(tokens[:middle], tokens[middle:]) if len(tokens) >= SHORTEST_TEXT else None


def _split_conversation(
    tokens: NDArray[np.int64], trained: NDArray[np.bool_], length: int
) -> _Split | None:
    # Where answers begin (even) and end (odd).
    edges = np.flatnonzero(np.diff(trained, prepend=False, append=False))
    if not len(edges):
        return None
    first, end = edges[:2].tolist()
    most = min(ANSWER_TOKENS, (length + 1) // 2)
    # The token that ends an answer tells whether more turns follow, not what was answered.
    answer = tokens[first : min(end - 1, first + most)]
    fits = 0 < first <= length + 1 - most
    return _Split(tokens[:first], answer) if fits and len(answer) else None


def _join(context: NDArray[np.int64], continuation: NDArray[np.int64]) -> Written:
    ids = np.concatenate([context, continuation])
    return Written("question", ids, np.arange(len(ids)) >= len(context))
