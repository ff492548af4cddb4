"""Answers as labels: one of several, a set of them, or a lettered option."""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import UserError
from qingtan.evaluation.metrics.metric import Answer, Item, MeanMetric, Metric
from qingtan.evaluation.metrics.text import is_punctuation, normalize
from qingtan.i18n import tr

Labels = Callable[[Item], Collection[str]]
Read = Callable[[str], Collection[str]]

_OPTION = re.compile(r"^\s*([A-Z])\s*[.．、:：)）]\s*(\S.*?)\s*$", re.MULTILINE)
# "答案是B", "我选择 B", "The answer is B"
_LEAD = re.compile(
    r"\A\s*(?:(?:我|应该|应为|应|正确|更合理|的|答案|选项|选择|选|是|为)+"
    r"|the (?:correct )?answer is)\s*[:：]?\s*",
    re.IGNORECASE,
)


def read_label(answer: str, labels: Iterable[str]) -> str | None:
    """Return which of the known labels an answer gives; None where it gives none of them.

    It gives a label that it equals after `normalize`, or that it begins with, going on with
    punctuation or a new line ("正面。菜很好吃"). An answer that goes on with another label at once
    ("正面、负面") gives none.
    """
    labels = list(labels)
    said = normalize(answer)
    for known in labels:
        if said and said == normalize(known):
            return known
    label, rest = _take_label(answer, labels)
    # Where none was taken the rest is the whole answer, and begins with none either.
    return label if _take_label(rest, labels)[0] in (label, None) else None


def read_options(question: str) -> dict[str, str]:
    """Return the options of a question by their letters, which stand one a line: "A. …"."""
    return dict(_OPTION.findall(question))


def read_choice(answer: str, options: Mapping[str, str]) -> str | None:
    """Return the letter of the option that an answer gives; None where it gives none.

    The letter alone does, with its text ("B. 我放了盐。"), with a few words before ("答案是B"), or
    the text without the letter. A letter counts more than a text that belongs to another.
    """
    for text in (answer, _LEAD.sub("", answer)):
        if (letter := read_label(text, options)) is not None:
            return letter
    said = normalize(answer)
    return next((letter for letter, text in options.items() if said == normalize(text)), None)


class Accuracy(MeanMetric):
    """Share of answers that give the right label.

    Args:
        gold: an item's right label, alone; or all that are right.
        labels: the known ones.
    """

    name, english, chinese = "accuracy", "accuracy", "准确率"

    def __init__(self, gold: Labels, labels: Iterable[str]) -> None:
        self.gold = gold
        self.labels = tuple(dict.fromkeys(labels))

    def score(self, item: Item, answer: Answer) -> float:
        """Return 1 or 0.

        Raises:
            UserError: a right label is not a known one.
        """
        gold = _known(item, self.gold(item), self.labels)
        return float(read_label(answer.text, self.labels) in gold)


class Choice(MeanMetric):
    """Share of questions with lettered options that were answered with the right one.

    Args:
        gold: an item's right letter.
        options: an item's options by letter.
    """

    name, english, chinese = "accuracy", "accuracy", "准确率"

    def __init__(self, gold: Labels, options: Callable[[Item], Mapping[str, str]]) -> None:
        self.gold = gold
        self.options = options

    def score(self, item: Item, answer: Answer) -> float:
        """Return 1 or 0.

        Raises:
            UserError: the right letter is no option's.
        """
        options = self.options(item)
        return float(read_choice(answer.text, options) in _known(item, self.gold(item), options))


