"""How well and how fast passages are found, beside bm25s with jieba, LangChain and LlamaIndex.

The questions of the evaluation's reading sets, on their documents among many others. Every side is
a process of its own, and they are asked in turn. Qingtan and, as they come, LangChain's and
LlamaIndex's splitters and BM25 retrievers cut the documents themselves, and that counts as
indexing; bm25s gets Qingtan's chunks ready-made, cut into words by jieba. Qingtan keeps all on the
disk, and a document once in is there after a power cut; the others keep all in memory.

    python benchmarks/retrieval.py
    python benchmarks/retrieval.py --chunks 1000000 --size 64 --questions 300

A side that is not installed says so in its row. LangChain's and LlamaIndex's interpreters may be
named, so that their dependencies stay apart:

    python -m venv lc && lc/bin/pip install langchain-community rank_bm25 jieba
    python -m venv li && li/bin/pip install llama-index-core llama-index-retrievers-bm25 jieba
    python benchmarks/retrieval.py --langchain-python lc/bin/python \\
        --llama-index-python li/bin/python

LangChain's BM25 retriever cuts texts into words at spaces, which Chinese does not have, and
LlamaIndex's at spaces and punctuation; both are measured as they come, and with jieba's words.

Prints a Markdown table: the share of questions whose document is among the first 1 and 5 passages,
the mean reciprocal rank among ten, milliseconds a query, documents a second, and the peak of
memory, and Qingtan's ratio to each side. Compare only what was measured on a quiet machine.
"""

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retrieval_peers.material import Material, prepare
from retrieval_peers.process import MODULES, SideProcess

from qingtan.glm.catalogue import find_model
from qingtan.glm.tokenizer import load_tokenizer

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY / "../shared/data"
LIMIT = 10
TOGETHER = 50  # questions before the next side's turn


@dataclass
class Measured:
    """What a side did.

    Attributes:
        ranks: of the right document for each question, 0 where it is none of ten.
        seconds: of each question.
    """

    index_seconds: float
    memory: int = 0
    ranks: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    """Read the command line and print the table."""
    options = parse_arguments()
    tokenizer = load_tokenizer(find_model("qingtan"))
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        material = prepare(
            Path(name),
            options.evaluation,
            options.others,
            options.chunks,
            lambda text: len(tokenizer.encode(text)),
            options.size,
        )
        print(
            f"{material.count:,} documents, {material.chunk_count:,} chunks of at most "
            f"{options.size} tokens, {material.characters / 1e6:.1f} million characters\n"
        )
        print_table(material, run(material, options))


def parse_arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--evaluation", type=Path, default=SHARED / "eval")
    parser.add_argument("--others", type=Path, default=SHARED / "pretrain", help="other documents")
    parser.add_argument("--chunks", type=int, default=10_000, help="at least, in all")
    parser.add_argument("--size", type=int, default=256, help="tokens of a chunk, at most")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="chooses the questions")
    parser.add_argument("--sides", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--langchain-python", default=sys.executable)
    parser.add_argument("--llama-index-python", default=sys.executable)
    parser.add_argument("--work", type=Path, help="where temporary files lie")
    return parser.parse_args()


def run(material: Material, options: argparse.Namespace) -> dict[str, Measured | str]:
    """Let all sides index, and ask them in turn; a side that cannot run says what it lacks."""
    chain, index = options.langchain_python, options.llama_index_python
    pythons = {
        "LangChain": chain,
        "LangChain + jieba": chain,
        "LlamaIndex": index,
        "LlamaIndex + jieba": index,
    }
    opened = [
        SideProcess(name, options.size, pythons.get(name, sys.executable)) for name in options.sides
    ]
    measured: dict[str, Measured | str] = {
        side.name: f"not installed: {side.missing}" for side in opened if side.missing
    }
    sides = [side for side in opened if not side.missing]
    for side in sides:
        measured[side.name] = Measured(side.index(material.documents, material.chunks))
    asked = random.Random(options.seed).sample(
        material.questions, min(options.questions, len(material.questions))
    )
    for start in range(0, len(asked), TOGETHER):
        block = asked[start : start + TOGETHER]
        for side in sides:
            note(measured[side.name], side.find([q for q, _ in block], LIMIT), block)
    for side in sides:
        result = measured[side.name]
        assert isinstance(result, Measured)
        result.memory = side.memory()
    for side in opened:
        side.close()
    return {name: measured[name] for name in options.sides}


def note(
    measured: Measured | str,
    found: Sequence[tuple[list[str], float]],
    block: Sequence[tuple[str, str]],
) -> None:
    """Add what a side found for some questions."""
    assert isinstance(measured, Measured)
    for (names, seconds), (_, document) in zip(found, block, strict=True):
        measured.ranks.append(names.index(document) + 1 if document in names else 0)
        measured.seconds.append(seconds)


def print_table(material: Material, measured: dict[str, Measured | str]) -> None:
    """Print a row for each side, and Qingtan's ratios to the others."""
    print("| side | recall@1 | recall@5 | MRR | ms, median | ms, p99 | documents/s | MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    figures = {
        name: figures_of(each, material)
        for name, each in measured.items()
        if not isinstance(each, str)
    }
    for name, each in measured.items():
        if isinstance(each, str):
            print(f"| {name} | {each} | | | | | | |")
            continue
        recall1, recall5, mrr, median, p99, speed, memory = figures[name]
        print(
            f"| {name} | {recall1:.1%} | {recall5:.1%} | {mrr:.3f} | {median:.2f} | {p99:.2f} "
            f"| {speed:,.0f} | {memory:,.0f} |"
        )
    if "qingtan" not in figures:
        return
    ours = figures["qingtan"]
    print("\n| qingtan to | recall@5 | queries a second | documents a second | memory |")
    print("| --- | --- | --- | --- | --- |")
    for name, theirs in figures.items():
        if name != "qingtan":
            recall = f"{ours[1] / theirs[1]:.2f}×" if theirs[1] else "–"
            print(
                f"| {name} | {recall} | {theirs[3] / ours[3]:.2f}× "
                f"| {ours[5] / theirs[5]:.2f}× | {ours[6] / theirs[6]:.2f}× |"
            )


def figures_of(each: Measured, material: Material) -> tuple[float, ...]:
    """Return the figures of a row."""
    milliseconds = sorted(1000 * seconds for seconds in each.seconds)
    return (
        statistics.fmean(rank == 1 for rank in each.ranks),
        statistics.fmean(0 < rank <= 5 for rank in each.ranks),
        statistics.fmean(1 / rank if rank else 0 for rank in each.ranks),
        statistics.median(milliseconds),
        milliseconds[int(0.99 * (len(milliseconds) - 1))],
        material.count / each.index_seconds,
        each.memory / 2**20,
    )


if __name__ == "__main__":
    main()
