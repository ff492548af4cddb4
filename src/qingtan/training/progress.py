"""What a run says while it runs: a bar, lines of metrics, and TensorBoard where asked."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from tqdm import tqdm

from qingtan.glm.config import GLMConfig
from qingtan.i18n import tr
from qingtan.training.parallel import Processes
from qingtan.training.recipe import TrainRecipe
from qingtan.training.run import Run
from qingtan.training.speed import flops_per_token, peak_flops
from qingtan.training.tensorboard import open_writer

# Steps over which the shown speed is averaged.
SPEED_WINDOW = 20


class Progress:
    """The clock of a run, and its voice; only the first process speaks and writes.

    Attributes:
        seconds: spent on steps, over all resumptions.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        run: Run,
        config: GLMConfig,
        processes: Processes,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        self._recipe = recipe
        self._run = run
        self._speaks = processes.is_first
        self.seconds = 0.0
        self._step_tokens = recipe.batch_rows * recipe.data.sequence_length
        self._flops = flops_per_token(
            config, recipe.data.sequence_length, "adapter" if recipe.adapter else "all"
        )
        peak = peak_flops(device, precision)
        self._peak = peak * processes.world if peak else None
        wanted = recipe.tensorboard and self._speaks
        self._writer = open_writer(Path(run.folder) / "tensorboard", wanted)

    def steps(self, first: int) -> Iterator[int]:
        """Yield the numbers of the steps from `first` (from 0), under a bar with the time left."""
        steps = range(first, self._recipe.steps)
        self._writer.start(first)
        self._times: deque[float] = deque([time.monotonic()], SPEED_WINDOW + 1)
        with tqdm(
            steps,
            initial=first,
            total=self._recipe.steps,
            unit=tr("step", "步"),
            disable=not self._speaks,
        ) as self._bar:
            yield from self._bar
        self._writer.close()

    def report(
        self, step: int, loss: float, parts: Mapping[str, float], norm: float, rate: float
    ) -> None:
        """Show a finished step, and note it where it is due.

        Args:
            step: its number, from 1.
        """
        self._times.append(time.monotonic())
        self.seconds += self._times[-1] - self._times[-2]
        window = self._times[-1] - self._times[0]
        speed = (len(self._times) - 1) * self._step_tokens / window
        share = speed * self._flops / self._peak if self._peak else None
        used = "" if share is None else f", MFU {share:.0%}"
        self._bar.set_postfix_str(f"loss {loss:.3f}, {speed:,.0f} tokens/s{used}")
        if step % self._recipe.log_every and step not in (1, self._recipe.steps):
            return
        entry = {
            "tokens": step * self._step_tokens,
            "loss": loss,
            "gradient_norm": norm,
            "learning_rate": rate,
            "tokens_per_second": round(speed),
            "seconds": round(self.seconds, 3),
        }
        if share is not None:
            entry["mfu"] = round(share, 4)
        self.note(step, entry | ({"parts": dict(parts)} if parts else {}))

    def note(self, step: int, entry: Mapping[str, object]) -> None:
        """Write a line of metrics."""
        if self._speaks:
            self._run.log(step=step, **entry)
            self._writer.add(step, entry)

    def pause(self) -> None:
        """Start the clock anew: what came between two steps is no part of the speed."""
        self._times.clear()
        self._times.append(time.monotonic())

    def say(self, text: str) -> None:
        """Print a line to the user, above the bar."""
        if self._speaks:
            tqdm.write(text)
