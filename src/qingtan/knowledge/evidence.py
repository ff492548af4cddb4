"""Which sentences of an answer the passages support: computed, never asked of a model.

A sentence is supported where one or two neighbouring sentences of a passage hold most of its words,
all of its amounts with their units, and deny what it denies and nothing else of it; the names in it
must stand in that passage. This cannot see every error: who did what to whom may be turned round
with the same words. What it calls unsupported mostly is: see `qingtan evaluate knowledge`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from qingtan.knowledge.claims import Amount, amounts, features, names, negations, stands_in
from qingtan.knowledge.sentences import split_sentences
from qingtan.knowledge.words import fold

# Found by `qingtan evaluate knowledge` on one part of the questions, and reported on another.
LEAST_SUPPORT = 0.6

_NUMBER = r"\d{1,3}"
_CITATION = re.compile(
    rf"[ \t\u3000]*[\[［【〔]\s*({_NUMBER}(?:\s*[、,，;；\-–—~～至]\s*{_NUMBER})*)\s*[\]］】〕]"
)
_LEADING = re.compile(rf"(?:{_CITATION.pattern})+")
_SOURCE = re.compile(
    r"^(?:根据|依据|按照|据)(?:上述|以上|所?提供的?|给出的|所给的?|现有的?|相关)*"
    r"(?:资料|材料|文档|文章|信息|内容|条文|法条)[^，,]{0,6}[，,]"
)
_YES = re.compile(r"(?:是的?|对的?|没错|可以的?|能够?|有的?|会的?|正确|允许|需要|应当|应该)")
_NO = re.compile(
    r"(?:不是的?|否|不对|不可以|不能|没有|不会|不行|不正确|错误|不允许|不需要|不应当|不应该|无)"
)
_ASKING = re.compile(r"是否|能否|可否|是不是|能不能|会不会|可不可以|有没有|要不要|吗|呢|请问|[？?]")
# Answers of less weight are no claims of their own: they claim what was asked.
_LEAST_CLAIM = 6.0
# Words that stand elsewhere in the passage, such as the name of what it is about.
_ELSEWHERE = 0.5
# How much more two sentences must hold than one, to be asked instead of it.
_MORE_OF_TWO = 0.15
# How much more a sentence must hold than another, to be the one that the claim is about.
_CLOSER = 0.02
_ASKED_POWER = 1 / 3


@dataclass(frozen=True, slots=True)
class CheckedSentence:
    """A sentence of an answer, and what the passages say to it.

    Attributes:
        text: without citations.
        cited: the passages that it cited, from 1.
        passage: the one that supports it best, from 1; None where none does at all.
        support: the share of its words that this passage holds, from 0 to 1.
        conflicts: what stands against it: amounts and names that the passage lacks, negations.
        supported: it is kept.
    """

    text: str
    cited: tuple[int, ...]
    passage: int | None
    support: float
    conflicts: tuple[str, ...]
    supported: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer that was checked.

    Attributes:
        text: the supported sentences, each with the number of its passage: "……。[1]".
    """

    sentences: tuple[CheckedSentence, ...]
    text: str


def check(
    answer: str, passages: Sequence[str], *, question: str = "", least: float = LEAST_SUPPORT
) -> Checked:
    """Check each sentence of an answer.

    Args:
        answer: may cite passages as [1], at or after the end of a sentence.
        passages: their texts, with what stands above them, such as headings.
        question: what was asked. A short answer, "1998年" or "不可以", is checked as an answer to
            it; without it only as what it says itself.
        least: the least support of what is kept, from 0 to 1.
    """
    read = [Passage(passage) for passage in passages]
    sentences, kept = [], []
    for text, cited in _cited_sentences(answer):
        checked = _check_sentence(text, cited, read, question, least)
        sentences.append(checked)
        if checked.supported:
            body = text.rstrip()
            kept.append(f"{body}[{checked.passage}]{text[len(body) :]}")
    return Checked(tuple(sentences), "".join(kept).strip())


@dataclass(frozen=True)
class Window:
    """Neighbouring sentences of a passage."""

    text: str

    @cached_property
    def features(self) -> frozenset[str]:
        """The words and pairs of characters."""
        return frozenset(features(self.text))

    @cached_property
    def amounts(self) -> list[Amount]:
        """The numbers with their units."""
        return amounts(self.text)

    @cached_property
    def negations(self) -> list[frozenset[str]]:
        """What is denied."""
        return negations(self.text)


class Passage:
    """A passage, read for checking."""

    def __init__(self, text: str) -> None:
        sentences = [each for each in split_sentences(text) if each.strip()]
        self.single = [Window(each) for each in sentences]
        self.pairs = [Window(first + second) for first, second in pairwise(sentences)]
        self.whole = Window(text)


@dataclass(frozen=True)
class _Claim:
    """What a sentence says, and of what it is to be found.

    Attributes:
        bare: the words as they stand, `fold`ed, without punctuation around them.
        asked: the features of the question that a short answer is about.
        denied: the answer says no to the question; None where it says neither yes nor no.
    """

    bare: str
    features: dict[str, float]
    amounts: list[Amount]
    names: set[str]
    negations: list[frozenset[str]]
    asked: dict[str, float]
    denied: bool | None = None


@dataclass(frozen=True, slots=True)
class _Finding:
    passage: int
    support: float
    conflicts: tuple[str, ...]

    def order(self, least: float) -> tuple[bool, float]:
        """Return its rank: what supports the claim goes before what only sounds like it."""
        return (self.support >= least and not self.conflicts, self.support)


