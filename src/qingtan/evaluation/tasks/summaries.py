"""Tasks that shorten a text: titles of papers, summaries of documents, leads of articles."""

import re
from collections.abc import Callable, Sequence

from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.metrics.text import RougeL
from qingtan.evaluation.task import Baseline, Task, user
from qingtan.prompts import texts

# A sentence ends at a Chinese mark, at a line's end, or at a Latin mark before white space or
# before an ideograph, as in abstracts, but not within 2.5.
_SENTENCE = re.compile(r".+?(?:[。！？\n]|[.!?](?=[\s\u4e00-\u9fff]|$)|$)", re.DOTALL)


def _first_sentences(items: Sequence[Item]) -> Sequence[str]:
    return [_first_sentence(item["input"]) for item in items]


def _first_sentence(text: str) -> str:
    match = _SENTENCE.match(text.strip())
    return match[0].strip() if match else ""


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
