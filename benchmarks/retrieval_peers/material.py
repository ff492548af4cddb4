"""What is searched and asked: documents with questions on them, among many others without."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

from qingtan.evaluation.knowledge.questions import read_sets
from qingtan.knowledge.chunking import cut
from qingtan.knowledge.documents import Block, Document

# In this order others are taken; code and games are hardly what a base holds.
_OTHERS = ("laws", "articles", "docs-tech", "docs-microsoft", "classics", "novels", "poems")
# What is too long for one document, such as a novel, becomes several.
_LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class Material:
    """Files that all sides read.

    Attributes:
        documents: of lines {"name", "title", "text"}.
        chunks: of lines {"document", "text"}: what `qingtan.knowledge.chunking` makes of them.
        questions: each with the name of its document.
        count, characters: of the documents.
    """

    documents: Path
    chunks: Path
    questions: list[tuple[str, str]]
    count: int
    chunk_count: int
    characters: int


def prepare(
    folder: Path,
    evaluation: Path,
    others: Path,
    chunks: int,
    measure: Callable[[str], int],
    size: int,
) -> Material:
    """Write documents and chunks until there are enough of these; all asked documents are in."""
    sets = read_sets(evaluation)
    asked = [q for q in sets.questions if q.kind == "reading"]
    names = {question.document for question in asked}
    known = (sets.documents[name] for name in sorted(names))
    count = made = characters = 0
    folder.mkdir(parents=True, exist_ok=True)
    documents, pieces = folder / "documents.jsonl", folder / "chunks.jsonl"
    with documents.open("w") as whole, pieces.open("w") as parts:
        for document in _enough(known, others):
            if count >= len(names) and made >= chunks:
                break
            text = "\n".join(block.text for block in document.blocks)
            _write(whole, {"name": document.name, "title": document.title, "text": text})
            count, characters = count + 1, characters + len(text)
            for chunk in cut(document, measure, size):
                _write(parts, {"document": document.name, "text": chunk.searched})
                made += 1
    if made < chunks:
        print(f"{others} has text for {made:,} chunks of {size} tokens only", file=sys.stderr)
    return Material(
        documents, pieces, [(q.text, q.document) for q in asked], count, made, characters
    )


def _enough(known: Iterator[Document], others: Path) -> Iterator[Document]:
    yield from known
    for kind in _OTHERS:
        path = others / f"{kind}.jsonl.zst"
        if path.exists():
            yield from _read(path, kind)


def _read(path: Path, kind: str) -> Iterator[Document]:
    number = 0
    with path.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file)
        for line in io.TextIOWrapper(stream, encoding="utf-8"):
            text = json.loads(line)["text"]
            for start in range(0, len(text), _LONGEST):
                number += 1
                lines = [
                    each for each in text[start : start + _LONGEST].split("\n") if each.strip()
                ]
                blocks = tuple(Block("paragraph", each) for each in lines)
                name = f"{kind}/{number}.txt"
                yield Document(name, lines[0][:60] if lines else name, "text/plain", blocks)


def _write(file: io.TextIOBase, record: dict[str, str]) -> None:
    file.write(json.dumps(record, ensure_ascii=False) + "\n")