def _check_sentence(
    text: str, cited: Sequence[int], passages: Sequence[Passage], question: str, least: float
) -> CheckedSentence:
    claim = _claim(text, question)
    findings = [_find(claim, i, passage, least) for i, passage in enumerate(passages, start=1)]
    cited = tuple(number for number in cited if 1 <= number <= len(passages))
    good = [each for each in findings if each.order(least)[0]]
    # The passage that was cited is kept as long as it supports the sentence.
    named = [each for each in good if each.passage in cited]
    best = max(named or good or findings, key=lambda each: each.support, default=None)
    return CheckedSentence(
        text.strip(),
        cited,
        best.passage if best and best.support else None,
        best.support if best else 0.0,
        best.conflicts if best else (),
        bool(good),
    )


def _claim(text: str, question: str) -> _Claim:
    said = _SOURCE.sub("", text.strip())
    bare = said.strip("，。！？!?,. \u3000")
    denied = True if _NO.fullmatch(bare) else False if _YES.fullmatch(bare) else None
    if denied is not None and question:
        asked = _ASKING.sub("", question)
        found = features(asked)
        return _Claim(fold(bare), found, amounts(asked), names(asked), negations(asked), {}, denied)
    found = features(said)
    short = sum(found.values()) + 2 * len(amounts(said)) < _LEAST_CLAIM
    asked_for = features(_ASKING.sub("", question)) if short else {}
    return _Claim(fold(bare), found, amounts(said), names(said), negations(said), asked_for)


def _find(claim: _Claim, number: int, passage: Passage, least: float) -> _Finding:
    """Return how far a passage supports a claim, by the window that does best."""
    missing = tuple(sorted(name for name in claim.names if not stands_in(name, passage.whole.text)))
    best, bar = _Finding(number, 0.0, ()), least
    for windows in (passage.single, passage.pairs):
        ranked = sorted(
            ((_support(claim, window, passage), window) for window in windows),
            key=lambda each: -each[0],
        )
        for support, window in ranked:
            if support < bar and support <= best.support:
                break
            conflicts = missing + _conflicts(claim, window)
            better = [each for closer, each in ranked if closer > support + _CLOSER]
            conflicts += _contradicted(claim, better)
            finding = _Finding(number, support, conflicts)
            best = max(best, finding, key=lambda each: each.order(least))
        # The neighbours of a sentence that says nearly all may not lend it their numbers.
        bar = max(least, best.support + _MORE_OF_TWO)
        if bar > 1:
            break
    return best


def _support(claim: _Claim, window: Window, passage: Passage) -> float:
    covered = _coverage(claim.features, window, passage)
    if not claim.features:
        # A number or a character alone: that it stands there is all there is to see.
        covered = float(
            _holds(window, claim.amounts[0])
            if claim.amounts
            else bool(claim.bare) and claim.bare in fold(window.text)
        )
    if claim.asked:
        covered *= _coverage(claim.asked, window, passage) ** _ASKED_POWER
    return covered


def _coverage(wanted: dict[str, float], window: Window, passage: Passage) -> float:
    total = sum(wanted.values())
    found = sum(
        weight * (1 if each in window.features else _ELSEWHERE * (each in passage.whole.features))
        for each, weight in wanted.items()
    )
    return found / total if total else 0.0


def _conflicts(claim: _Claim, window: Window) -> tuple[str, ...]:
    found = [amount.text for amount in claim.amounts if not _holds(window, amount)]
    return (*found, *_flipped(claim, window))


def _contradicted(claim: _Claim, closer: Sequence[Window]) -> tuple[str, ...]:
    """Return the amounts in whose place sentences that are closer to the claim have others."""
    return tuple(
        amount.text
        for amount in claim.amounts
        if amount.unit
        and any(
            any(amount.unit == other.unit for other in window.amounts)
            and not _holds(window, amount)
            for window in closer
        )
    )


def _holds(window: Window, amount: Amount) -> bool:
    return any(amount.agrees(other) for other in window.amounts)


def _flipped(claim: _Claim, window: Window) -> tuple[str, ...]:
    """Return the negations of which one side knows nothing."""
    said = frozenset(claim.features)
    theirs = [scope for scope in window.negations if len(scope & said) * 2 >= len(scope)]
    if claim.denied is not None:
        denies = bool(theirs) and not claim.negations
        return () if denies == claim.denied else ("不" if claim.denied else "是",)
    lacking = [
        ours for ours in claim.negations if not any(ours & other for other in window.negations)
    ]
    added = [other for other in theirs if not any(other & ours for ours in claim.negations)]
    return tuple("".join(("不", *sorted(scope)[:1])) for scope in (*lacking, *added))


def _cited_sentences(answer: str) -> list[tuple[str, tuple[int, ...]]]:
    """Return an answer's sentences without citations, each with what it cites."""
    pieces: list[str] = []
    for piece in split_sentences(answer):
        leading = _LEADING.match(piece)
        if leading and pieces:
            body = pieces[-1].rstrip("\n")
            pieces[-1] = body + leading[0] + pieces[-1][len(body) :]
            piece = piece[leading.end() :]
        if piece.strip():
            pieces.append(piece)
        elif pieces:
            pieces[-1] += piece
    return [(_CITATION.sub("", piece), _numbers(piece)) for piece in pieces]


def _numbers(piece: str) -> tuple[int, ...]:
    found: list[int] = []
    for citation in _CITATION.finditer(piece):
        found += (int(number) for number in re.findall(_NUMBER, citation[1]))
    return tuple(dict.fromkeys(found))
