"""Which of a teacher's answers are worth learning from.

A filter looks at a question and an answer, and gives the reason against the answer, or None.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qingtan.corpus.quality.language import identify
from qingtan.errors import UserError
from qingtan.training.distillation.teachers import Candidate

# Characters of a gram that comes back in a loop; shorter ones come back in good texts too.
LOOP_GRAM = 8
# An answer of which the question is so large a part, or the reverse, says nothing new.
SAME_SHARE = 0.8
_CHINESE = ("zh", "lzh")
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
# A question that speaks of another language, or of code, may be answered in it.
_OTHER_LANGUAGE = re.compile(
    r"[英日韩法德俄外][文语]|西班牙语|拉丁|译|双语|代码|程序|函数|脚本|正则|公式|网址|SQL|Python|HTML|JSON|"
    r"\b(?:Chinese|Mandarin|translat\w*|code)\b",
    re.IGNORECASE,
)

REASONS = {
    "refused": ("question refused by the teacher", "教师不接受的问题"),
    "empty": ("empty", "空"),
    "cut_off": ("cut off before its end", "未写完"),
    "too_short": ("too short", "过短"),
    "too_long": ("too long", "过长"),
    "repeats_itself": ("repeats itself", "自我重复"),
    "other_language": ("in another language than the question", "与问题语言不同"),
    "repeats_question": ("repeats the question", "重复问题"),
    "duplicate": ("the same as another answer to the question", "与同题的另一回答相同"),
    "not_chosen": ("others agree better with each other", "同题另有更一致的回答"),
    "low_agreement": ("the answers disagree", "各回答不一致"),
}
"""What each reason is called, in English and Chinese."""


@dataclass(frozen=True)
class AnswerFilters:
    """What an answer must be like.

    Attributes:
        min_characters, max_characters: its length.
        max_repeated_share: the most of its grams of LOOP_GRAM characters that occurred in it
            before; 1 turns the filter off.
        same_language: whether a Chinese question must be answered in Chinese, and an English one
            not in Chinese, unless it speaks of another language.
        min_agreement: the least mean F1 of its character bigrams with the other answers to the
            question; 0 turns the filter off.
    """

    min_characters: int = 1
    max_characters: int = 8000
    max_repeated_share: float = 0.5
    same_language: bool = True
    min_agreement: float = 0.0

    def __post_init__(self) -> None:
        for name in ("max_repeated_share", "min_agreement"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name}: {getattr(self, name)} is not between 0 and 1")
        if not 0 < self.min_characters <= self.max_characters:
            raise UserError(
                f"min_characters: {self.min_characters} is not between 1 and max_characters "
                f"{self.max_characters}"
            )

    def reason(self, question: str, candidate: Candidate) -> str | None:
        """Return the first reason against an answer, a key of REASONS."""
        answer = candidate.text
        checks: tuple[Callable[[], str | None], ...] = (
            lambda: empty(answer),
            lambda: cut_off(candidate.finish_reason),
            lambda: wrong_length(answer, self.min_characters, self.max_characters),
            lambda: repeats_itself(answer, self.max_repeated_share),
            lambda: other_language(question, answer) if self.same_language else None,
            lambda: repeats_question(question, answer),
        )
        return next((reason for check in checks if (reason := check())), None)


def empty(answer: str) -> str | None:
    """There is nothing in it."""
    return None if answer.strip() else "empty"


def cut_off(finish_reason: str) -> str | None:
    """It did not end by itself."""
    return None if finish_reason == "stop" else "cut_off"


def wrong_length(answer: str, least: int, most: int) -> str | None:
    """It has too few or too many characters."""
    if len(answer) < least:
        return "too_short"
    return "too_long" if len(answer) > most else None


def repeats_itself(answer: str, most: float) -> str | None:
    """It goes round in a loop."""
    return "repeats_itself" if repeated_share(answer) > most else None


def other_language(question: str, answer: str) -> str | None:
    """A Chinese question is answered without any Chinese, or an English one in Chinese.

    Numbers, formulas and other answers with too few letters to tell are let pass, and so are the
    answers to questions that speak of another language or of code.
    """
    if _OTHER_LANGUAGE.search(question):
        return None
    asked, answered = identify([question, answer])
    without_chinese = asked in _CHINESE and not _HAN.search(answer) and answered != "und"
    in_chinese = asked == "en" and answered in _CHINESE
    return "other_language" if without_chinese or in_chinese else None


def repeats_question(question: str, answer: str) -> str | None:
    """It is the question, or nearly all of it is."""
    shorter, longer = sorted((fold(question), fold(answer)), key=len)
    same = bool(shorter) and shorter in longer and len(shorter) >= SAME_SHARE * len(longer)
    return "repeats_question" if same else None


def repeated_share(text: str) -> float:
    """Return which share of the grams of LOOP_GRAM characters occurred before in the text."""
    total = len(text) - LOOP_GRAM + 1
    if total < 1:
        return 0.0
    return 1 - len({text[i : i + LOOP_GRAM] for i in range(total)}) / total


def bigram_f1(one: str, other: str) -> float:
    """Return the F1 of two texts' character bigrams, counted with their multiplicity.

    Punctuation, spaces and case are no matter. A text of one character has itself for a bigram.
    """
    left, right = _bigrams(one), _bigrams(other)
    total = left.total() + right.total()
    return 2 * (left & right).total() / total if total else float(one.strip() == other.strip())


def agreements(answers: Sequence[str]) -> list[float]:
    """Return each answer's mean F1 with the others; 0 where there are none.

    As in self-consistency (2203.11171) the answer that most others resemble is the likeliest to
    be right; texts are compared by bigrams, since they hardly ever are the same.
    """
    if len(answers) < 2:
        return [0.0] * len(answers)
    scores = np.array([[bigram_f1(one, other) for other in answers] for one in answers])
    means = (scores.sum(1) - scores.diagonal()) / (len(answers) - 1)
    return [float(mean) for mean in means]


def fold(text: str) -> str:
    """Return the letters, ideographs and digits of a text, in lower case."""
    return "".join(character for character in text.lower() if character.isalnum())


def _bigrams(text: str) -> Counter[str]:
    folded = fold(text)
    return Counter([folded[i : i + 2] for i in range(len(folded) - 1)] or [folded][: len(folded)])
