"""Answers as text: against references, and by themselves."""

import re
import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

from qingtan.evaluation.metrics.metric import Answer, Item, MeanMetric, Metric

References = Callable[[Item], Sequence[str]]

# What a span must be at least to be a repetition, and how often it may stand.
_SPAN = 10
_SPAN_TIMES = 2

# Written without spaces: ideographs and their iteration mark and zero, kana, bopomofo.
_SINGLE = (
    "\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_LETTER = rf"[^\W_{_SINGLE}]"
_TOKEN = re.compile(rf"[{_SINGLE}]|{_LETTER}+(?:(?<=\d)\.(?=\d){_LETTER}+)*")
_POINT = re.compile(r"(?<=\d)\.(?=\d)")
# Symbols to Unicode, but punctuation to the evaluation script of CMRC 2018; + and =, which it
# takes for punctuation too, stay, since C++ is not C.
_MORE_PUNCTUATION = frozenset("`^~")
# "1,385.50" and "4.5" are each one number.
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)*")


def is_punctuation(character: str) -> bool:
    """Whether one character is punctuation, of any script."""
    return unicodedata.category(character)[0] == "P" or character in _MORE_PUNCTUATION


def normalize(text: str) -> str:
    """Return a text's letters, digits and symbols, NFKC'd and in lower case.

    White space and punctuation go, as in the evaluation script of CMRC 2018
    (ymcui/cmrc2018, baseline/cmrc2018_evaluate.py), though of every script; the point within a
    number stays, as it does there, since 4.5 is not 45.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    points = {match.start() for match in _POINT.finditer(text)}
    kept = (
        character
        for i, character in enumerate(text)
        if i in points or not (_is_blank(character) or is_punctuation(character))
    )
    # Letters and marks that stand together only now may be one character.
    return unicodedata.normalize("NFKC", "".join(kept))


def tokenize(text: str) -> list[str]:
    """Return Chinese characters singly, Latin words and numbers whole; NFKC'd, in lower case.

    Punctuation and white space are left out.
    """
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).lower())


class _BestOfReferences(MeanMetric):
    """The answer compared with each reference, of which the best counts."""

    def __init__(self, gold: References) -> None:
        self.gold = gold

    @abstractmethod
    def compare(self, reference: str, answer: str) -> float:
        """Return how like a reference an answer is, from 0 to 1."""

    def score(self, item: Item, answer: Answer) -> float | None:
        """Return the best; None without a reference."""
        scores = (self.compare(reference, answer.text) for reference in self.gold(item))
        return max(scores, default=None)


class ExactMatch(_BestOfReferences):
    """Share of answers that equal a reference, after `normalize`."""

    name, english, chinese = "exact_match", "exact match", "完全匹配"

    def compare(self, reference: str, answer: str) -> float:
        """Return 1 or 0."""
        return float(normalize(reference) == normalize(answer))


class AnswerF1(_BestOfReferences):
    """CMRC 2018's F1 over characters and words (Cui et al. 2019).

    Precision and recall are of the longest common substring of tokens (contiguous, where ROUGE-L's
    subsequence need not be), as `find_lcs` of its script has it. Other than there, where full-width
    punctuation is struck out and the words beside it are joined, punctuation of every script only
    separates.
    """

    name, english, chinese = "f1", "F1", "F1"

    def compare(self, reference: str, answer: str) -> float:
        """Return 2PR / (P + R)."""
        wanted, said = tokenize(reference), tokenize(answer)
        common = SequenceMatcher(None, wanted, said, autojunk=False).find_longest_match().size
        return 2 * common / (len(wanted) + len(said)) if common else 0.0


class RougeL(_BestOfReferences):
    """ROUGE-L (Lin 2004) with beta = 1, over `tokenize`'s characters and words."""

    name, english, chinese = "rouge_l", "ROUGE-L", "ROUGE-L"

    def compare(self, reference: str, answer: str) -> float:
        """Return 2PR / (P + R) of the longest common subsequence."""
        wanted, said = tokenize(reference), tokenize(answer)
        common = LCSseq.similarity(wanted, said)
        return 2 * common / (len(wanted) + len(said)) if common else 0.0


