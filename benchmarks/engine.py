"""How fast the engine reads and writes, beside llama.cpp and transformers' `GlmForCausalLM`.

Each side is a process of its own with the same random weights and as many threads, and they take
turns. llama.cpp is built for this very processor from llama-cpp-python's source, which takes ten
minutes or more the first time (`--llama-cpp` names the folder of its environment), and gets the
weights as Q8_0 (int8) or Q4_0 (int4, with a head of Q8_0 as ours; int4-all without); transformers
computes in float32. `--instructions avx2` holds Qingtan and llama.cpp to what most laptops have; by
default they use all of the processor that they can. First all have to agree on what a float32 model
predicts: that they compute the same.

    python benchmarks/engine.py
    python benchmarks/engine.py --shape 25m --precision int8 --rows read-128 write-1 write-4
    python benchmarks/engine.py --shape 6b --precision int4 --sides qingtan llama.cpp --rounds 3
    python benchmarks/engine.py --instructions avx2 --sides qingtan llama.cpp

The rows: `read-N` is a prompt of N tokens, in tokens a second; `write-N` is writing after N prompts
at once, tokens a second in all; `share` is 16 prompts that begin alike, in requests a second, all
included, where each side is told what they share and keeps it once; `serve` is the same where it is
not told, as in a server: Qingtan finds it, the others read each prompt whole; `memory` is the peak
of a process that only reads 512 tokens and writes 64, in MiB, mapped files included; `perplexity`,
of the built-in model alone, is that of held-out texts.

Prints a Markdown table of medians, and the share of the machine's ceiling that they reach: memory
bandwidth and products are measured in each round too. Compare only what was measured on a machine
that was quiet. Needs Linux and g++.
"""

import argparse
import json
import math
import os
import random
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import zstandard
from engine_peers import ceilings
from engine_peers.ceilings import Ceiling
from engine_peers.llama_cpp_build import find_llama_cpp
from engine_peers.models import SHAPES, prepare, prepare_gguf, prepare_packed
from engine_peers.precisions import PRECISIONS
from engine_peers.processes import (
    BENCHMARKS,
    BUILT_IN,
    LLAMA_CPP,
    MODULES,
    OURS,
    TRANSFORMERS,
    SideProcess,
)
from engine_peers.side import Side, Tokens

from qingtan.glm.config import GLMConfig
from qingtan.glm.tokenizer import load_tokenizer

WORK = BENCHMARKS.parent / "runs/engine"
ARTICLES = BENCHMARKS.parent / "../shared/data/eval/summarization.jsonl.zst"
WRITTEN = 64
# Prompts before writing; a model of billions of parameters would read longer ones for minutes.
PROMPT, LARGE_PROMPT = 128, 16
LARGE = 1_000_000_000
SEQUENCES = 16
BEGINNING, REST, ANSWER = 1000, 24, 32
CHECKED = 256
TEXTS, TEXT_TOKENS = 100, 512
AGREEMENT = 0.98


@dataclass(frozen=True)
class Row:
    """A kind of work.

    Attributes:
        run: lets a side do it, and returns the seconds.
        amount: how much of the unit that is.
        unit: what is counted.
        ceiling: the least seconds that it can take.
    """

    run: Callable[[Side], float]
    amount: int
    unit: str
    ceiling: Callable[[Ceiling], float]


def main() -> None:
    """Read the command line and print the tables."""
    options = parse_arguments()
    pythons = {}
    if LLAMA_CPP in options.sides:
        folder = options.llama_cpp or options.work / f"llama-cpp-{options.instructions}"
        pythons[LLAMA_CPP] = find_llama_cpp(folder, options.instructions)
    if options.instructions != "native":
        os.environ["QINGTAN_ISA"] = options.instructions  # of our side's process
    program = ceilings.build(options.work, options.instructions)
    for shape in options.shape:
        bench = Bench(options, shape, prepare(shape, options.work), program, pythons)
        if not options.no_check:
            bench.check()
        for precision in options.precision:
            bench.print_table(precision)


