"""Tasks that shorten a text: titles of papers, summaries of documents, leads of articles."""

from collections.abc import Callable, Sequence

from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.metrics.text import RougeL
from qingtan.evaluation.task import Baseline, Task, user
from qingtan.evaluation.tasks.sentences import first_sentence
from qingtan.prompts import texts


def _first_sentences(items: Sequence[Item]) -> Sequence[str]:
    return [first_sentence(item["input"]) for item in items]


def _task(
    name: str, english: str, chinese: str, kind: str, ask: Callable[[str], str], max_tokens: int
) -> Task:
    return Task(
        name=name,
        english=english,
        chinese=chinese,
        file="summarization",
        fields=("input", "references"),
        ask=lambda item: user(ask(item["input"])),
        metrics=(RougeL(lambda item: item["references"]),),
        max_tokens=max_tokens,
        baseline=Baseline("the first sentence", "第一句话", _first_sentences),
        selects=lambda item: item["task"] == kind,
    )


TITLES = _task("titles", "titles of papers", "论文题目", "title_generation", texts.paper_title, 64)
DOC_SUMMARIES = _task(
    "doc-summaries", "summaries of documents", "文档摘要", "doc_summary", texts.summary, 128
)
LEADS = _task("leads", "leads of articles", "文章导语", "article_lead", texts.lead, 96)

TASKS = (TITLES, DOC_SUMMARIES, LEADS)