class MacroF1(Metric):
    """The mean of the labels' F1, each label alike however rare.

    Labels that are neither right for any item nor given by any answer are left out. An answer
    without a label is a miss of the right one, and no false alarm of another.

    Args:
        gold: an item's right label.
        labels: the known ones.
    """

    name, english, chinese = "macro_f1", "macro-averaged F1", "宏平均 F1"

    def __init__(self, gold: Labels, labels: Iterable[str]) -> None:
        self.gold = gold
        self.labels = tuple(dict.fromkeys(labels))

    def measure(self, item: Item, answer: Answer) -> Sequence[float]:
        """Return true positives, false positives and false negatives, each by label: (3 · labels).

        Raises:
            UserError: the right label is not a known one.
        """
        gold = _known(item, self.gold(item), self.labels)
        said = read_label(answer.text, self.labels)
        hits = [label == said and label in gold for label in self.labels]
        alarms = [label == said and label not in gold for label in self.labels]
        misses = [label != said and label in gold for label in self.labels]
        return [float(counted) for counted in hits + alarms + misses]

    def combine(self, sums: NDArray[np.float64]) -> float:
        """Return the mean of 2tp / (2tp + fp + fn)."""
        hits, alarms, misses = sums.reshape(3, -1)
        whole = 2 * hits + alarms + misses
        present = whole > 0
        return float(np.mean(2 * hits[present] / whole[present])) if present.any() else float("nan")


class ExactSet(MeanMetric):
    """Share of answers that give all right labels and no others, in any order.

    Args:
        gold: an item's right ones, which may be none.
        read: what an answer gives.
    """

    name, english, chinese = "exact_set", "all labels right", "全部标签正确"

    def __init__(self, gold: Labels, read: Read) -> None:
        self.gold = gold
        self.read = read

    def score(self, item: Item, answer: Answer) -> float:
        """Return 1 or 0; labels are compared after `normalize`."""
        return float(_fold(self.gold(item)) == _fold(self.read(answer.text)))


class SetF1(Metric):
    """F1 over all (item, label) pairs, as intents, entities, slots and keywords are scored.

    Args:
        gold: an item's right ones, which may be none.
        read: what an answer gives.
    """

    name, english, chinese = "micro_f1", "micro-averaged F1", "微平均 F1"

    def __init__(self, gold: Labels, read: Read) -> None:
        self.gold = gold
        self.read = read

    def measure(self, item: Item, answer: Answer) -> Sequence[float]:
        """Return true positives, false positives and false negatives, after `normalize`."""
        gold, said = _fold(self.gold(item)), _fold(self.read(answer.text))
        return float(len(gold & said)), float(len(said - gold)), float(len(gold - said))

    def combine(self, sums: NDArray[np.float64]) -> float:
        """Return 2tp / (2tp + fp + fn)."""
        hits, alarms, misses = sums
        whole = 2 * hits + alarms + misses
        return float(2 * hits / whole) if whole else float("nan")


def _take_label(text: str, labels: Collection[str]) -> tuple[str | None, str]:
    """Return the label that a text begins with, and what comes after it."""
    text = _prepare(text)
    for label in sorted(labels, key=len, reverse=True):
        folded = _prepare(label)
        rest = text.removeprefix(folded)
        if folded and text.startswith(folded) and (not rest or _parts(rest[0])):
            return label, rest
    return None, text


def _prepare(text: str) -> str:
    """Return a text in one form, from its first character that says something."""
    text = unicodedata.normalize("NFKC", text).lower()
    start = next((i for i, c in enumerate(text) if not (is_punctuation(c) or c.isspace())), None)
    return "" if start is None else text[start:]


def _parts(character: str) -> bool:
    return is_punctuation(character) or character == "\n"


def _fold(labels: Iterable[str]) -> frozenset[str]:
    return frozenset(folded for label in labels if (folded := normalize(label)))


def _known(item: Item, gold: Collection[str], labels: Collection[str]) -> Collection[str]:
    for label in gold:
        if label not in labels:
            raise UserError(
                tr(
                    f"item {item.get('id')}: its label {label} is none of {', '.join(labels)}",
                    f"条目 {item.get('id')}：标签“{label}”不在已知标签之中：{'、'.join(labels)}",
                )
            )
    return gold
