"""Evaluations side by side: what a student keeps of its teacher, and what a teacher was good for.

    python benchmarks/models.py runs/evaluation/qingtan runs/evaluation/qingtan-pocket

Prints each task's headline for each of the evaluations, which have to be of the same items, and for
all but the first the mean of their ratios to it (of figures of which less is better, the inverse).
"""

import argparse
from pathlib import Path
from statistics import fmean

from qingtan.errors import UserError
from qingtan.evaluation.results import Figure, Results


def headlines(results: Results) -> dict[str, Figure]:
    return {task.name: task.figures[0] for task in results.tasks}


def ratio(figure: Figure, first: Figure) -> float | None:
    """Return how good a figure is in comparison with the first model's; None beside a zero."""
    one, other = figure.model.value, first.model.value
    if not figure.higher_is_better:
        one, other = other, one
    return one / other if other else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("evaluations", nargs="+", type=Path, help="folders with results.json")
    folders = parser.parse_args().evaluations
    all_results = [Results.read(folder) for folder in folders]
    if len({(results.limit, results.seed) for results in all_results}) > 1:
        raise UserError("the evaluations are of different items: make them with the same --limit")
    columns = [headlines(results) for results in all_results]
    tasks = [name for name in columns[0] if all(name in column for column in columns)]
    print("task".ljust(24), *(folder.name.rjust(24) for folder in folders))
    for name in tasks:
        values = [column[name].model for column in columns]
        cells = [f"{v.value:.3f} ({v.low:.3f}–{v.high:.3f})".rjust(24) for v in values]
        print(name.ljust(24), *cells)
    for folder, column in zip(folders[1:], columns[1:], strict=True):
        ratios = [ratio(column[name], columns[0][name]) for name in tasks]
        known = [value for value in ratios if value is not None]
        print(f"{folder.name}: {fmean(known):.3f} of {folders[0].name} in the mean of {len(known)}")
    if all(results.held_out for results in all_results):
        bits = [fmean(e.value for e in results.held_out.values()) for results in all_results]
        print("bits per byte, mean".ljust(24), *(f"{value:.3f}".rjust(24) for value in bits))


if __name__ == "__main__":
    main()
