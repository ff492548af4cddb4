"""Two processes on one run, started by torchrun: the same losses, and checkpoints that fit both."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from qingtan.glm.checkpoint import load_model
from qingtan.glm.lora_files import load_lora
from qingtan.training.recipe import TrainRecipe
from qingtan.training.run import RECIPE_FILE
from qingtan.training.trainer import train

from .samples import make_recipe, read_metrics

PROGRAM = """
import sys
from pathlib import Path
from qingtan.training.recipe import TrainRecipe
from qingtan.training.trainer import train

recipe = TrainRecipe.model_validate_json(Path(sys.argv[1]).read_text())
train(recipe, resume=len(sys.argv) > 2)
"""
COURSE = ("loss", "step", "gradient_norm")
# Sums in another order; Muon's update is computed in bfloat16, so that a rounding apart may show.
CLOSE = {"rel": 1e-3}
NORMS_CLOSE = {"rel": 1e-2}

Make = Callable[..., TrainRecipe]


def run_two(recipe: TrainRecipe, *arguments: str) -> None:
    program = recipe.output.with_suffix(".py")
    program.write_text(PROGRAM, encoding="utf-8")
    path = recipe.output.with_suffix(".json")
    path.write_text(recipe.model_dump_json(), encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", str(program), str(path), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[:6000]


def assert_same_course(one: Path, other: Path) -> None:
    expected, found = (read_metrics(run, *COURSE) for run in (one, other))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours[:2] == pytest.approx(theirs[:2], **CLOSE)
        assert ours[2] == pytest.approx(theirs[2], **NORMS_CLOSE)
    expected, found = (read_metrics(run, "bits_per_byte") for run in (one, other))
    assert found[-1][0] == pytest.approx(expected[-1][0], **CLOSE)


@pytest.fixture
def make(corpus: Path, tmp_path: Path) -> Make:
    def make(name: str, **changes: Any) -> TrainRecipe:
        settings = {"batch_tokens": 1024, "micro_batch_tokens": 256, "steps": 6}
        return make_recipe(tmp_path / name, corpus, checkpoint_every=3, **settings, **changes)

    return make


def test_two_processes_are_as_one_and_go_on_from_each_other(make: Make, tmp_path: Path) -> None:
    changes = {"optimizer__average_decay": 0.9, "samples": {"prompts": ["春眠"], "every": 3}}
    one, two = make("one", **changes), make("two", **changes)
    train(one)
    run_two(two)
    assert_same_course(one.output, two.output)
    # Each goes on from the checkpoint that the other has written half-way.
    for recipe, go_on in ((one, lambda r: run_two(r, "--resume")), (two, lambda r: train(r, True))):
        halved = recipe.model_copy(update={"output": tmp_path / f"{recipe.output.name}-halved"})
        shutil.copytree(recipe.output, halved.output)
        shutil.rmtree(halved.output / "model")
        written = halved.model_dump_json()
        (halved.output / RECIPE_FILE).write_text(written, encoding="utf-8")
        go_on(halved)
        assert_same_course(one.output, halved.output)


def test_an_adapter_is_whole_in_each_process(make: Make, pretrained: Path) -> None:
    changes = {"model": {"start": pretrained / "model"}, "lora": {"rank": 4}}
    one, two = (
        make(name, **changes, data__sources={"talks": 1.0}, forgetting_items=2)
        for name in ("one", "two")
    )
    train(one)
    run_two(two)
    assert_same_course(one.output, two.output)
    tokens = torch.arange(20)[None]
    logits = []
    for recipe in (one, two):
        model = load_model(pretrained / "model")
        load_lora(model, "trained", recipe.output / "adapter")
        logits.append(model(tokens).logits)
    torch.testing.assert_close(*logits, atol=1e-3, rtol=0)
    assert (logits[0] - load_model(pretrained / "model")(tokens).logits).abs().max() > 0.1
