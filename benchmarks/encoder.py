"""What vectors add to words in finding passages: whether a base should have an encoder.

The evaluation's reading sets are indexed as in `qingtan evaluate knowledge`, each text a document
that is cut into passages, and beside them the answers to frequent questions, whose words often are
not those of the question. Each question is looked for by words (bm25), by the vectors of an encoder
alone, and by both, joined by reciprocal ranks.

    python benchmarks/encoder.py --model qingtan
    python benchmarks/encoder.py --model runs/built-in/encoder/model --limit 300
    python benchmarks/encoder.py --url http://127.0.0.1:8001/v1 --model bge-m3

Prints a Markdown table: for each kind of questions and each way the share whose right passage is
the first, or among the first five, the mean reciprocal rank among ten, and how many points the way
is better or worse than words at five, with a bootstrap interval of 95% over the questions.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qingtan.chat import ChatGLM
from qingtan.evaluation.items import choose, read_items
from qingtan.evaluation.knowledge.questions import Question, ReadingSet, read_sets
from qingtan.evaluation.tasks.service import FAQ
from qingtan.glm.catalogue import find_model
from qingtan.glm.tokenizer import load_tokenizer
from qingtan.knowledge.chunking import cut
from qingtan.knowledge.documents import Block, Document
from qingtan.knowledge.encoders import Encoder, GLMEncoder, RemoteEncoder
from qingtan.knowledge.retrieval import Retriever, fuse
from qingtan.knowledge.store import open_store
from qingtan.knowledge.store.interface import Base, Filter, Found, Store, StoredChunk

SHARED = Path(__file__).resolve().parents[1] / "../shared/data/eval"
KINDS = {"reading": "texts", "law": "laws", "cards": "cards", "faq": "answers"}
FOUND, POOL, TOGETHER = 10, 20, 32
RESAMPLED = 2000


@dataclass(frozen=True)
class Way:
    """A way of finding.

    Attributes:
        find: gives passages for a question, the best first.
    """

    name: str
    find: Callable[[str], Sequence[StoredChunk]]


def main() -> None:
    """Read the command line and print the table."""
    options = parse_arguments()
    sets = with_answers(read_sets(options.data), options.data)
    if options.url:
        run(sets, RemoteEncoder(options.url, options.model), options)
        return
    with ChatGLM.from_pretrained(options.model, threads=options.threads) as model:
        run(sets, GLMEncoder(model.embed, options.model), options)


def run(sets: ReadingSet, encoder: Encoder, options: argparse.Namespace) -> None:
    """Index, ask, and print."""
    with tempfile.TemporaryDirectory() as place:
        store = open_store(Path(place) / "knowledge.db")
        try:
            base, count = index(store, sets, encoder)
            print(f"{len(sets.documents):,} documents, {count:,} passages, {encoder.name}\n")
            print_table(sets.questions, ways_of(store, base, encoder), options)
        finally:
            store.close()


def with_answers(sets: ReadingSet, folder: Path) -> ReadingSet:
    """Return the sets with frequent questions, each answer a document."""
    documents, questions = dict(sets.documents), list(sets.questions)
    for item in read_items(FAQ, folder):
        name, text = f"{item['id']}/answer.txt", item["references"][0]
        blocks = tuple(Block("paragraph", line) for line in text.split("\n") if line.strip())
        documents[name] = Document(name, "", "text/plain", blocks)
        questions.append(Question(item["id"], "faq", item["question"], (text,), name))
    return ReadingSet(documents, tuple(questions))


def index(store: Store, sets: ReadingSet, encoder: Encoder) -> tuple[Base, int]:
    """Put the documents with their vectors into a base."""
    tokenizer = load_tokenizer(find_model("qingtan"))
    base, count = store.create_base("benchmark", "kb"), 0
    with store.transaction():
        for document in sets.documents.values():
            chunks = cut(document, lambda text: len(tokenizer.encode(text)))
            texts = [chunk.searched for chunk in chunks]
            parts = [texts[i : i + TOGETHER] for i in range(0, len(texts), TOGETHER)]
            vectors = np.concatenate([encoder.encode(part) for part in parts])
            store.put_document(
                base, document, document.name, chunks, vectors=vectors, encoder=encoder.name
            )
            count += len(chunks)
    return store.base("benchmark", "kb"), count


def ways_of(store: Store, base: Base, encoder: Encoder) -> list[Way]:
    """Return words, vectors, and both."""
    every = Filter()
    both = Retriever(store, encoder)

    def words(question: str) -> Sequence[StoredChunk]:
        return [hit.chunk for hit in Retriever(store).find([base], question, FOUND)]

    def vectors(question: str) -> Sequence[StoredChunk]:
        near: Sequence[Found] = store.search_vectors(
            [base], encoder.encode([question])[0], POOL, every
        )
        return [hit.chunk for hit in fuse((), near)]

    def joined(question: str) -> Sequence[StoredChunk]:
        return [hit.chunk for hit in both.find([base], question, FOUND)]

    return [Way("words", words), Way("vectors", vectors), Way("both", joined)]


def print_table(
    questions: Sequence[Question], ways: Sequence[Way], options: argparse.Namespace
) -> None:
    """Ask the questions in each way, and print the figures."""
    print("| questions | way | first | first five | MRR | at five against words |")
    print("|---|---|---|---|---|---|")
    for kind, name in KINDS.items():
        of_kind = [each for each in questions if each.kind == kind]
        chosen = choose([{"id": each.id} for each in of_kind], options.limit, 0)
        wanted = {item["id"] for item in chosen}
        asked = [each for each in of_kind if each.id in wanted]
        ranks = {
            way.name: np.array([rank(each, way.find(each.text)[:FOUND]) for each in asked])
            for way in ways
        }
        for way in ways:
            print(row(f"{name} ({len(asked)})", way.name, ranks[way.name], ranks["words"]))


def rank(question: Question, chunks: Sequence[StoredChunk]) -> int:
    """Return the place of the first passage that is right, 0 where none is."""
    for place, each in enumerate(chunks, start=1):
        if (each.document.name, each.chunk.label) == (question.document, question.label):
            return place
    return 0


def row(name: str, way: str, ranks: NDArray[np.int64], words: NDArray[np.int64]) -> str:
    """Return a line of the table."""
    first, five = ranks == 1, (ranks > 0) & (ranks <= 5)
    reciprocal = np.divide(1, ranks, where=ranks > 0, out=np.zeros(len(ranks)))
    against = ""
    if way != "words":
        difference = five.astype(float) - ((words > 0) & (words <= 5))
        drawn = np.random.default_rng(0).integers(0, len(ranks), (RESAMPLED, len(ranks)))
        low, high = 100 * np.quantile(difference[drawn].mean(1), [0.025, 0.975])
        against = f"{100 * difference.mean():+.1f} ({low:+.1f} to {high:+.1f})"
    figures = (
        f"{100 * first.mean():.1f}%",
        f"{100 * five.mean():.1f}%",
        f"{reciprocal.mean():.3f}",
    )
    return f"| {name} | {way} | {' | '.join(figures)} | {against} |"


def parse_arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="qingtan", help="a model's name or folder")
    parser.add_argument("--url", default="", help="of another server's /v1, instead of the engine")
    parser.add_argument("--data", type=Path, default=SHARED, help="the evaluation's folder")
    parser.add_argument("--limit", type=int, default=0, help="questions of a kind; 0 is all")
    parser.add_argument("--threads", type=int, help="of the engine")
    return parser.parse_args()


if __name__ == "__main__":
    main()
