"""Whether passages hold enough to answer from: a share of the question, calibrated on questions."""

import re
from collections.abc import Sequence

from qingtan.knowledge.claims import amounts, features, names, stands_in
from qingtan.knowledge.quoting import content
from qingtan.knowledge.words import fold

# Found by `qingtan evaluate knowledge` on one part of the questions, and reported on another: the
# highest that refuses at most 3% of those which have an answer.
LEAST_EVIDENCE = 0.46

# What has to agree exactly counts this much beside the share of words, which counts 1.
_EXACT = 0.3
# A law or a book that was asked for and is in no passage: they are of others.
_WITHOUT_TITLE = 0.5
_TITLE = re.compile("《([^《》]{1,60})》")
# Exact values are looked for in the passages that are shown first.
_FIRST = 3


def evidence(question: str, passages: Sequence[str]) -> float:
    """Return how much of a question the passages hold, from 0 to 1.

    It is the largest share of the question's words that one passage has, and to a smaller part the
    share of its numbers and names; half of it where a title in 《》 is in none. That a passage
    speaks of what was asked does not mean that it holds the answer; that no passage does means
    that none can.

    Args:
        passages: best first, with what stands above them, such as headings.
    """
    asked = content(question)
    wanted = features(asked)
    total = sum(wanted.values())
    shares = [_share(wanted, text) for text in passages]
    exact = _exact(question, passages[:_FIRST])
    if not total:
        # Nothing but numbers or names, such as 911.
        return exact if exact is not None else 0.0
    share = max(shares, default=0.0) / total
    if not share:
        return 0.0
    # Without exact values the words decide alone, half-way between all of them and none.
    held = (share + _EXACT * (0.5 if exact is None else exact)) / (1 + _EXACT)
    return held if _has_titles(question, passages) else _WITHOUT_TITLE * held


def _has_titles(question: str, passages: Sequence[str]) -> bool:
    """Whether each title that a question has in 《》 stands in a passage."""
    titles = _TITLE.findall(fold(question))
    return all(any(title in fold(text) for text in passages) for title in titles)


def _share(wanted: dict[str, float], text: str) -> float:
    held = features(text)
    return sum(weight for feature, weight in wanted.items() if feature in held)


def _exact(question: str, passages: Sequence[str]) -> float | None:
    """Return the share of the question's exact values that one passage has; None without any."""
    numbers, named = amounts(question), names(question)
    count = len(numbers) + len(named)
    if not count:
        return None
    held = (
        sum(any(number.agrees(other) for other in amounts(text)) for number in numbers)
        + sum(stands_in(name, text) for name in named)
        for text in passages
    )
    return max(held, default=0) / count
