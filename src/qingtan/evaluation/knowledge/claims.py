"""True claims of a passage, and the same made false: what the check of sentences is worth."""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from qingtan.evaluation.knowledge.questions import Question
from qingtan.knowledge.claims import names, negations, stands_in
from qingtan.knowledge.sentences import split_sentences

_DIGITS = re.compile(r"\d+")
_VERBS = ("可以", "能够", "允许", "是", "成为", "属于", "需要")
_NEGATIONS = re.compile(r"(?:不|没有|未|并非)(?=[\u4e00-\u9fff]{2})")
_LENGTHS = range(12, 81)


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence, and a passage that supports it or not.

    Attributes:
        kind: what was done to it.
    """

    kind: str
    text: str
    passage: str
    question: str
    true: bool


def make_claims(questions: Sequence[Question], seed: int = 0) -> list[Claim]:
    """Return claims of questions that have a passage: references and sentences, true and false."""
    asked = [each for each in questions if each.passage and each.references]
    rng = random.Random(seed)
    return [claim for each in asked for claim in _claims_of(each, asked, rng)]


def _claims_of(
    question: Question, questions: Sequence[Question], rng: random.Random
) -> Iterator[Claim]:
    text, answer = question.text, question.references[0]
    passage, other = _read(question), rng.choice(questions)
    yield Claim("answer", answer, passage, text, true=True)
    if other.document != question.document and answer not in other.passage:
        there = _read(other)
        yield Claim("answer, another document's passage", answer, there, text, true=False)
    swapped = _other_name(answer, passage, other.references[0])
    for kind, made in (("number", _other_number(answer, rng)), ("name", swapped)):
        if made and made not in passage:
            yield Claim(f"answer, {kind} changed", made, passage, text, true=False)
    sentence = _sentence(question)
    if len(sentence) in _LENGTHS:
        yield Claim("sentence", sentence, passage, text, true=True)
        yield from _clauses(sentence, answer, passage, text)
        yield from _turned(sentence, passage, text, rng)
        strange = _sentence(other)
        if other.document != question.document and len(strange) in _LENGTHS:
            made = sentence[: len(sentence) // 2] + strange[len(strange) // 2 :]
            yield Claim("sentence, half of it another's", made, passage, text, true=False)


def _read(question: Question) -> str:
    """Return a passage under its document's title, as a chunk is read."""
    return f"{question.document.partition('/')[0]}\n{question.passage}"


def _sentence(question: Question) -> str:
    """Return the sentence that holds the answer; empty where none does."""
    sentences = split_sentences(question.passage)
    return next((each.strip() for each in sentences if question.references[0] in each), "")


def _clauses(sentence: str, answer: str, passage: str, question: str) -> Iterator[Claim]:
    """Yield the first clause with the one that holds the answer, as a short answer would."""
    clauses = sentence.rstrip("。").split("，")
    holding = next((each for each in clauses[1:] if answer in each), None)
    if holding:
        text = f"{clauses[0]}，{holding}。"
        yield Claim("two of a sentence's clauses", text, passage, question, true=True)


def _turned(sentence: str, passage: str, question: str, rng: random.Random) -> Iterator[Claim]:
    ways: tuple[tuple[str, Callable[[], str | None]], ...] = (
        ("sentence, number changed", lambda: _other_number(sentence, rng)),
        ("sentence, negation put in", lambda: _denied(sentence)),
        ("sentence, negation taken out", lambda: _affirmed(sentence)),
    )
    for kind, way in ways:
        if (made := way()) and made not in passage:
            yield Claim(kind, made, passage, question, true=False)


def _other_number(text: str, rng: random.Random) -> str | None:
    found = list(_DIGITS.finditer(text))
    if not found:
        return None
    match = rng.choice(found)
    number = str(int(match[0]) + rng.choice((1, 2, 7, 10)))
    return text[: match.start()] + number + text[match.end() :]


def _other_name(text: str, passage: str, other: str) -> str | None:
    ours, theirs = sorted(names(text)), sorted(names(other))
    if not ours or not theirs or ours[0] not in text or stands_in(theirs[0], passage):
        return None
    return text.replace(ours[0], theirs[0])


def _denied(sentence: str) -> str | None:
    if negations(sentence):
        return None
    verb = next((verb for verb in _VERBS if verb in sentence), None)
    return sentence.replace(verb, f"不{verb}", 1) if verb else None


def _affirmed(sentence: str) -> str | None:
    """Take the only negation out."""
    if len(negations(sentence)) != 1:
        return None
    match = _NEGATIONS.search(sentence)
    return sentence[: match.start()] + sentence[match.end() :] if match else None
