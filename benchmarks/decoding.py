"""Which decoding defaults suit a model: its tasks under several settings of sampling.

    python benchmarks/decoding.py models/qingtan

Every setting answers the same items with the same seeds. Prints a row for each: how often answers
repeat themselves and end by themselves, the headlines of tasks that copy from given text, which a
penalty hurts, and of tasks that are sampled. The evaluations stay in runs/decoding.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

from qingtan.evaluation.results import Results
from qingtan.evaluation.run import Settings, evaluate
from qingtan.glm.catalogue import find_model

TASKS = ("cited", "customer-service", "law", "to-chinese", "entities", "poems", "dialogue")


def settings(arguments: argparse.Namespace) -> Iterator[Settings]:
    choices = arguments.temperatures, arguments.penalties, arguments.ngrams
    for temperature, penalty, ngram in itertools.product(*choices):
        yield Settings(
            data=arguments.data,
            tasks=TASKS,
            limit=arguments.limit,
            temperature=temperature,
            repetition_penalty=penalty,
            no_repeat_ngram_size=ngram,
        )


def row(results: Results) -> list[str]:
    overall = {figure.name: figure.model.value for figure in results.overall}
    headlines = {task.name: task.figures[0].model.value for task in results.tasks}
    sampled = next(task for task in results.tasks if task.name == "poems")
    return [
        f"{results.temperature:g}",
        f"{results.repetition_penalty:g}",
        f"{results.no_repeat_ngram_size}",
        f"{overall['loops']:.1%}",
        f"{overall['ends']:.1%}",
        *(f"{headlines[name]:.3f}" for name in TASKS),
        f"{next(f.model.value for f in sampled.figures if f.name == 'rhyme'):.3f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a built-in model's name, or a checkpoint")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/eval"))
    parser.add_argument("--limit", type=int, default=60, help="items of each task")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.4, 0.6, 0.8])
    parser.add_argument("--penalties", type=float, nargs="+", default=[1.0, 1.05, 1.1])
    parser.add_argument("--ngrams", type=int, nargs="+", default=[0, 6], help="0 is none")
    arguments = parser.parse_args()
    name = find_model(arguments.model).resolve().name
    rows = []
    for each in settings(arguments):
        setting = f"{each.temperature:g}-{each.repetition_penalty:g}-{each.no_repeat_ngram_size}"
        folder = f"runs/decoding/{name}-{setting}"
        rows.append(row(evaluate(arguments.model, each, folder)))
    header = ["temperature", "penalty", "n-gram", "loops", "ends", *TASKS, "rhyme"]
    for cells in (header, *rows):
        print("  ".join(cell.ljust(len(name)) for cell, name in zip(cells, header, strict=True)))


if __name__ == "__main__":
    main()
