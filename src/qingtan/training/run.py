"""A run's folder: the recipe as run, metrics, checkpoints, and what to go on from.

recipe.json                     the recipe with its overrides
metrics.jsonl                   one line each `log_every` steps and each evaluation
samples.jsonl                   what the model wrote at some steps
skipped.jsonl                   sequences that are not trained on, and why
forgetting.json                 what a model could before it was tuned, and after
report.html                     all of it as a page
checkpoints/step-00000200/      a checkpoint in the usual layout, and `trainer.pt`
model/ or adapter/              the finished model or adapter, with `provenance.json`
"""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from qingtan.errors import UserError
from qingtan.files import new_folder, read_json, write_json, write_text
from qingtan.training.batches import Skipped
from qingtan.training.optimizer import rate_share
from qingtan.training.recipe import TrainRecipe
from qingtan.training.report.write import write_report

KEPT_CHECKPOINTS = 2
STATE_FILE = "trainer.pt"
RECIPE_FILE = "recipe.json"
METRICS_FILE = "metrics.jsonl"
SAMPLES_FILE = "samples.jsonl"
SKIPPED_FILE = "skipped.jsonl"
MODEL_FOLDER = "model"
ADAPTER_FOLDER = "adapter"

# Fields that change nothing of what is learnt: when to look, and how to compute it.
_AROUND_THE_STEPS = {"checkpoint_every", "compile", "evaluate_every", "log_every", "tensorboard"}


class Run:
    """The folder of one run.

    Attributes:
        folder: the run's.
        result: where the finished model or adapter goes.
    """

    def __init__(self, recipe: TrainRecipe) -> None:
        self.recipe = recipe
        self.folder = recipe.output
        self.result = self.folder / (ADAPTER_FOLDER if recipe.adapter else MODEL_FOLDER)
        self._metrics = self.folder / METRICS_FILE
        self._samples = self.folder / SAMPLES_FILE
        self._checkpoints = self.folder / "checkpoints"

    def check_free(self) -> None:
        """Make sure that there is no run yet.

        Raises:
            UserError: there is one.
        """
        if self.folder.exists():
            raise UserError(
                f"{self.folder}: holds a run already; go on with --resume, or remove it"
            )

    def start(self, skipped: Iterable[Skipped]) -> None:
        """Make the folder, and name in it what will not be trained on."""
        self.folder.mkdir(parents=True)
        write_text(self.folder / SKIPPED_FILE, "".join(_line(asdict(each)) for each in skipped))
        write_json(self.folder / RECIPE_FILE, self.recipe.model_dump(mode="json"))

    def newest_checkpoint(self) -> Path | None:
        """Return the checkpoint to go on from; None where the run has not come to one.

        Raises:
            UserError: there is no run, it is finished, or its recipe was another one. Its number of
                steps may differ as long as the rates so far are the same.
        """
        as_run = read_json(self.folder / RECIPE_FILE)
        newest = max(self._checkpoints.glob("step-*"), default=None)
        if changed := self._changed(as_run, int(newest.name[5:]) if newest else 0):
            raise UserError(
                f"{self.folder}: the run was started with another recipe; changed: "
                f"{', '.join(changed)}"
            )
        if self.result.exists():
            raise UserError(f"{self.folder}: the run is finished; its result is {self.result}")
        return newest

    def _changed(self, as_run: dict[str, Any], done: int) -> list[str]:
        """Return the fields whose change would have made the first `done` steps others."""
        now = self.recipe.model_dump(mode="json")
        names = {name for name in now if now[name] != as_run.get(name)} - _AROUND_THE_STEPS
        return (
            [] if names == {"steps"} and self._began_alike(as_run["steps"], done) else sorted(names)
        )

    def _began_alike(self, steps: int, done: int) -> bool:
        """Whether the first `done` steps of a run of `steps` are those of this one."""
        recipe = self.recipe
        # The noise of differential privacy is of the number of steps.
        return (
            recipe.steps >= done
            and not recipe.privacy
            and all(
                rate_share(step, steps, recipe.optimizer)
                == rate_share(step, recipe.steps, recipe.optimizer)
                for step in range(done)
            )
        )

    def go_on(self, step: int) -> None:
        """Forget what was noted after a step, and note the recipe as it is now."""
        write_json(self.folder / RECIPE_FILE, self.recipe.model_dump(mode="json"))
        for path in (self._metrics, self._samples):
            kept = [entry for entry in read_lines(path) if entry["step"] <= step]
            if path.exists():
                write_text(path, "".join(map(_line, kept)))

    def log(self, **entry: Any) -> None:
        """Append a line to metrics.jsonl."""
        _append(self._metrics, entry)

    def first(self, name: str) -> Any:
        """Return this field of the first line of metrics.jsonl that has it; None without one."""
        return next((entry[name] for entry in read_lines(self._metrics) if name in entry), None)

    def log_samples(self, step: int, samples: list[dict[str, str]]) -> None:
        """Append what the model wrote at a step."""
        _append(self._samples, {"step": step, "samples": samples})

    def save_checkpoint(
        self, step: int, write: Callable[[Path], None], state: dict[str, Any]
    ) -> None:
        """Write a checkpoint, whole or not at all; keep the newest ones only.

        Args:
            write: writes the model or the adapter into a folder.
            state: what else there is to go on from.
        """
        folder = self._checkpoints / f"step-{step:08d}"
        with new_folder(folder, STATE_FILE, replace=True) as partial:
            write(partial)
            torch.save(state, partial / STATE_FILE)
        for old in sorted(self._checkpoints.glob("step-*"))[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old)

    def report(self) -> None:
        """Bring report.html up to date."""
        write_report(self.folder)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of JSON; a last line that was cut off is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _append(path: Path, entry: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(entry))


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False) + "\n"
