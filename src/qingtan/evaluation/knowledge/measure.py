"""Indexing the sets, asking the questions, and making figures of the answers."""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qingtan.evaluation.figures import make_figure
from qingtan.evaluation.knowledge.claims import Claim
from qingtan.evaluation.knowledge.figures import (
    HoldsReference,
    Recall,
    ReciprocalRank,
    SupportedCitation,
    references,
)
from qingtan.evaluation.knowledge.questions import Question
from qingtan.evaluation.knowledge.results import Kind, Point, Speed
from qingtan.evaluation.metrics.citations import RightRefusal, WrongRefusal
from qingtan.evaluation.metrics.metric import Answer, Item, Metric
from qingtan.evaluation.results import Figure
from qingtan.evaluation.tasks.reading import CitedExactMatch, CitedF1
from qingtan.knowledge.answers import Answered, Write, answer, passage_of
from qingtan.knowledge.chunking import cut
from qingtan.knowledge.documents import Document
from qingtan.knowledge.encoders import Encoder
from qingtan.knowledge.evidence import check
from qingtan.knowledge.retrieval import Hit, Retriever
from qingtan.knowledge.store.interface import Base, Store
from qingtan.knowledge.sufficiency import evidence

FOUND = 10
READ = 5
# The most answerable questions, as a share, that the threshold of evidence may refuse.
MOST_LOST = 0.03
_FINE = np.round(np.arange(0, 1.0001, 0.01), 3)
_STEPS = np.round(np.arange(0, 1.0001, 0.025), 3)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what was found for it.

    Attributes:
        rank: of the first passage that is the right one, from 1; None where none of ten is.
        evidence: of the first five.
    """

    question: Question
    hits: tuple[Hit, ...]
    rank: int | None
    evidence: float
    seconds: float


def index(
    store: Store,
    base: Base,
    documents: Iterable[Document],
    measure: Callable[[str], int],
    encoder: Encoder | None = None,
) -> int:
    """Cut and store documents in one transaction; return how many chunks they have.

    Args:
        encoder: makes vectors of all chunks.
    """
    count = 0
    with store.transaction():
        for document in documents:
            chunks = cut(document, measure)
            digest = hashlib.sha256(document.name.encode()).hexdigest()
            texts = [chunk.searched for chunk in chunks]
            store.put_document(
                base,
                document,
                digest,
                chunks,
                vectors=encoder.encode(texts) if encoder else None,
                encoder=encoder.name if encoder else "",
            )
            count += len(chunks)
    return count


def ask(retriever: Retriever, base: Base, questions: Sequence[Question]) -> list[Asked]:
    """Find passages for each question."""
    asked = []
    for question in questions:
        begun = time.perf_counter()
        hits = retriever.find([base], question.text, FOUND)
        seconds = time.perf_counter() - begun
        texts = [passage_of(hit).read for hit in hits[:READ]]
        held = evidence(question.text, texts)
        asked.append(Asked(question, tuple(hits), _rank(question, hits), held, seconds))
    return asked


def _rank(question: Question, hits: Sequence[Hit]) -> int | None:
    ranks = (i for i, hit in enumerate(hits, start=1) if _is_right(question, hit))
    return next(ranks, None)


def _is_right(question: Question, hit: Hit) -> bool:
    chunk = hit.chunk
    return chunk.document.name == question.document and chunk.chunk.label == question.label


def measure_finding(
    asked: Sequence[Asked], baseline: Sequence[Asked] | None = None
) -> tuple[Figure, ...]:
    """Return recall and rank.

    Args:
        baseline: the same questions, found otherwise.
    """
    metrics: tuple[Metric, ...] = (Recall(5), Recall(1), ReciprocalRank())
    return _figures(
        metrics, [{}] * len(asked), _ranks(asked), _ranks(baseline) if baseline else None
    )


def _ranks(asked: Sequence[Asked]) -> list[Answer]:
    return [Answer(str(each.rank or "")) for each in asked]


def measure_answers(
    asked: Sequence[Asked], least: float, write: Write | None = None
) -> tuple[Figure, ...]:
    """Return figures of the answers to questions that have one.

    Args:
        write: a model's own words are measured, beside quotations as their baseline.
    """
    quoted = [answer(each.question.text, each.hits[:READ], least=least) for each in asked]
    said = quoted
    if write:
        said = [
            answer(each.question.text, each.hits[:READ], least=least, write=write) for each in asked
        ]
    items: list[Item] = [
        {
            "references": each.question.references,
            "cited": [hit.chunk.document.name == each.question.document for hit in each.hits],
        }
        for each in asked
    ]
    metrics: tuple[Metric, ...] = (
        HoldsReference(),
        CitedF1(references),
        CitedExactMatch(references),
        SupportedCitation(),
        WrongRefusal(),
    )
    return _figures(metrics, items, _texts(said), _texts(quoted) if write else None)


def measure_refusals(asked: Sequence[Asked], least: float) -> tuple[Figure, ...]:
    """Return figures of the answers to questions that have none."""
    said = [answer(each.question.text, each.hits[:READ], least=least) for each in asked]
    return _figures((RightRefusal(),), [{} for _ in asked], _texts(said))


def _texts(answers: Iterable[Answered]) -> list[Answer]:
    return [Answer(each.text) for each in answers]


def _figures(
    metrics: Sequence[Metric],
    items: Sequence[Item],
    answers: Sequence[Answer],
    baseline: Sequence[Answer] | None = None,
) -> tuple[Figure, ...]:
    made = (make_figure(metric, items, answers, baseline) for metric in metrics)
    return tuple(figure for figure in made if figure is not None)


def curve(present: Sequence[Asked], absent: Sequence[Asked]) -> tuple[Point, ...]:
    """Return what each threshold would refuse."""
    have = np.array([each.evidence for each in present])
    lack = np.array([each.evidence for each in absent])
    return tuple(
        Point(
            threshold=float(step),
            refused_wrongly=_share(have < step),
            refused_rightly=_share(lack < step),
        )
        for step in _STEPS
    )


def _share(flags: NDArray[np.bool_]) -> float:
    """Return the share of what is true; 0 of nothing."""
    return float(flags.mean()) if len(flags) else 0.0


def best_threshold(accepted: NDArray[np.float64], rejected: NDArray[np.float64]) -> float:
    """Return the threshold where the shares of right decisions, of both kinds, add up to most.

    That is where Youden's J is greatest (Youden 1950, "Index for rating diagnostic tests"). Of
    equals it is the middle one.

    Args:
        accepted: scores of what should reach the threshold.
        rejected: scores of what should stay below it.
    """
    sums = np.array([_share(accepted >= t) + _share(rejected < t) for t in _FINE])
    best = _FINE[sums >= sums.max() - 1e-9]
    return float(best[len(best) // 2])


def lenient_threshold(accepted: NDArray[np.float64], lost: float = MOST_LOST) -> float:
    """Return the highest threshold that loses at most a share of what should reach it."""
    kept = [t for t in _FINE if _share(accepted < t) <= lost]
    return float(max(kept))


def check_claims(claims: Sequence[Claim]) -> tuple[Kind, ...]:
    """Return which share of each kind of claims the check lets pass."""
    passed: dict[tuple[str, bool], list[bool]] = {}
    for claim in claims:
        found = bool(check(claim.text, [claim.passage], question=claim.question).text)
        passed.setdefault((claim.kind, claim.true), []).append(found)
    return tuple(
        Kind(name=name, true=true, claims=len(found), supported=sum(found) / len(found))
        for (name, true), found in sorted(passed.items(), key=lambda each: not each[0][1])
    )


def supports(claims: Sequence[Claim]) -> NDArray[np.float64]:
    """Return the support of each claim, 0 where something stands against it."""
    found = []
    for claim in claims:
        sentences = check(
            claim.text, [claim.passage], question=claim.question, least=0.01
        ).sentences
        found.append(min((s.support if not s.conflicts else 0.0 for s in sentences), default=0.0))
    return np.array(found, np.float64)


def speed(asked: Sequence[Asked], documents: int, chunks: int, seconds: float) -> Speed:
    """Return the figures of time.

    Args:
        seconds: that indexing took.
    """
    times = []
    for each in asked:
        begun = time.perf_counter()
        answer(each.question.text, each.hits[:READ])
        times.append(1000 * (time.perf_counter() - begun + each.seconds))
    return Speed(
        documents=documents,
        chunks=chunks,
        documents_a_second=documents / seconds,
        median_ms=float(np.median(times)),
        p99_ms=float(np.quantile(times, 0.99)),
    )
