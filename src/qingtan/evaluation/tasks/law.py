"""Questions on articles of laws, answered from given ones."""

from collections.abc import Sequence

from qingtan.errors import UserError
from qingtan.evaluation.metrics.citations import RightCitation
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.metrics.text import RougeL
from qingtan.evaluation.task import Baseline, Task, user
from qingtan.evaluation.tasks.reading import WithoutCitations
from qingtan.i18n import tr
from qingtan.prompts import answers


class CitedRougeL(WithoutCitations, RougeL):
    """RougeL of the answer without its citations."""


def name_article(item: Item, text: str) -> str:
    """Write a text after the name of the article that holds it, as answers are trained to begin.

    Raises:
        UserError: the item cites a passage that it does not have.
    """
    passages, cited = item["passages"], item["cite"]
    if not isinstance(cited, int) or not 1 <= cited <= len(passages):
        raise UserError(
            tr(
                f"item {item.get('id')}: its cite is {cited}, of {len(passages)} passages",
                f"条目 {item.get('id')}：cite 为 {cited}，而只有 {len(passages)} 段法条",
            )
        )
    name, _, _ = passages[cited - 1].partition("\u3000")
    return f"根据{name}，{text}"


def _references(item: Item) -> Sequence[str]:
    """Return the article's words, and these after its name: the question names it already."""
    references: Sequence[str] = item["references"]
    return [*references, *(name_article(item, reference) for reference in references)]


LAW = Task(
    name="law",
    english="questions on laws, with citations",
    chinese="带引用的法条问答",
    file="law",
    fields=("passages", "question", "references", "cite"),
    ask=lambda item: user(answers.answer_law(item["question"], item["passages"])),
    metrics=(CitedRougeL(_references), RightCitation(lambda item: [item["cite"]])),
    max_tokens=384,
    baseline=Baseline(
        "the first article",
        "第一条法条",
        lambda items: [answers.cite(item["passages"][0], 1) for item in items],
    ),
    # A citation of nothing is found before anything is asked.
    selects=lambda item: item["task"] == "law_docqa_cited" and bool(_references(item)),
)

TASKS = (LAW,)
