"""Questions on a given text: read, cited from passages, and refused where these lack the answer."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from qingtan.evaluation.metrics.citations import (
    RightCitation,
    RightRefusal,
    WrongRefusal,
    strip_citations,
)
from qingtan.evaluation.metrics.metric import Answer, Item, MeanMetric
from qingtan.evaluation.metrics.text import AnswerF1, ExactMatch, normalize
from qingtan.evaluation.task import Baseline, Task, user
from qingtan.evaluation.tasks.sentences import first_sentence
from qingtan.prompts import answers

_SHORT_ANSWER_TOKENS = 96
# Questions on products are answered in a sentence or two.
_CITED_ANSWER_TOKENS = 128


class WithoutCitations(MeanMetric):
    """Mixed into a metric of text: it measures what an answer says, not what it cites."""

    def measure(self, item: Item, answer: Answer) -> Sequence[float]:
        """Return what the answer adds without its citations."""
        return super().measure(item, replace(answer, text=strip_citations(answer.text)))


class CitedExactMatch(WithoutCitations, ExactMatch):
    """ExactMatch of the answer without its citations."""


class CitedF1(WithoutCitations, AnswerF1):
    """AnswerF1 of the answer without its citations."""


def ask_other_documents(items: Sequence[Item]) -> list[Item]:
    """Ask each question of another document's passages, which do not hold its answer.

    The other one is of the same kind, has another title and nowhere a reference's words; which one
    depends on the question's id and the number of items only. A question without such a document
    is left out.

    Returns:
        Items with id, question and segments.
    """
    asked: list[Item] = []
    for item in items:
        other = next((other for other in _others(item, items) if _lacks(other, item)), None)
        if other is not None:
            asked.append(
                {
                    "id": f"{item['id']}@{other['id']}",
                    "question": item["question"],
                    "segments": other["segments"],
                }
            )
    return asked


def _others(item: Item, items: Sequence[Item]) -> Iterator[Item]:
    """Yield all items, from a place that the question's id draws."""
    digest = hashlib.sha256(item["id"].encode()).digest()
    start = int.from_bytes(digest[:8]) % len(items)
    for i in range(len(items)):
        yield items[(start + i) % len(items)]


def _lacks(other: Item, item: Item) -> bool:
    """Whether another document's passages leave an item's question without its answer."""
    if other["task"] != item["task"] or other["title"] == item["title"]:
        return False
    text = normalize("".join(other["segments"]))
    wanted = (normalize(reference) for reference in item["references"])
    return not any(reference in text for reference in wanted)


def _references(item: Item) -> Sequence[str]:
    references: Sequence[str] = item["references"]
    return references


def _passage(item: Item) -> Sequence[int]:
    # That its words also stand elsewhere, as a year does, makes no other passage the right one.
    return [item["cite"]]


def _first_passage(items: Sequence[Item]) -> Sequence[str]:
    return [answers.cite(first_sentence(item["segments"][0]), 1) for item in items]


_FIRST_OF_PASSAGES = Baseline(
    "the first sentence of the first passage", "第一段资料的第一句话", _first_passage
)

READING = Task(
    name="reading",
    english="reading comprehension",
    chinese="阅读理解",
    file="docqa",
    fields=("context", "question", "references"),
    ask=lambda item: user(answers.read_and_answer(item["question"], item["context"])),
    metrics=(AnswerF1(_references), ExactMatch(_references)),
    max_tokens=_SHORT_ANSWER_TOKENS,
    baseline=Baseline(
        "the first sentence of the text",
        "材料的第一句话",
        lambda items: [first_sentence(item["context"]) for item in items],
    ),
    selects=lambda item: item["task"] == "docqa",
)
CITED = Task(
    name="cited",
    english="questions on passages, with citations",
    chinese="带引用的文档问答",
    file="docqa",
    fields=("segments", "question", "references", "cite"),
    ask=lambda item: user(answers.answer_from_passages(item["question"], item["segments"])),
    metrics=(
        CitedF1(_references),
        CitedExactMatch(_references),
        RightCitation(_passage),
        WrongRefusal(),
    ),
    max_tokens=_CITED_ANSWER_TOKENS,
    baseline=_FIRST_OF_PASSAGES,
    # Answers that no passage holds whole have no number.
    selects=lambda item: item["cite"] is not None,
)
UNANSWERABLE = Task(
    name="unanswerable",
    english="questions that the passages do not answer",
    chinese="资料无法回答的问题",
    file="docqa",
    fields=("task", "title", "segments", "question", "references"),
    ask=CITED.ask,
    metrics=(RightRefusal(),),
    max_tokens=_CITED_ANSWER_TOKENS,
    baseline=_FIRST_OF_PASSAGES,
    derive=ask_other_documents,
)

TASKS = (READING, CITED, UNANSWERABLE)
