"""How fast Qingtan trains, beside transformers' `Trainer` on `GlmForCausalLM`.

Three kinds of training, each side in a process of its own, in turn, from the same weights on the
same documents, threads and precision, both with AdamW (and Qingtan once more with Muon, and both
compiled):

- pretraining: Qingtan packs texts; the Trainer gets them joined and cut into full rows.
- fine-tuning on conversations: Qingtan packs them; the Trainer pads each batch to its longest, and
  has as many conversations in a batch as make as many tokens.
- distillation from a teacher of size "mid" with the same vocabulary: forward KL and cross-entropy,
  in the Trainer as its users write it.

Documents are of ../shared/data where that is (`--data`), else of random tokens with lengths like
those of real ones. The vocabulary is the built-in model's, widened with unused pieces to the size's
own number of rows, which cost the same.

    python benchmarks/training.py
    python benchmarks/training.py --sizes tiny --rows 4 --length 128 --rounds 1
    python benchmarks/training.py --tasks fine-tuning --group-by-length

Prints a Markdown table of medians: useful tokens (those of documents, not of padding) a second,
beside the Trainer's; the share of useful tokens in all; the peak of memory of the whole process
(or of what it allocated on the GPU); and the share of what the machine's matrix products can do
that the useful tokens need (MFU). Compare only what was measured on a machine that was quiet.
Needs Linux, for the peak of memory.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from training_peers.material import FILES, prepare
from training_peers.work import TASKS, Result, Task, Work

from qingtan.glm.config import SIZES

BENCHMARKS = Path(__file__).resolve().parent
TRAINER = "transformers"
SIDES: dict[str, list[str]] = {
    "qingtan": ["training_peers.run_qingtan"],
    "qingtan, compiled": ["training_peers.run_qingtan", "--compile"],
    "qingtan, Muon": ["training_peers.run_qingtan", "--optimizer", "muon"],
    TRAINER: ["training_peers.run_transformers"],
    "transformers, compiled": ["training_peers.run_transformers", "--compile"],
}
# Both begin with the same weights, so their first losses differ only by what is in the batch.
LOSS_TOLERANCE = 0.05


def main() -> None:
    """Read the command line and print the table."""
    options = parse_arguments()
    print(describe(options), flush=True)
    print("| size | training | side | tokens/s | × Trainer | useful | peak GB | MFU |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for size in options.sizes:
        for task in options.tasks:
            with tempfile.TemporaryDirectory(dir=options.work) as name:
                folder = Path(name) / "material"
                prepare(make_work(options, task, size), folder, options.data)
                sides = choose_sides(options, task)
                results = run_rounds(sides, folder, options.rounds, options.threads)
            check_losses(results)
            print_rows(size, task, results)


def parse_arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=["student", "mid"])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--length", type=int, default=1024, help="tokens of a row")
    parser.add_argument("--rows", type=int, default=2, help="full rows of an update")
    parser.add_argument("--warmup", type=int, default=2, help="updates that are not timed")
    parser.add_argument("--steps", type=int, default=8, help="updates that are")
    parser.add_argument("--rounds", type=int, default=3, help="of each, the median is printed")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument(
        "--group-by-length",
        action="store_true",
        help="fine-tune also with a Trainer that batches conversations of like length",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=BENCHMARKS / "../../shared/data",
        help=" and ".join(FILES.values()),
    )
    parser.add_argument("--work", type=Path, help="the folder for what is written on the way")
    options = parser.parse_args()
    if options.warmup < 1:
        parser.error("--warmup: at least 1; the clock starts at the end of an update")
    return options


def choose_sides(options: argparse.Namespace, task: Task) -> dict[str, list[str]]:
    """Return the commands to run, by the sides' names."""
    sides = {name: SIDES[name] for name in options.sides}
    if options.group_by_length and task == "fine-tuning":
        sides[f"{TRAINER}, by length"] = [*SIDES[TRAINER], "--group-by-length"]
    return sides


def describe(options: argparse.Namespace) -> str:
    """Return what the figures depend on."""
    machine = f"CPU, threads: {options.threads}"
    if options.device == "cuda":
        machine = torch.cuda.get_device_name()
    made_up = [name for name in FILES.values() if not (options.data / name).is_file()]
    return (
        f"{machine}, {options.precision}, {options.rows} rows of {options.length} tokens in an "
        f"update, {options.steps} updates timed, medians of {options.rounds}"
        + (f"; random tokens in the place of {', '.join(made_up)}" if made_up else "")
        + "\n"
    )


def make_work(options: argparse.Namespace, task: Task, size: str) -> Work:
    """Return what each side is to do."""
    return Work(
        task=task,
        size=size,
        length=options.length,
        rows=options.rows,
        warmup=options.warmup,
        steps=options.warmup + options.steps,
        device=options.device,
        precision=options.precision,
    )


def run_rounds(
    sides: dict[str, list[str]], folder: Path, rounds: int, threads: int
) -> dict[str, list[Result]]:
    """Let each side do the work so many times, in turn."""
    results: dict[str, list[Result]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, (module, *arguments) in sides.items():
            command = [sys.executable, "-m", module, str(folder), *arguments]
            results[name].append(run(command, threads))
    return results


def run(command: list[str], threads: int) -> Result:
    """Run a side.

    Raises:
        RuntimeError: it failed; the message ends with what it said.
    """
    changes = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(BENCHMARKS)}
    environment = {**os.environ, **changes}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    return Result.parse(done.stdout)


def check_losses(results: dict[str, list[Result]]) -> None:
    """Make sure that all sides do the same.

    Raises:
        RuntimeError: their losses differ before they have learnt anything.
    """
    losses = {name: runs[0].first_loss for name, runs in results.items()}
    if max(losses.values()) > min(losses.values()) * (1 + LOSS_TOLERANCE):
        raise RuntimeError(f"the sides do not compute the same: first losses {losses}")


def print_rows(size: str, task: str, results: dict[str, list[Result]]) -> None:
    """Print the medians of one kind of training."""
    speeds = {
        name: statistics.median(run.tokens_per_second for run in runs)
        for name, runs in results.items()
    }
    for name, runs in results.items():
        ratio = f"{speeds[name] / speeds[TRAINER]:.2f}" if TRAINER in speeds else "–"
        filled = statistics.median(run.filled for run in runs)
        peak = statistics.median(run.peak for run in runs) / 1e9
        shares = [run.mfu for run in runs if run.mfu is not None]
        mfu = f"{statistics.median(shares):.0%}" if shares else "–"
        print(
            f"| {size} | {task} | {name} | {speeds[name]:.0f} | {ratio} | {filled:.0%} | "
            f"{peak:.2f} | {mfu} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
