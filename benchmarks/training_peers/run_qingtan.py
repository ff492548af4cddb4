"""Trains with Qingtan's trainer, and prints what came of it.

PYTHONPATH=benchmarks python -m training_peers.run_qingtan FOLDER --optimizer adamw
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from qingtan.corpus.shards import Corpus
from qingtan.glm.config import GLMConfig
from qingtan.glm.layouts import load_config
from qingtan.training.batches import PADDING, Batch, PackedRows
from qingtan.training.recipe import TrainRecipe
from qingtan.training.speed import flops_per_token, peak_flops
from qingtan.training.trainer import train
from training_peers.work import CORPUS, MODEL, TEACHER, Result, Work, peak_memory


def main() -> None:
    """Train in a new folder beside the material."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--optimizer", choices=["adamw", "muon"], default="adamw")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    folder: Path = options.folder
    work = Work.read(folder)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        run = Path(name) / "run"
        # What the trainer says goes where the errors go.
        with contextlib.redirect_stdout(sys.stderr):
            train(make_recipe(work, folder, run, options.optimizer, options.compile))
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    seconds = steps[-1]["seconds"] - steps[work.warmup - 1]["seconds"]
    timed = list(read_batches(work, folder))[work.warmup :]
    tokens = sum(useful_tokens(batch) for batch in timed)
    peak = peak_memory(work.device)
    needed = sum(needed_flops(work, folder, batch) for batch in timed)
    possible = peak_flops(torch.device(work.device), getattr(torch, work.precision))
    Result(
        tokens_per_second=tokens / seconds,
        filled=tokens / sum(batch.tokens.numel() for batch in timed),
        peak=peak,
        first_loss=steps[0]["loss"],
        mfu=needed / seconds / possible if possible else None,
    ).print()


def make_recipe(
    work: Work, folder: Path, output: Path, optimizer: str, compiled: bool
) -> TrainRecipe:
    """Return a run that does nothing but learn."""
    values: dict[str, Any] = {
        "output": output,
        "model": {"start": folder / MODEL},
        "data": {"corpus": folder / CORPUS, "sequence_length": work.length},
        "optimizer": {
            "name": optimizer,
            "learning_rate": work.learning_rate,
            "weight_decay": work.weight_decay,
            "betas": (work.beta1, work.beta2),
            "clip_norm": work.clip_norm,
            "warmup_steps": 0,
        },
        "steps": work.steps,
        "batch_tokens": work.rows * work.length,
        "micro_batch_tokens": work.rows * work.length,
        "seed": work.seed,
        "device": work.device,
        "precision": work.precision,
        "compile": compiled,
        "log_every": 1,
        "checkpoint_every": work.steps + 1,
        "evaluate_every": work.steps + 1,
        "evaluation_tokens": 1,
        "forgetting_items": 0,
        "spike_nats": 0,
    }
    if work.task == "distillation":
        values["model"]["dtype"] = "float32"
        values["distillation"] = {"teacher": folder / TEACHER, "ce_weight": work.ce_weight}
    return TrainRecipe.model_validate(values)


def read_batches(work: Work, folder: Path) -> Iterator[Batch]:
    """Return the batches that the trainer learns from, in its order."""
    corpus = Corpus.open(folder / CORPUS)
    rows = PackedRows(corpus.select("train"), corpus.epochs, work.length, work.seed)
    return islice(rows.batches(work.rows), work.steps)


def useful_tokens(batch: Batch) -> int:
    """Return how many tokens are no padding."""
    return int((batch.documents != PADDING).sum())


def needed_flops(work: Work, folder: Path, batch: Batch) -> float:
    """Return the arithmetic that a batch's useful tokens need: the student's and the teacher's."""
    needed = _flops(load_config(folder / MODEL), work.length, batch)
    if work.task == "distillation":
        # A forward pass is a third of what learning takes.
        needed += _flops(load_config(folder / TEACHER), work.length, batch) / 3
    return needed


def _flops(config: GLMConfig, length: int, batch: Batch) -> float:
    useful = useful_tokens(batch)
    head = 6 * config.hidden_size * config.vocab_size
    return useful * flops_per_token(config, length) - (useful - batch.labelled) * head


if __name__ == "__main__":
    main()