def parse_arguments() -> argparse.Namespace:
    """Return the options."""
    rows = ["read-128", "read-512", *(f"write-{n}" for n in (1, 2, 4, 8, 16)), "share"]
    rows += ["serve", "memory", "perplexity"]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--shape", nargs="+", choices=list(SHAPES), default=["built-in", "25m", "100m"]
    )
    parser.add_argument(
        "--precision", nargs="+", choices=list(PRECISIONS), default=["int8", "int4"]
    )
    parser.add_argument("--rows", nargs="+", choices=rows, default=rows, metavar="ROW")
    parser.add_argument("--sides", nargs="+", choices=list(MODULES), default=list(MODULES))
    parser.add_argument("--rounds", type=int, default=5, help="of each, the median is printed")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--instructions",
        choices=list(ceilings.TARGETS),
        default="native",
        help="what Qingtan, llama.cpp and the ceilings may use of the processor",
    )
    parser.add_argument("--texts", type=Path, default=ARTICLES, help="for the perplexity")
    parser.add_argument("--no-check", action="store_true", help="do not compare predictions")
    parser.add_argument("--work", type=Path, default=WORK, help="the folder of the models")
    parser.add_argument(
        "--llama-cpp",
        type=Path,
        help="the folder of an environment with llama-cpp-python, built there if it is missing",
    )
    return parser.parse_args()


class Bench:
    """The measurements of one shape."""

    def __init__(
        self,
        options: argparse.Namespace,
        shape: str,
        folder: Path,
        program: Path,
        pythons: dict[str, str],
    ) -> None:
        self.options = options
        self.shape = shape
        self.config = SHAPES[shape]
        self.folder = folder
        self.program = program
        self.pythons = pythons

    def check(self) -> None:
        """Compare what the sides predict, all in float32.

        Raises:
            RuntimeError: they do not predict the same.
        """
        tokens = draw(self.config, CHECKED, 0)
        predicted = {}
        for name in self.options.sides:
            with self.open(name, "float32") as side:
                predicted[name] = side.predict(tokens)
        first = next(iter(predicted))
        for name, others in predicted.items():
            same = sum(a == b for a, b in zip(predicted[first], others, strict=True)) / CHECKED
            if same < AGREEMENT:
                raise RuntimeError(f"{self.shape}: {name} agrees with {first} on {same:.0%} only")
            if name != first:
                print(f"{self.shape}: {name} predicts what {first} does at {same:.1%} of places")

    def open(self, name: str, precision: str, folder: Path | None = None) -> SideProcess:
        """Return a side with the model in a precision, from another folder than the shape's."""
        if name == LLAMA_CPP:
            prepare_gguf(self.folder, precision, self.pythons[name])
        arguments = (name, folder or self.folder, precision, self.options.threads)
        if name in self.pythons:
            return SideProcess(*arguments, python=self.pythons[name])
        return SideProcess(*arguments)

    def print_table(self, precision: str) -> None:
        """Measure all rows of a precision, and print each when it is there."""
        millions = self.config.num_parameters / 1e6
        print(
            f"\n{self.shape} ({millions:.0f}M parameters), {precision}, threads: "
            f"{self.options.threads}, medians of {self.options.rounds}\n"
        )
        sides = self.options.sides
        heads = ["", "unit", *sides, *(f"× {name}" for name in sides[1:]), "ceiling"]
        heads += [f"{name} of it" for name in sides if name != TRANSFORMERS]
        print("| " + " | ".join(heads) + " |")
        print("|" + "---|" * len(heads), flush=True)
        with ExitStack() as stack:
            opened = [stack.enter_context(self.open(name, precision)) for name in sides]
            for name in self.options.rows:
                if name not in ("memory", "perplexity"):
                    self.print_row(name, make_row(name, self.config), precision, opened)
            if "perplexity" in self.options.rows and self.shape == "built-in":
                self.print_perplexity(opened)
        if "memory" in self.options.rows:
            self.print_memory(precision)

    def print_row(self, name: str, row: Row, precision: str, opened: Sequence[SideProcess]) -> None:
        """Let the sides do a kind of work in turn, after once that does not count."""
        seconds: dict[str, list[float]] = {side.name: [] for side in opened}
        least = []
        for side in opened:
            row.run(side)
        for _ in range(self.options.rounds):
            for side in opened:
                seconds[side.name].append(row.run(side))
            machine = ceilings.measure(self.program, self.options.threads)
            least.append(row.ceiling(Ceiling(self.config, precision, machine)))
        speeds = {side: row.amount / statistics.median(taken) for side, taken in seconds.items()}
        ceiling = row.amount / statistics.median(least)
        shares = [f"{s / ceiling:.0%}" for side, s in speeds.items() if side != TRANSFORMERS]
        print_cells(name, row.unit, speeds, [f"{ceiling:.4g}", *shares])

    def print_perplexity(self, opened: Sequence[SideProcess]) -> None:
        """Let the sides say how likely each token of held-out articles is; lower is better."""
        texts = read_texts(self.options.texts)
        count = sum(len(tokens) - 1 for tokens in texts)
        figures = {side.name: math.exp(sum(map(side.score, texts)) / count) for side in opened}
        shares = ["–" for name in figures if name != TRANSFORMERS]
        print_cells("perplexity", f"of {count:,} tokens", figures, ["–", *shares])

    def print_memory(self, precision: str) -> None:
        """Measure the peak of memory of each side in a process that does nothing else.

        Ours opens a converted checkpoint, as llama.cpp does.
        """
        peaks = {}
        for name in self.options.sides:
            packed = prepare_packed(self.folder, precision) if name == OURS else None
            with self.open(name, precision, packed) as side:
                side.read(draw(self.config, 512, 0))
                side.write([draw(self.config, PROMPT, 0)], WRITTEN)
                peaks[name] = side.peak_memory() / 2**20
        ceiling = Ceiling(self.config, precision, {}).bytes / 2**20
        shares = ["–" for name in peaks if name != TRANSFORMERS]
        print_cells("memory", "MiB", peaks, [f"{ceiling:.4g} (weights)", *shares])


