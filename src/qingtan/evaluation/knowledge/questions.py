"""The reading sets as documents and questions, parted for calibrating and for reporting."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qingtan.evaluation.items import read_items
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.tasks.law import LAW
from qingtan.evaluation.tasks.reading import CITED
from qingtan.evaluation.tasks.service import CUSTOMER_SERVICE
from qingtan.knowledge.documents import Block, Document

# Documents of `absent` parts stay out of the base: their questions have no answer there.
Part = Literal["calibrating", "calibrating-absent", "reporting", "reporting-absent"]
_PARTS: tuple[Part, ...] = ("calibrating", "calibrating-absent", "reporting", "reporting-absent")


@dataclass(frozen=True, slots=True)
class Question:
    """A question with what answers it.

    Attributes:
        kind: of the documents: "reading", "law" or "cards".
        document: the name of the one that holds the answer.
        label: of the article that does, in a law.
        passage: the text that holds the answer, where the set says which.
    """

    id: str
    kind: str
    text: str
    references: tuple[str, ...]
    document: str
    label: str = ""
    passage: str = ""

    @property
    def part(self) -> Part:
        """Which part its document belongs to."""
        return part_of(self.document)


@dataclass(frozen=True, slots=True)
class ReadingSet:
    """Documents by name, and questions on them."""

    documents: Mapping[str, Document]
    questions: tuple[Question, ...]


def part_of(document: str) -> Part:
    """Return the part of a document, by its title: what shares a title is in one part."""
    title = document.partition("/")[0]
    return _PARTS[hashlib.sha256(title.encode()).digest()[0] % len(_PARTS)]


def read_sets(folder: Path) -> ReadingSet:
    """Read all sets.

    Raises:
        UserError: a file is missing or damaged, or an item lacks a field.
    """
    sets = [_read_texts(folder), _read_laws(folder), _read_cards(folder)]
    documents = {name: made for each in sets for name, made in each.documents.items()}
    return ReadingSet(documents, tuple(q for each in sets for q in each.questions))


def _read_texts(folder: Path) -> ReadingSet:
    names: dict[str, str] = {}
    documents: dict[str, Document] = {}
    questions = []
    for item in read_items(CITED, folder):
        segments: Sequence[str] = item["segments"]
        text = item.get("context") or "\n".join(segments)
        name = names.setdefault(text, f"{item['title']}/{len(names)}.txt")
        documents.setdefault(name, _document(name, item["title"], text.split("\n")))
        questions.append(_question(item, "reading", name, passage=segments[item["cite"] - 1]))
    return ReadingSet(documents, tuple(questions))


def _read_laws(folder: Path) -> ReadingSet:
    """Read articles; each law is a document of those that stand in the set."""
    articles: dict[str, dict[str, None]] = {}
    questions = []
    for item in read_items(LAW, folder):
        for passage in item["passages"]:
            law, article = _split_article(passage)
            articles.setdefault(law, {})[article] = None
        law, article = _split_article(item["passages"][item["cite"] - 1])
        label = article.partition("\u3000")[0]
        questions.append(_question(item, "law", f"{law}/law.txt", label, article))
    documents = {
        f"{law}/law.txt": _document(f"{law}/law.txt", law, list(texts))
        for law, texts in articles.items()
    }
    return ReadingSet(documents, tuple(questions))


def _split_article(passage: str) -> tuple[str, str]:
    law, _, article = passage.removeprefix("《").partition("》")
    return law, article


def _read_cards(folder: Path) -> ReadingSet:
    documents: dict[str, Document] = {}
    questions = []
    for item in read_items(CUSTOMER_SERVICE, folder):
        lines = item["context"].split("\n")
        title = lines[0].partition("：")[2] or lines[0]
        name = f"{title}/card.txt"
        documents.setdefault(name, _document(name, title, lines))
        value = [item["value"]] if isinstance(item["value"], str) else item["value"]
        questions.append(_question(item, "cards", name, references=tuple(map(str, value))))
    return ReadingSet(documents, tuple(questions))


def _question(
    item: Item,
    kind: str,
    document: str,
    label: str = "",
    passage: str = "",
    references: tuple[str, ...] = (),
) -> Question:
    wanted = references or tuple(item["references"])
    return Question(item["id"], kind, item["question"], wanted, document, label, passage)


def _document(name: str, title: str, lines: Sequence[str]) -> Document:
    blocks = tuple(Block("paragraph", line) for line in lines if line.strip())
    return Document(name, title, "text/plain", blocks)