class Contains(MeanMetric):
    """Share of answers in which all of an item's exact values stand, such as a phone number.

    Both are NFKC'd, and white space does not count. A value that begins or ends with a digit must
    not be cut out of a longer number: 385 stands neither in 1385, 1,385 nor 385.5.

    Args:
        gold: an item's values; one without any is left out.
    """

    name, english, chinese = "exact_value", "exact value given", "给出准确值"

    def __init__(self, gold: References) -> None:
        self.gold = gold

    def score(self, item: Item, answer: Answer) -> float | None:
        """Return 1 or 0; None without a value."""
        values = self.gold(item)
        return float(all(contains(answer.text, value) for value in values)) if values else None


def contains(text: str, value: str) -> bool:
    """Whether an exact value stands in a text, as Contains has it; an empty one never does."""
    # NFKC would make a comma of thousands of a full-width one, which never is.
    text = unicodedata.normalize("NFKC", text.replace("，", ", "))
    characters = "".join(unicodedata.normalize("NFKC", value).split())
    if not characters:
        return False
    # Places that part a number's digits; a value may neither begin nor end there.
    inside = {
        place
        for number in _NUMBER.finditer(text)
        for place in range(number.start() + 1, number.end())
    }
    # Looking ahead finds the places that overlap as well.
    pattern = "(?=(" + r"\s*".join(map(re.escape, characters)) + "))"
    return any(
        match.start(1) not in inside and match.end(1) not in inside
        for match in re.finditer(pattern, text)
    )


class Repeats(MeanMetric):
    """Share of answers that loop: a span of ten tokens stands in them more than twice.

    Tokens are `tokenize`'s, so that neither white space nor a line of dashes counts, and ten
    letters of one English word are no loop. The places must not overlap.
    """

    name, english, chinese = "loops", "answers that repeat themselves", "重复循环的回答"
    higher_is_better = False

    def score(self, item: Item, answer: Answer) -> float:
        """Return 1 or 0, in time that grows with the answer's length only."""
        tokens = tokenize(answer.text)
        seen: dict[tuple[str, ...], tuple[int, int]] = {}  # how often a span stood, where it ended
        for start in range(len(tokens) - _SPAN + 1):
            span = tuple(tokens[start : start + _SPAN])
            times, end = seen.get(span, (0, 0))
            if start >= end:
                if times == _SPAN_TIMES:
                    return 1.0
                seen[span] = times + 1, start + _SPAN
        return 0.0


class Distinct2(Metric):
    """Distinct-2 (Li et al. 2016): different bigrams of tokens, of all bigrams.

    Bigrams are compared within an answer, so that answers to like questions may be alike.
    """

    name, english, chinese = "distinct_2", "distinct bigrams", "不同二元组占比"

    def measure(self, item: Item, answer: Answer) -> Sequence[float]:
        """Return how many different bigrams, and how many."""
        tokens = tokenize(answer.text)
        bigrams = list(pairwise(tokens))
        return float(len(set(bigrams))), float(len(bigrams))

    def combine(self, sums: NDArray[np.float64]) -> float:
        """Return the share over all answers."""
        return float(sums[0] / sums[1]) if sums[1] else float("nan")


class EndsByItself(MeanMetric):
    """Share of answers that are not empty and end before the limit of tokens."""

    name, english, chinese = "ends", "answers that end by themselves", "自行结束的回答"

    def score(self, item: Item, answer: Answer) -> float:
        """Return 1 or 0."""
        return float(answer.ended and bool(answer.text.strip()))


class Length(MeanMetric):
    """Characters of an answer; neither more nor fewer are better."""

    name, english, chinese = "characters", "characters of an answer", "回答字数"
    unit = "number"

    def score(self, item: Item, answer: Answer) -> float:
        """Return how many."""
        return float(len(answer.text))


def _is_blank(character: str) -> bool:
    return character.isspace() or unicodedata.category(character)[0] in "ZC"
