"""The trainer: one loop for pretraining and for supervised fine-tuning.

What is learned follows from the data: every token of a text, and the answers of a conversation.
"""

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from qingtan.corpus.shards import Corpus
from qingtan.errors import UserError
from qingtan.files import new_folder
from qingtan.glm.checkpoint import CONFIG_FILE, load_model, load_tokenizer, write_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.conversation import stop_ids
from qingtan.glm.model import GLM, initialize
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.i18n import tr
from qingtan.provenance import Provenance, Step, checkpoint_provenance, merge
from qingtan.training.batches import IGNORED, Batch, PackedRows
from qingtan.training.evaluation import HeldOut, evaluate
from qingtan.training.optimizer import Optimizer, rate_share
from qingtan.training.plot import plot_losses
from qingtan.training.recipe import TrainRecipe
from qingtan.training.run import STATE_FILE, Run

# Steps over which the shown speed is averaged.
SPEED_WINDOW = 20


class Interrupted(Exception):  # noqa: N818  (no error: the user asked for it)
    """Ctrl-C was pressed; a checkpoint was written, and the run can go on from it."""


def train(recipe: TrainRecipe, resume: bool = False) -> Path:
    """Run a recipe to its end, and return the folder of the finished model.

    Args:
        resume: go on from the newest checkpoint; the losses are those of an unbroken run.

    Raises:
        UserError: the recipe does not fit the data, or the run's folder is in the way.
        Interrupted: after Ctrl-C, with a checkpoint written.
    """
    return Trainer(recipe, resume).run()