def print_cells(name: str, unit: str, figures: dict[str, float], more: list[str]) -> None:
    """Print a line of the table: figures, the first one's ratio to each other, and more."""
    first, *others = figures.values()
    cells = [name, unit, *(f"{figure:.4g}" for figure in figures.values())]
    cells += [f"{first / other:.2f}" for other in others]
    print("| " + " | ".join([*cells, *more]) + " |", flush=True)


def make_row(name: str, config: GLMConfig) -> Row:
    """Return what a row's name stands for, for a shape."""
    kind, _, number = name.partition("-")
    if kind == "read":
        return reading(config, int(number))
    if kind == "write":
        return writing(config, int(number))
    return alike(config, kind)


def reading(config: GLMConfig, count: int) -> Row:
    """Return the work of reading one prompt."""
    tokens = draw(config, count, 0)
    return Row(
        run=lambda side: side.read(tokens),
        amount=count,
        unit="tok/s",
        ceiling=lambda ceiling: ceiling.seconds(count, 1),
    )


def writing(config: GLMConfig, sequences: int) -> Row:
    """Return the work of writing after several prompts."""
    length = PROMPT if config.num_parameters < LARGE else LARGE_PROMPT
    prompts = [draw(config, length, i) for i in range(sequences)]
    return Row(
        run=lambda side: side.write(prompts, WRITTEN),
        amount=WRITTEN * sequences,
        unit="tok/s",
        ceiling=lambda ceiling: WRITTEN * ceiling.seconds(sequences, sequences),
    )


def alike(config: GLMConfig, kind: str) -> Row:
    """Return the work of answering prompts that begin alike.

    Args:
        kind: share or serve.
    """
    length = min(BEGINNING, config.max_position_embeddings - REST - ANSWER)
    beginning = draw(config, length, 0)
    rests = [draw(config, REST, 1 + i) for i in range(SEQUENCES)]
    return Row(
        run=lambda side: getattr(side, kind)(beginning, rests, ANSWER),
        amount=SEQUENCES,
        unit="requests/s",
        ceiling=lambda ceiling: (
            ceiling.seconds(length, 0)
            + ceiling.seconds(REST * SEQUENCES, SEQUENCES)
            + ANSWER * ceiling.seconds(SEQUENCES, SEQUENCES)
        ),
    )


def read_texts(path: Path) -> list[Tokens]:
    """Return the beginnings of texts, as the built-in model reads them."""
    tokenizer = load_tokenizer(BUILT_IN)
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["input"] for line in islice(lines, TEXTS)]
    return [[*tokenizer.prefix, *tokenizer.encode(text)][:TEXT_TOKENS] for text in texts]


def draw(config: GLMConfig, count: int, seed: int) -> Tokens:
    """Return random tokens, none of them special."""
    return random.Random(seed).choices(range(300, config.vocab_size - 300), k=count)


if __name__ == "__main__":
    main()
