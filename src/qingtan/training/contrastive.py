"""Contrastive learning of an encoder: InfoNCE over the pairs of a batch (1807.03748, 2004.04906).

A text's vector is the mean of its tokens' last hidden states, after the final norm, brought to
length 1: what `ChatGLM.embed` gives. With the cosines s of a batch's questions and passages and a
temperature τ, a pair's loss is the mean of −ln softmax(s(question, ·) / τ) at its passage, over all
passages and negatives of the batch, and −ln softmax(s(·, passage) / τ) at its question, over all
questions. What may well be right, though it belongs to another pair, is in neither sum.
"""

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from qingtan.training.batches import PADDING, Batch, Written, make_batch
from qingtan.training.evaluation import PASS_TOKENS, evaluating
from qingtan.training.objective import NONE, Loss, Objective
from qingtan.training.passages import Member, PassagePair, Role
from qingtan.training.subject import Subject
from qingtan.training.tables import ContrastiveTable

# Questions that are compared with all passages at once.
_COMPARED = 256


class Contrastive(Objective):
    """InfoNCE on batches of `Member`s; the subject hides the texts of a row from each other."""

    def __init__(self, table: ContrastiveTable) -> None:
        self._table = table

    def count(self, batch: Batch) -> int:
        """Return how many pairs a batch has."""
        return sum(member.role == "question" for member in _members(batch))

    def loss(self, subject: Subject, batch: Batch) -> Loss:
        """Return the sum over the pairs.

        `parts` sums up `accuracy`, 1 for a question whose passage is the nearest of the batch.
        """
        members = _members(batch)
        questions = _of_role(members, "question")
        passages = [*_of_role(members, "passage"), *_of_role(members, "negative")]
        vectors = text_vectors(subject, batch)
        allowed = torch.from_numpy(
            may_be_compared([members[i] for i in questions], [members[i] for i in passages])
        ).to(vectors.device)
        # The cosines' differences are what is learnt from: too fine for 8 bits.
        with torch.autocast(vectors.device.type, enabled=False):
            cosines = vectors[questions] @ vectors[passages].T
            losses = info_nce(cosines, allowed, self._table.temperature)
        nearest = cosines.detach().masked_fill(~allowed, -2).argmax(1)
        own = torch.arange(len(questions), device=vectors.device)
        return Loss(losses.sum(), {"accuracy": (nearest == own).sum()})


def text_vectors(subject: Subject, batch: Batch) -> Tensor:
    """Return the vectors of a batch's pieces, (pieces, D) float32 of length 1, row by row."""
    counts = [len(row) for row in batch.pieces]
    firsts = torch.tensor(np.cumsum([0, *counts[:-1]]), device=batch.documents.device)
    kept = batch.documents != PADDING
    numbers = (batch.documents + firsts[:, None])[kept]
    hidden = subject(batch, logits_at=NONE).hidden[kept].float()
    sums = torch.zeros(sum(counts), hidden.shape[1], device=hidden.device)
    # The mean but for a factor, which length 1 does away with.
    return F.normalize(sums.index_add(0, numbers, hidden), dim=1)


def may_be_compared(questions: Sequence[Member], passages: Sequence[Member]) -> NDArray[np.bool_]:
    """Return which passages count for which questions, (questions, passages).

    Left out are passages that may well answer, though they belong to another pair: those of the
    same document or with the same text as the question's own, and those of the same question. A
    pair's own negatives always count.
    """
    answers = {passage.pair: passage.number for passage in passages if passage.role == "passage"}
    asked = {question.pair: question.number for question in questions}

    def alike(of: Callable[[Member], int]) -> NDArray[np.bool_]:
        equal: NDArray[np.bool_] = np.equal.outer(
            [of(question) for question in questions], [of(passage) for passage in passages]
        )
        return equal

    pair, document = alike(lambda member: member.pair), alike(lambda member: member.document)
    question = alike(lambda member: asked[member.pair])
    text = np.equal.outer([answers[q.pair] for q in questions], [p.number for p in passages])
    allowed: NDArray[np.bool_] = pair | ~(document | question | text)
    return allowed


def info_nce(cosines: Tensor, allowed: Tensor, temperature: float) -> Tensor:
    """Return each pair's loss, (questions,), in nats; see the module.

    Args:
        cosines: (questions, passages); the first passages are the questions' own, in their order.
        allowed: of the same shape, bool: which of them count; among the first, symmetric.
    """
    scores = (cosines / temperature).masked_fill(~allowed, float("-inf"))
    own = torch.arange(len(scores), device=scores.device)
    found = F.cross_entropy(scores, own, reduction="none")
    asked = F.cross_entropy(scores[:, : len(scores)].T, own, reduction="none")
    return (found + asked) / 2


def evaluate_finding(subject: Subject, pairs: Sequence[PassagePair]) -> dict[str, float]:
    """Measure how well questions find their passages among all passages and negatives of the pairs.

    Returns:
        `pairs` and `passages`, how many different ones; `recall_1` and `recall_5`, the share of
        questions whose passage is the nearest, or among the five nearest; `mrr`, the mean of
        1 / rank. Of equally near passages the question's own comes last.
    """
    passages = {text.number: text for pair in pairs for text in (pair.passage, *pair.negatives)}
    place = {number: i for i, number in enumerate(passages)}
    found = encode_texts(subject, list(passages.values()))
    asked = encode_texts(subject, [pair.question for pair in pairs])
    own = np.array([place[pair.passage.number] for pair in pairs])
    ranks = np.zeros(len(pairs))
    for start in range(0, len(pairs), _COMPARED):
        here = slice(start, start + _COMPARED)
        cosines = asked[here] @ found.T
        ranks[here] = (cosines >= np.take_along_axis(cosines, own[here, None], 1)).sum(1)
    return {
        "pairs": len(pairs),
        "passages": len(passages),
        "recall_1": float((ranks <= 1).mean()),
        "recall_5": float((ranks <= 5).mean()),
        "mrr": float((1 / ranks).mean()),
    }


@torch.no_grad()
def encode_texts(subject: Subject, texts: Sequence[Written]) -> NDArray[np.float32]:
    """Return the vectors of texts, (texts, D) of length 1."""
    device = next(subject.parameters()).device
    vectors = np.zeros((len(texts), subject.model.config.hidden_size), np.float32)
    # Texts of like length go together, so that little is padded.
    by_length = sorted(range(len(texts)), key=lambda i: texts[i].length)
    with evaluating(subject):
        while by_length:
            longest = texts[by_length[-1]].length
            chosen = by_length[-max(1, PASS_TOKENS // longest) :]
            del by_length[-len(chosen) :]
            batch = make_batch([[texts[i]] for i in chosen], longest).to(device)
            vectors[chosen] = text_vectors(subject, batch).cpu().numpy()
    return vectors


def _members(batch: Batch) -> list[Member]:
    return [piece for piece in chain(*batch.pieces) if isinstance(piece, Member)]


def _of_role(members: Sequence[Member], role: Role) -> list[int]:
    """Return the places of the members of a role, by their pairs."""
    places = (i for i, member in enumerate(members) if member.role == role)
    return sorted(places, key=lambda i: members[i].pair)
