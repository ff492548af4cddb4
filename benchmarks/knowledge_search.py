"""How long a search by words takes in a large knowledge base, without the model.

Draws texts from a folder of JSON Lines, cuts them into passages of 320 characters, puts them into
one base, 20 passages a document, and asks: by pieces of the texts from 2 to 20 characters, and by
words that most of the passages hold; the base's words are in memory, as after the first searches.
A search with a filter is left to FTS5. Beside the time that passed it gives the time that the
processor worked, which other programs on the machine do not lengthen.

    python benchmarks/knowledge_search.py --texts folder --passages 100000
    python benchmarks/knowledge_search.py --texts folder --passages 1000000 --store kept.db
"""

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import zstandard

from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.documents import Document
from qingtan.knowledge.store.interface import Base, Filter, Store
from qingtan.knowledge.store.snapshots import MEMORY
from qingtan.knowledge.store.sqlite_store import SqliteStore
from qingtan.knowledge.words import segmenter

CHARACTERS, PER_DOCUMENT = 320, 20


def passages(folder: Path) -> Iterator[str]:
    """Yield passages, one of each file in turn, and again from another place at the end."""
    for offset in range(0, CHARACTERS, 40):
        files = [lines(path) for path in sorted(folder.glob("*.jsonl*"))]
        while files:
            for file in [*files]:
                text = next(file, None)
                if text is None:
                    files.remove(file)
                    continue
                for start in range(offset, len(text) - 60, CHARACTERS):
                    yield text[start : start + CHARACTERS]


def lines(path: Path) -> Iterator[str]:
    """Yield the texts of a file."""
    opened = zstandard.open(path, "rt", encoding="utf-8") if path.suffix == ".zst" else path.open()
    with opened as file:
        for line in file:
            yield json.loads(line)["text"]


def fill(store: Store, folder: Path, count: int) -> None:
    """Make the base."""
    base = store.create_base("benchmark", "kb")
    found, number, begun = islice(passages(folder), count), 0, time.process_time()
    while part := list(islice(found, PER_DOCUMENT)):
        name = f"{number}.txt"
        document = Document(name, name, "text/plain", (), date=f"{2010 + number % 15}-01-01")
        chunks = [Chunk("text", text) for text in part]
        store.put_document(base, document, name, chunks, topic=f"{number % 7}")
        number += 1
    seconds = time.process_time() - begun
    print(f"filled with {store.base('benchmark', 'kb').chunks} passages in {seconds:.0f} CPU s")


def questions(store: Store, base: Base, count: int) -> dict[str, list[str]]:
    """Return pieces of texts that are there, and the commonest words of them."""
    chance = random.Random(0)
    words: Counter[str] = Counter()
    pieces = []
    for document in chance.sample(store.documents(base), count):
        text = chance.choice(store.chunks(base, document.id)).chunk.text
        words.update(set(segmenter().terms(text).words))
        length = chance.randint(2, 20)
        start = chance.randint(0, max(0, len(text) - length))
        pieces.append(text[start : start + length])
    common = [word for word, _ in words.most_common(40)]
    return {
        "pieces of texts": pieces,
        "10 of the 40 commonest words": [" ".join(chance.sample(common, 10)) for _ in pieces],
        "1 of the 40 commonest words": [chance.choice(common) for _ in pieces],
    }


def measure(name: str, search: Callable[[str], object], asked: Sequence[str]) -> None:
    """Print how long searches take."""
    for question in asked[:20]:
        search(question)
    passed, worked = [], []
    for question in asked:
        before, processor = time.perf_counter(), time.thread_time()
        search(question)
        passed.append((time.perf_counter() - before) * 1000)
        worked.append((time.thread_time() - processor) * 1000)
    figures = [np.percentile(times, [50, 99]) for times in (worked, passed)]
    (cpu, cpu_99), (wall, wall_99) = figures
    print(f"{name:40} CPU {cpu:6.1f} p99 {cpu_99:6.1f}   passed {wall:6.1f} p99 {wall_99:6.1f} ms")


def main() -> None:
    """Fill a store, or take one that was kept, and ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=Path, required=True, help="a folder of JSON Lines")
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--store", help="keep the store here; by default it is thrown away")
    parser.add_argument("--memory", type=int, default=MEMORY >> 20, help="MiB; 0 asks FTS5 alone")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(given.store or Path(folder) / "kb.db", memory=given.memory << 20)
        if not store.bases("benchmark"):
            fill(store, given.texts, given.passages)
        base = store.base("benchmark", "kb")
        begun = time.process_time()
        store.warm(base)
        print(f"taken into memory in {time.process_time() - begun:.1f} CPU s: ", end="")
        print(f"{store.memory / 2**20:.0f} MiB")
        print(f"{base.chunks} passages, the best 10 for each of {given.questions} questions")
        some = Filter(topics=("1", "2"), since="2015")
        for name, asked in questions(store, base, given.questions).items():
            measure(name, lambda question: store.search_words([base], question, 10), asked)
            measure(
                f"{name}, filtered",
                lambda question: store.search_words([base], question, 10, some),
                asked,
            )
        store.close()


if __name__ == "__main__":
    main()
