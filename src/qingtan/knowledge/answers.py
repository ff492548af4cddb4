"""An answer from passages: quoted, or written and checked; or none.

The steps are those of every mode: is there enough evidence; write and check each sentence, or
quote; cite. What writes is given as a function, so that this needs no model.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.evidence import CheckedSentence, check
from qingtan.knowledge.numerals import NUMERAL, spell_articles
from qingtan.knowledge.quoting import quote
from qingtan.knowledge.retrieval import Hit
from qingtan.knowledge.sufficiency import LEAST_EVIDENCE, evidence
from qingtan.knowledge.suspicion import is_suspicious, without_orders
from qingtan.prompts.answers import answer_from_passages

# Asked with the question and the passages as they are shown; returns a prompt.
Ask = Callable[[str, Sequence[str]], str]
# Given a prompt, returns an answer; empty where it cannot.
Write = Callable[[str], str]

NOTHING_FOUND = "没有找到能回答这个问题的内容。"
# Tokens of passages that leave room for the answer in the smallest model's context.
ROOM = 640
_LONGEST_QUOTE = 400  # characters
_TITLE = re.compile("《([^《》]+)》")
_NUMBER = re.compile(rf"第{NUMERAL}+条(?:之{NUMERAL}+)?")


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered, and of what.

    Attributes:
        text: with citations: "……。[1]".
        question: as it was searched for.
        sentences: the answer's, checked, those that were dropped too.
        passages: what was cited from; [1] is the first.
        evidence: see `sufficiency.evidence`.
        refused: nothing was found; `nearest` is what came nearest.
        quoted: the text is a passage's own.
        suspicious: which of the passages, from 1, hold what reads like orders to a model.
    """

    text: str
    question: str
    sentences: tuple[CheckedSentence, ...] = ()
    passages: tuple[Hit, ...] = ()
    evidence: float = 0.0
    refused: bool = False
    nearest: tuple[Hit, ...] = ()
    quoted: bool = False
    suspicious: tuple[int, ...] = ()

    def named(self, number: int, name: "Callable[[Passage], str]") -> str:
        """Return the name of a passage that was cited, from 1."""
        return name(passage_of(self.passages[number - 1]))


@dataclass(frozen=True, slots=True)
class Passage:
    """A hit as it is read: without what reads like orders.

    Attributes:
        above: its headings, label and questions.
    """

    chunk: Chunk
    text: str
    above: str

    @property
    def read(self) -> str:
        """All that it is checked against."""
        return f"{self.above}\n{self.text}" if self.above else self.text

    @property
    def shown(self) -> str:
        """What a model is shown: the nearest heading, and the text."""
        heading = without_orders(self.chunk.headings[-1]) if self.chunk.headings else ""
        return f"{heading}\n{self.text}" if heading else self.text


def passage_of(hit: Hit) -> Passage:
    """Return a hit as it is read."""
    chunk = hit.chunk.chunk
    above = (*chunk.headings, chunk.label, *chunk.questions)
    return Passage(
        chunk, without_orders(chunk.text), "\n".join(filter(None, map(without_orders, above)))
    )


def answer(
    question: str,
    hits: Sequence[Hit],
    *,
    write: Write | None = None,
    ask: Ask = answer_from_passages,
    show: Callable[[Passage], str] = lambda passage: passage.shown,
    least: float = LEAST_EVIDENCE,
    room: int = ROOM,
) -> Answered:
    """Answer a question from hits, best first.

    Args:
        question: whole, see `Retriever.whole`.
        write: None quotes. What it writes is checked; where nothing of it is supported, it is
            quoted, too.
        ask, show: how a model is asked, and what it is shown of a passage.
        least: of evidence; with less the answer is NOTHING_FOUND.
        room: the most tokens of passages that a model is shown; one is always shown.
    """
    question = spell_articles(question)
    passages = [passage_of(hit) for hit in hits]
    held = evidence(question, [passage.read for passage in passages])
    suspicious = suspicious_of(hits)
    if held >= least:
        found = (
            _written(question, passages[: _fitting(hits, room)], write, ask, show)
            if write
            else None
        )
        quoted = None if found else _quoted(question, passages)
        if found or quoted:
            text, sentences = found or quoted or ("", ())
            return Answered(
                text, question, sentences, tuple(hits), held, False, (), bool(quoted), suspicious
            )
    return Answered(NOTHING_FOUND, question, (), (), held, True, tuple(hits), suspicious=suspicious)


def _fitting(hits: Sequence[Hit], room: int) -> int:
    """Return how many of the first hits there is room for, at least one."""
    count = 0
    for hit in hits:
        room -= hit.chunk.chunk.tokens
        if count and room < 0:
            break
        count += 1
    return count


def suspicious_of(hits: Sequence[Hit]) -> tuple[int, ...]:
    """Return which of the hits, from 1, hold what reads like orders to a model."""
    return tuple(
        number
        for number, hit in enumerate(hits, start=1)
        if is_suspicious(hit.chunk.chunk.searched) or is_suspicious(hit.chunk.document.name)
    )


def _written(
    question: str,
    passages: Sequence[Passage],
    write: Write,
    ask: Ask,
    show: Callable[[Passage], str],
) -> tuple[str, tuple[CheckedSentence, ...]] | None:
    said = write(ask(question, [show(passage) for passage in passages]))
    checked = check(said, [passage.read for passage in passages], question=question)
    return (checked.text, checked.sentences) if checked.text else None


def _quoted(
    question: str, passages: Sequence[Passage]
) -> tuple[str, tuple[CheckedSentence, ...]] | None:
    number = _article(question, passages)
    if number:
        text = passages[number - 1].text
    else:
        above = [passage.above for passage in passages]
        found = quote(question, [passage.text for passage in passages], above)
        if found is None:
            return None
        number, text = found.passage, _whole(found.text, passages[found.passage - 1])
    sentence = CheckedSentence(text, (), number, 1.0, (), True)
    return f"{text}[{number}]", (sentence,)


def _article(question: str, passages: Sequence[Passage]) -> int | None:
    """Return the article that a question asks for by its number, from 1.

    Where it asks for the article of a law, the law has to be that one.
    """
    titles = set(_TITLE.findall(question))
    for number, passage in enumerate(passages, start=1):
        label, headings = (
            passage.chunk.label,
            {each.strip("《》") for each in passage.chunk.headings},
        )
        asked = passage.chunk.kind == "article" and label in _NUMBER.findall(question)
        if asked and passage.text and (not titles or titles & headings):
            return number
    return None


def _whole(sentence: str, passage: Passage) -> str:
    """Return what a sentence is not understood without: its article, answer or header."""
    chunk = passage.chunk
    if chunk.kind == "faq" and chunk.answer and without_orders(chunk.answer) == chunk.answer:
        return chunk.answer.strip()
    if chunk.kind == "article" and len(passage.text) <= _LONGEST_QUOTE:
        return passage.text
    if chunk.kind == "table":
        header = passage.text.split("\n", 1)[0]
        return sentence if sentence == header else f"{header}\n{sentence}"
    return sentence
