"""The whole way from text to tokens, beside datatrove and data-juicer, on the same Chinese text.

Draws a sample from a folder of JSON Lines, plants changed copies of some documents, and lets each
side clean it, drop duplicates and encode it with the same vocabulary, in turn. Prints megabytes of
UTF-8 text a second for each step and in all (the whole command, its start included), the peak of
memory of all processes, and the share of documents and the tokens that are left. All speeds are of
the text that came in: a side that drops more in the first step has less to do in the others.
Qingtan computes its signatures while it cleans, the others while they look for duplicates.

Then each side drops only duplicates, and what it dropped is held against exact similarity: the
recall of planted pairs, and the precision of all that it dropped. Needs Linux, for the peak of
memory.

    python benchmarks/corpus.py
    python benchmarks/corpus.py --data folder --megabytes 20 --rounds 1 --sides qingtan datatrove

The peers run with interpreters of their own, named by --datatrove-python and
--data-juicer-python, so that their dependencies stay apart:

    python -m venv datatrove && datatrove/bin/pip install 'datatrove[processing,io]' spacy jieba
    python -m venv juicer
    juicer/bin/pip install torch==2.13.0 py-data-juicer aiohttp ftfy ray scipy

data-juicer would install what it misses while it runs; here it stops instead, naming the package.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from corpus_peers.jaccard import GramSets, Score, planted_above, score
from corpus_peers.sample import Sample, convert_tokenizer, draw_sample, write_sample
from corpus_peers.sides import Peer, Qingtan, Result, Side

REPOSITORY = Path(__file__).resolve().parents[1]
STEPS = ("clean", "duplicates", "encode")
THRESHOLD = 0.8
INSTALL = {
    "datatrove": "pip install 'datatrove[processing,io]' spacy jieba",
    "data_juicer": "pip install torch==2.13.0 py-data-juicer aiohttp ftfy ray scipy",
}


def main() -> None:
    """Read the command line and print the tables."""
    options = parse_arguments()
    # As many processors as workers, for libraries that start threads of their own.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.workers])
    sides = choose_sides(options)
    if not sides:
        sys.exit("no side is left to run")
    sample = draw_sample(options.data, options.megabytes, options.seed)
    if not sample.planted:
        sys.exit(f"{options.data}: too little Chinese text in JSON Lines")
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        folder = Path(name)
        write_sample(sample, folder / "sample", options.workers)
        convert_tokenizer(options.tokenizer, folder / "sample/tokenizer.json")
        print_speed(sample, run_rounds(sides, folder, options.rounds, options.workers))
        print_duplicates(sample, sides, folder, options.workers)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY / "../shared/data/pretrain", help="JSON Lines"
    )
    parser.add_argument("--megabytes", type=float, default=100, help="of text, about")
    parser.add_argument("--rounds", type=int, default=3, help="of each, the median is printed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--tokenizer", type=Path, default=REPOSITORY / "models/qingtan/tokenizer.model"
    )
    names = ("qingtan", "datatrove", "data-juicer")
    parser.add_argument("--sides", nargs="+", choices=names, default=names)
    parser.add_argument("--datatrove-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--data-juicer-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--work", type=Path, help="the folder for what is written on the way")
    return parser.parse_args()


def choose_sides(options: argparse.Namespace) -> list[Side]:
    """Return the sides that can run; say how to install the others."""
    sides: list[Side] = [Qingtan(options.tokenizer)] if "qingtan" in options.sides else []
    for name, python in (
        ("datatrove", options.datatrove_python),
        ("data-juicer", options.data_juicer_python),
    ):
        module = name.replace("-", "_")
        if name not in options.sides:
            continue
        if subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode:
            print(f"{name} is left out: {python} has none; {INSTALL[module]}, then name that")
            print(f"interpreter with --{name}-python")
            continue
        sides.append(Peer(name, python, f"run_{module}.py"))
    return sides


def run_rounds(
    sides: list[Side], folder: Path, rounds: int, workers: int
) -> dict[str, list[Result]]:
    """Let each side do the whole task so many times, in turn."""
    results: dict[str, list[Result]] = {side.name: [] for side in sides}
    for i in range(rounds):
        for side in sides:
            work = folder / f"{side.name}-{i}"
            results[side.name].append(side.run("build", folder / "sample", work, workers))
    return results


def print_speed(sample: Sample, results: dict[str, list[Result]]) -> None:
    """Print the medians, and what Qingtan's are to the others'."""
    megabytes = sample.size / 1e6
    print(f"{megabytes:.1f} MB in {len(sample.texts)} documents; MB/s, medians")
    columns = "".join(f"{step:>12}" for step in (*STEPS, "in all"))
    print(f"{'':24}{columns}{'peak MB':>10}{'kept':>8}{'Mtokens':>9}")
    for name, runs in results.items():
        speeds = [megabytes / s if s else None for s in (*step_medians(runs), median_all(runs))]
        peak = statistics.median(run.peak for run in runs) / 1e6
        kept, tokens = runs[0].documents / len(sample.texts), runs[0].tokens
        left = f"{kept:>8.1%}{'–' if tokens is None else f'{tokens / 1e6:.2f}':>9}"
        print(f"{name:24}{format_numbers(speeds)}{peak:>10.0f}{left}", flush=True)
    for name in [name for name in results if name != "qingtan" and "qingtan" in results]:
        ratios = compare(results["qingtan"], results[name])
        print(f"{'qingtan / ' + name:24}{format_numbers(ratios)}")


def compare(ours: list[Result], theirs: list[Result]) -> list[float | None]:
    """Return how much faster ours are, by step and in all; steps that the other lacks left out."""
    mine, other = step_medians(ours), step_medians(theirs)
    ratios = [b / a if a and b else None for a, b in zip(mine, other, strict=True)]
    extra = sum(a for a, b in zip(mine, other, strict=True) if a and not b)
    return [*ratios, median_all(theirs) / (median_all(ours) - extra)]


def step_medians(runs: list[Result]) -> list[float | None]:
    """Return the seconds of each step; None for a step that the side has not."""
    return [
        statistics.median(run.steps[step] for run in runs) if step in runs[0].steps else None
        for step in STEPS
    ]


def median_all(runs: list[Result]) -> float:
    """Return the seconds of the whole command."""
    return statistics.median(run.seconds for run in runs)


def format_numbers(numbers: list[float | None]) -> str:
    """Return columns; a dash for what is not there."""
    return "".join(f"{'–' if number is None else f'{number:.2f}':>12}" for number in numbers)


def print_duplicates(sample: Sample, sides: list[Side], folder: Path, workers: int) -> None:
    """Let each side drop duplicates only, and print how well it did."""
    sets = GramSets.of(sample.texts)
    pairs = planted_above(sets, sample.planted, THRESHOLD)
    print(f"\n{len(pairs)} of {len(sample.planted)} changed copies are at or above {THRESHOLD}")
    precisions = f"{f'right ≥{THRESHOLD}':>12}{f'right ≥{THRESHOLD - 0.1:.1f}':>12}"
    print(f"{'':24}{'dropped':>12}{'recall':>12}{precisions}")
    for side in sides:
        work = folder / f"{side.name}-duplicates"
        side.run("duplicates", folder / "sample", work, workers)
        result: Score = score(sets, pairs, side.kept(work), THRESHOLD)
        numbers = "".join(f"{n:>12.1%}" for n in (result.recall, result.right, result.nearly_right))
        print(f"{side.name:24}{result.dropped:>12}{numbers}", flush=True)


if __name__ == "__main__":
    main()