class Trainer:
    """The state of a run, and its loop."""

    def __init__(self, recipe: TrainRecipe, resume: bool = False) -> None:
        self.recipe = recipe
        self.device = _choose_device(recipe.device)
        self.corpus = Corpus.open(recipe.data.corpus)
        self.tokenizer = GLMTokenizer.from_file(self.corpus.tokenizer_path)
        self.sources = recipe.data.sources or self.corpus.epochs
        self.rows = PackedRows(
            self.corpus.select("train", list(self.sources)),
            self.sources,
            recipe.data.sequence_length,
            recipe.seed,
        )
        self.folder = Run(recipe)
        checkpoint = self.folder.resume() if resume else None
        self.model = self._build_model(checkpoint).to(self.device).train()
        self.optimizer = Optimizer(self.model, recipe.optimizer)
        self.step, self.seconds = 0, 0.0
        if checkpoint:
            self._load_state(checkpoint)
        if not resume:
            self.folder.start()
        self._loss = self._compiled(self._micro_loss)

    def run(self) -> Path:
        """Train from the current step to the last, evaluate, and write the model."""
        self._announce()
        with _held_back_interrupt() as interrupted:
            for batch in self._progress():
                self._train_step(batch)
                if interrupted():
                    self._checkpoint()
                    raise Interrupted(f"{self.folder.folder}: step {self.step}")
        return self._finish()

    def _build_model(self, checkpoint: Path | None) -> GLM:
        table = self.recipe.model
        start = checkpoint or table.start
        if start:
            model = load_model(start, dtype=torch.float32)
            self._check_start(start, model.config)
        else:
            rows = -(-self.tokenizer.vocab_size // 64) * 64
            eos = stop_ids(self.tokenizer)
            config = GLMConfig.named(table.size or "", vocab_size=rows, eos_token_id=eos)
            model = initialize(GLM(config), self.recipe.seed)
        if model.config.max_position_embeddings < self.recipe.data.sequence_length:
            raise UserError(
                f"data.sequence_length {self.recipe.data.sequence_length} is more than the "
                f"model's context of {model.config.max_position_embeddings}"
            )
        return model

    def _check_start(self, start: Path, config: GLMConfig) -> None:
        if load_tokenizer(start).model != self.tokenizer.model:
            raise UserError(
                f"{start}: has another tokenizer than the corpus {self.corpus.path}; build the "
                "corpus with the model's tokenizer.model"
            )
        if config.vocab_size < self.tokenizer.vocab_size:
            raise UserError(
                f"{start}: has {config.vocab_size} rows of embeddings, but its tokenizer has "
                f"{self.tokenizer.vocab_size} tokens"
            )

    def _load_state(self, checkpoint: Path) -> None:
        state = torch.load(checkpoint / STATE_FILE, weights_only=True)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]

    def _compiled(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return torch.compile(function) if self.recipe.compile else function

    def _micro_loss(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """Return the sum of the losses of the labelled tokens, in nats."""
        kept = labels != IGNORED
        logits = self.model(tokens, logits_at=kept).logits
        return F.cross_entropy(logits.float(), labels[kept], reduction="sum")

    def _progress(self) -> Iterator[Batch]:
        """Yield the batches from the current step on, under a bar with speed and time left."""
        recipe = self.recipe
        batches = self.rows.batches(recipe.batch_rows, skip=self.step)
        steps = range(self.step, recipe.steps)
        with tqdm(steps, initial=self.step, total=recipe.steps, unit="step") as self._bar:
            self._times: deque[float] = deque([time.monotonic()], SPEED_WINDOW + 1)
            for _ in self._bar:
                yield next(batches)

    def _train_step(self, batch: Batch) -> None:
        recipe = self.recipe
        labelled = int((batch.labels != IGNORED).sum())
        total = 0.0
        size = recipe.micro_batch_rows
        for tokens, labels in zip(batch.tokens.split(size), batch.labels.split(size), strict=True):
            with torch.autocast(self.device.type, torch.bfloat16, self.device.type == "cuda"):
                loss = self._loss(tokens.to(self.device), labels.to(self.device))
            # Every labelled token of the update counts the same, wherever it stands.
            (loss / labelled).backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.optimizer.clip_norm)
        share = rate_share(self.step, recipe.steps, recipe.optimizer)
        self.optimizer.step(share)
        self.step += 1
        self._report(total / labelled, float(norm), share * recipe.optimizer.learning_rate)

    def _report(self, loss: float, norm: float, rate: float) -> None:
        recipe = self.recipe
        self._times.append(time.monotonic())
        self.seconds += self._times[-1] - self._times[-2]
        steps = len(self._times) - 1
        speed = steps * self._batch_tokens / (self._times[-1] - self._times[0])
        self._bar.set_postfix_str(f"loss {loss:.3f}, {speed:,.0f} tokens/s")
        if self.step % recipe.log_every == 0 or self.step in (1, recipe.steps):
            self.folder.log(
                step=self.step,
                tokens=self._tokens_seen,
                loss=loss,
                gradient_norm=norm,
                learning_rate=rate,
                tokens_per_second=round(speed),
                seconds=round(self.seconds, 1),
            )
        if self.step < recipe.steps:
            if self.step % recipe.evaluate_every == 0:
                self._evaluate()
            if self.step % recipe.checkpoint_every == 0:
                self._checkpoint()

    @property
    def _batch_tokens(self) -> int:
        return self.recipe.batch_rows * self.recipe.data.sequence_length

    @property
    def _tokens_seen(self) -> int:
        return self.step * self._batch_tokens

    def _evaluate(self) -> dict[str, HeldOut]:
        results = evaluate(
            self.model,
            self.corpus.select("valid", list(self.sources)),
            self.recipe.data.sequence_length,
            self.recipe.evaluation_tokens,
        )
        figures = {name: round(result.bits_per_byte, 4) for name, result in results.items()}
        self.folder.log(step=self.step, tokens=self._tokens_seen, bits_per_byte=figures)
        # The pause is no part of the speed.
        self._times.clear()
        self._times.append(time.monotonic())
        return results

    def _checkpoint(self) -> None:
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "optimizer": self.optimizer.state_dict(),
        }
        self.folder.save_checkpoint(self.step, self.model, self.tokenizer, state)
        plot_losses(self.folder.read_metrics(), self.folder.folder / "loss.png")
        self._times.clear()
        self._times.append(time.monotonic())

    def _finish(self) -> Path:
        results = self._evaluate()
        plot_losses(self.folder.read_metrics(), self.folder.folder / "loss.png")
        with new_folder(self.folder.model, CONFIG_FILE) as partial:
            write_model(self.model, self.tokenizer, partial)
            self._provenance(results).write(partial)
        print(tr("The model is", "模型已写入"), self.folder.model)
        for name, result in results.items():
            print(f"  {name:24} {result.bits_per_byte:.3f} bits/byte")
        return self.folder.model

    def _provenance(self, results: dict[str, HeldOut]) -> Provenance:
        start = self.recipe.model.start
        records = [self.corpus.provenance_of(list(self.sources))]
        if start:
            records.insert(0, checkpoint_provenance(start))
        step = Step.now(
            "train",
            size=self.recipe.model.size or str(start),
            parameters=self.model.config.num_parameters,
            steps=self.recipe.steps,
            tokens=self._tokens_seen,
            hours=round(self.seconds / 3600, 2),
            device=_device_name(self.device),
            **{f"bits_per_byte.{name}": round(r.bits_per_byte, 4) for name, r in results.items()},
        )
        return merge(records).with_step(step)

    def _announce(self) -> None:
        recipe = self.recipe
        details: dict[str, Any] = {
            tr("model", "模型"): f"{self.model.config.num_parameters / 1e6:.1f}M",
            tr("documents", "文档"): f"{self.rows.documents:,}",
            tr("steps", "步数"): f"{recipe.steps:,} × {self._batch_tokens:,} tokens",
            tr("device", "设备"): str(self.device),
        }
        print(", ".join(f"{name} {value}" for name, value in details.items()))
        if self.rows.left_out:
            print(
                tr("conversations longer than a row, left out:", "超过一行长度而略去的对话："),
                f"{self.rows.left_out:,}",
            )


def _choose_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda was asked for, and torch sees no GPU")
    return torch.device(name)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


@contextmanager
def _held_back_interrupt() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a flag that is looked at between steps; a second one stops."""
    pressed = False

    def note(*_: Any) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
