"""Runs that are interrupted or killed, in processes of their own, and go on as if unbroken."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from qingtan.errors import UserError
from qingtan.files import read_json
from qingtan.glm.checkpoint import load_model
from qingtan.training.recipe import TrainRecipe
from qingtan.training.trainer import train

from .samples import make_recipe, read_metrics

PROGRAM = """
import sys
from pathlib import Path
from qingtan.training.recipe import TrainRecipe
from qingtan.training.trainer import Interrupted, train

try:
    train(TrainRecipe.model_validate_json(Path(sys.argv[1]).read_text()))
except Interrupted as error:
    sys.exit(f"interrupted: {error}")
"""
STEPS = 12
COURSE = ("loss", "step", "gradient_norm", "learning_rate", "tokens")
FIGURES = ("bits_per_byte", "step")


def start(recipe: TrainRecipe) -> subprocess.Popen[str]:
    """Begin a run in a process of its own, with one thread as here."""
    path = recipe.output.with_suffix(".json")
    path.write_text(recipe.model_dump_json(), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def count_lines(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.read_text(encoding="utf-8").count("\n") if path.exists() else 0


@pytest.fixture(scope="module")
def runs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One unbroken run, and two of the same recipe that were broken off at about half."""
    folder = tmp_path_factory.mktemp("runs")
    recipes = {
        name: make_recipe(
            folder / name,
            corpus,
            steps=STEPS,
            batch_tokens=2048,
            checkpoint_every=5,
            evaluate_every=4,
            data__sources={"poems": 1.0, "talks": 0.7},
        )
        for name in ("unbroken", "interrupted", "killed")
    }
    signals = {
        "interrupted": (signal.SIGINT, lambda: count_lines(folder / "interrupted") >= 3),
        "killed": (signal.SIGKILL, lambda: count_lines(folder / "killed") >= 8),
    }
    processes = {name: start(recipes[name]) for name in signals}
    waiting, end = set(signals), time.monotonic() + 60
    while waiting:
        for name in sorted(waiting):
            assert processes[name].poll() is None, processes[name].communicate()[1]
            sent, is_due = signals[name]
            if is_due():
                processes[name].send_signal(sent)
                waiting.remove(name)
        assert time.monotonic() < end
        time.sleep(0.002)
    errors = {name: process.communicate(timeout=60)[1] for name, process in processes.items()}
    assert "interrupted: " in errors["interrupted"]
    assert {name: p.returncode for name, p in processes.items()} == {"interrupted": 1, "killed": -9}
    # It was killed while it wrote a line.
    with (folder / "killed" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 12, "lo')

    train(recipes["unbroken"])
    for name in ("interrupted", "killed"):
        assert not (folder / name / "model").exists()
        train(recipes[name], resume=True)
    return {name: folder / name for name in recipes}


@pytest.mark.parametrize("name", ["interrupted", "killed"])
def test_a_resumed_run_is_the_unbroken_one(runs: dict[str, Path], name: str) -> None:
    expected = read_metrics(runs["unbroken"], *COURSE)
    assert [entry[1] for entry in expected] == list(range(1, STEPS + 1))
    assert read_metrics(runs[name], *COURSE) == expected
    figures = read_metrics(runs["unbroken"], *FIGURES)
    assert [entry[1] for entry in figures] == [4, 8, 12]
    assert read_metrics(runs[name], *FIGURES) == figures
    ours, theirs = (load_model(runs[run] / "model") for run in ("unbroken", name))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_folders_are_in_order(runs: dict[str, Path]) -> None:
    for run in runs.values():
        assert {path.name for path in run.iterdir()} == {
            "recipe.json",
            "metrics.jsonl",
            "skipped.jsonl",
            "report.html",
            "checkpoints",
            "model",
        }
        kept = sorted(path.name for path in (run / "checkpoints").iterdir())
        assert kept == ["step-00000005", "step-00000010"]


def test_a_run_goes_on_to_another_number_of_steps(corpus: Path, tmp_path: Path) -> None:
    changes = {"checkpoint_every": 3, "optimizer__decay_share": 0.0}  # a rate that never falls
    train(make_recipe(tmp_path / "whole", corpus, steps=6, **changes))
    run = tmp_path / "run"
    train(make_recipe(run, corpus, steps=4, **changes))
    shutil.rmtree(run / "model")
    with pytest.raises(UserError, match="another recipe; changed: steps"):  # 3 are done
        train(make_recipe(run, corpus, steps=2, **changes), resume=True)
    train(make_recipe(run, corpus, steps=6, log_every=3, **changes), resume=True)
    assert read_metrics(run, *COURSE)[-1] == read_metrics(tmp_path / "whole", *COURSE)[-1]
    assert read_json(run / "recipe.json")["steps"] == 6


def test_the_steps_are_kept_where_the_rate_depends_on_them(corpus: Path, tmp_path: Path) -> None:
    optimizer = {"optimizer__schedule": "cosine", "optimizer__warmup_steps": 0}
    changes = {"checkpoint_every": 3, **optimizer}
    train(make_recipe(tmp_path / "run", corpus, steps=4, **changes))
    shutil.rmtree(tmp_path / "run" / "model")
    with pytest.raises(UserError, match="another recipe; changed: steps"):
        train(make_recipe(tmp_path / "run", corpus, steps=6, **changes), resume=True)
