"""A run's folder: the recipe as run, metrics, checkpoints, and what to go on from.

recipe.json                     the recipe with its overrides
metrics.jsonl                   one line each `log_every` steps and each evaluation
loss.png                        the same as a picture
checkpoints/step-00000200/      a checkpoint in the usual layout, and `trainer.pt`
model/                          the finished model, with `provenance.json`
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from qingtan.errors import UserError
from qingtan.files import new_folder, read_json, write_json, write_text
from qingtan.glm.checkpoint import write_model
from qingtan.glm.model import GLM
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.recipe import TrainRecipe

KEPT_CHECKPOINTS = 2
STATE_FILE = "trainer.pt"
RECIPE_FILE = "recipe.json"
MODEL_FOLDER = "model"


class Run:
    """The folder of one run."""

    def __init__(self, recipe: TrainRecipe) -> None:
        self.recipe = recipe
        self.folder = recipe.output
        self.metrics = self.folder / "metrics.jsonl"
        self.model = self.folder / MODEL_FOLDER
        self._checkpoints = self.folder / "checkpoints"

    def start(self) -> None:
        """Make the folder.

        Raises:
            UserError: there is a run in it already.
        """
        if self.folder.exists():
            raise UserError(
                f"{self.folder}: holds a run already; go on with --resume, or remove it"
            )
        self.folder.mkdir(parents=True)
        write_json(self.folder / RECIPE_FILE, self.recipe.model_dump(mode="json"))

    def resume(self) -> Path | None:
        """Return the newest checkpoint, and cut the metrics back to it; None starts anew.

        Raises:
            UserError: there is no run, it is finished, or its recipe was another one.
        """
        as_run = read_json(self.folder / RECIPE_FILE)
        now = self.recipe.model_dump(mode="json")
        if changed := sorted(name for name in now if now[name] != as_run.get(name)):
            raise UserError(
                f"{self.folder}: the run was started with another recipe; changed: "
                f"{', '.join(changed)}"
            )
        if self.model.exists():
            raise UserError(f"{self.folder}: the run is finished; the model is {self.model}")
        checkpoints = sorted(self._checkpoints.glob("step-*"))
        newest = checkpoints[-1] if checkpoints else None
        step = int(newest.name.removeprefix("step-")) if newest else 0
        kept = [entry for entry in self.read_metrics() if entry["step"] <= step]
        write_text(self.metrics, "".join(_line(entry) for entry in kept))
        return newest

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl; a last line that was cut off is left out."""
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def log(self, **entry: Any) -> None:
        """Append a line to metrics.jsonl."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(_line(entry))

    def save_checkpoint(
        self, step: int, model: GLM, tokenizer: GLMTokenizer, state: dict[str, Any]
    ) -> Path:
        """Write model and trainer state, whole or not at all; keep the newest ones only."""
        folder = self._checkpoints / f"step-{step:08d}"
        with new_folder(folder, STATE_FILE, replace=True) as partial:
            write_model(model, tokenizer, partial)
            torch.save(state, partial / STATE_FILE)
        for old in sorted(self._checkpoints.glob("step-*"))[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old)
        return folder


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False) + "\n"
