"""Measures of finding and answering."""

from collections.abc import Sequence

from qingtan.evaluation.metrics.citations import read_citations
from qingtan.evaluation.metrics.metric import Answer, Item, MeanMetric
from qingtan.evaluation.metrics.text import Contains, normalize
from qingtan.evaluation.tasks.reading import WithoutCitations


def references(item: Item) -> Sequence[str]:
    """Return an item's references."""
    wanted: Sequence[str] = item["references"]
    return wanted


class Recall(MeanMetric):
    """Share of questions whose document is among the first passages.

    An answer's text is the rank of the first passage that is the right one, empty where none is.

    Args:
        most: how many of them.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        # Beside the class's own, which are only types there.
        self.__dict__.update(
            name=f"recall_{most}",
            english=f"document among the first {most}",
            chinese=f"前 {most} 段含所在文档",
        )

    def score(self, item: Item, answer: Answer) -> float:
        """Return 1 or 0."""
        return float(bool(answer.text) and int(answer.text) <= self.most)


class ReciprocalRank(MeanMetric):
    """Mean of 1 / rank of the first passage of the document, 0 where none of ten is.

    An answer's text is as for `Recall`.
    """

    name, english, chinese = "mrr", "mean reciprocal rank", "平均倒数排名"
    unit = "number"

    def score(self, item: Item, answer: Answer) -> float:
        """Return it."""
        return 1 / int(answer.text) if answer.text else 0.0


class HoldsReference(WithoutCitations, Contains):
    """Share of answers in which a reference stands, after `normalize`."""

    name, english, chinese = "holds_reference", "reference stands in the answer", "回答包含参考答案"

    def __init__(self) -> None:
        super().__init__(references)

    def score(self, item: Item, answer: Answer) -> float:
        """Return 1 or 0."""
        text = normalize(answer.text)
        return float(any((want := normalize(each)) and want in text for each in item["references"]))


class SupportedCitation(MeanMetric):
    """Share of citations that are of the right document; answers without any are left out."""

    name, english, chinese = (
        "right_document_cited",
        "citations of the right document",
        "引用出自正确文档",
    )

    def score(self, item: Item, answer: Answer) -> float | None:
        """Return the share of an answer's."""
        cited = read_citations(answer.text)
        if not cited:
            return None
        right = sum(1 <= n <= len(item["cited"]) and item["cited"][n - 1] for n in cited)
        return float(right / len(cited))
