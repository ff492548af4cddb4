"""The trainer: one loop for every objective, on one device or several.

What is learned follows from the recipe and the data: every token of a text, the answers of a
conversation, the better of two answers, or a teacher's distribution.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qingtan.corpus.shards import Corpus
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.i18n import tr
from qingtan.training.batches import Batch
from qingtan.training.card import FINDING_PREFIX
from qingtan.training.examination import Examination
from qingtan.training.memory import keep_freed_memory
from qingtan.training.objective import Loss
from qingtan.training.optimizer import Average, Optimizer, rate_share
from qingtan.training.parallel import Processes, joined
from qingtan.training.progress import Progress
from qingtan.training.recipe import TrainRecipe
from qingtan.training.result import Result
from qingtan.training.run import STATE_FILE, Run
from qingtan.training.setup import (
    build_gradients,
    build_objective,
    build_source,
    build_subject,
    choose_device,
    choose_precision,
)
from qingtan.training.signals import held_back_signals
from qingtan.training.watch import Watch


class Interrupted(Exception):  # noqa: N818  (no error: the user asked for it)
    """Ctrl-C was pressed; a checkpoint was written, and the run can go on from it."""


def train(recipe: TrainRecipe, resume: bool = False) -> Path:
    """Run a recipe to its end, and return the folder of the finished model or adapter.

    Started by torchrun, its processes share the work.

    Args:
        resume: go on from the newest checkpoint; the losses are those of an unbroken run.

    Raises:
        UserError: the recipe does not fit the data, the run's folder is in the way, or the loss
            went wrong.
        Interrupted: after Ctrl-C, with a checkpoint written.
    """
    with joined() as processes:
        return Trainer(recipe, processes, resume).run()


class Trainer:
    """The state of a run, and its loop."""

    def __init__(self, recipe: TrainRecipe, processes: Processes, resume: bool) -> None:
        _check_processes(recipe, processes)
        self.recipe = recipe
        self.processes = processes
        self.device = choose_device(recipe.device)
        self.precision = choose_precision(recipe.precision, self.device)
        if self.device.type == "cpu":
            keep_freed_memory()
        corpus = Corpus.open(recipe.data.corpus)
        tokenizer = GLMTokenizer.from_file(corpus.tokenizer_path)
        sources = recipe.data.sources or corpus.epochs
        self.folder = Run(recipe)
        checkpoint = self.folder.newest_checkpoint() if resume else None
        if not resume:
            self.folder.check_free()
        self.source = build_source(recipe, corpus, tokenizer, sources)
        subject = build_subject(recipe, corpus, tokenizer, checkpoint).to(self.device)
        self.objective = build_objective(recipe, corpus, tokenizer, sources, subject, self.device)
        if self.objective.learned is not None:
            subject.learned = self.objective.learned.to(self.device)
        self.result = Result(recipe, corpus, tokenizer, sources, self.source, subject, processes)
        self.subject = processes.shard(subject)
        if recipe.compile:
            for block in subject.model.layers:
                block.compile()
        name = recipe.optimizer.name
        if name == "auto":
            name = "adamw" if recipe.adapter else "muon"
        self.optimizer = Optimizer(self.subject, recipe.optimizer, name)
        decay = recipe.optimizer.average_decay
        self.average = Average(self.subject, decay) if decay else None
        self.gradients = build_gradients(recipe, self.source, sources, self.subject, processes)
        self.watch = Watch(recipe.spike_nats)
        self.step = 0
        # None after going on from a checkpoint without their number.
        self.learned_tokens: int | None = 0
        self.progress = Progress(
            recipe, self.folder, subject.model.config, processes, self.device, self.precision
        )
        self.examination = Examination(
            recipe, corpus, tokenizer, sources, self.source, self.objective
        )
        if checkpoint:
            self._load_state(checkpoint)
        self._open_folder(resume)

    def run(self) -> Path:
        """Train from the current step to the last, evaluate, and write the result."""
        self._announce()
        if self.step == 0:
            self._examine_before()
            if self.examination.begins:
                self._evaluate()
        with held_back_signals() as stopped:
            batches = self.source.batches(self.recipe.batch_rows, skip=self.step)
            for _ in self.progress.steps(self.step):
                is_asked_to_stop = self._train_step(next(batches), stopped())
                # Before it stops, too: going on must not leave out what was due.
                self._look_around()
                if is_asked_to_stop:
                    self._checkpoint()
                    raise Interrupted(f"{self.folder.folder}: step {self.step}")
        return self._finish()

    def _train_step(self, batch: Batch, stopped: bool) -> bool:
        """Update the weights; return whether any process was asked to stop."""
        recipe, processes = self.recipe, self.processes
        # Dropout and the like depend on the step alone, so that a resumed run repeats it.
        torch.manual_seed(_seed_of(recipe.seed, self.step, processes.rank))
        with torch.compiler.set_stance("force_eager"):
            batch = self.objective.prepare(self.subject, batch, self.step)
        count = self.objective.count(batch)
        if self.learned_tokens is not None:
            self.learned_tokens += batch.labelled
        parts: dict[str, Tensor] = {"loss": torch.zeros((), device=self.device)}
        for micro in processes.share(batch.split(recipe.micro_batch_rows)):
            loss = self._forward(micro)
            self.gradients.add(loss.total, count)
            for name, value in {"loss": loss.total, **loss.parts}.items():
                parts[name] = parts.get(name, 0) + value.detach()
        norm = self.gradients.finish()
        *sums, stops = processes.sum([*(float(value) for value in parts.values()), float(stopped)])
        means = dict(zip(parts, (total / max(1, count) for total in sums), strict=True))
        if count:  # DP-SGD may have drawn nothing
            self.watch.check(self.step + 1, means["loss"], norm, batch)
        share = rate_share(self.step, recipe.steps, recipe.optimizer)
        self.optimizer.step(share)
        self.step += 1
        if self.average:
            self.average.update(self.step)
        rate = share * recipe.optimizer.learning_rate
        self.progress.report(self.step, means.pop("loss"), means, norm, rate)
        return stops > 0

    def _forward(self, batch: Batch) -> Loss:
        lower = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision) if lower else nullcontext():
            return self.objective.loss(self.subject, batch.to(self.device))

    def _look_around(self) -> None:
        """Do what is due between two steps."""
        recipe, step = self.recipe, self.step
        if step == recipe.steps:
            return
        due = {
            self._write_samples: recipe.samples.every if recipe.samples else 0,
            self._evaluate: recipe.evaluate_every,
            self._checkpoint: recipe.checkpoint_every,
        }
        for act, every in due.items():
            if every and step % every == 0:
                act()
                self.progress.pause()

    def _evaluate(self) -> dict[str, Any]:
        with self._averaged():
            entry = self.examination.evaluate(self.subject)
        if (epsilon := self.gradients.spent()) is not None:
            entry["epsilon"] = round(epsilon, 4)
        self.progress.note(self.step, {"tokens": self.step * self._batch_tokens, **entry})
        return entry

    def _write_samples(self) -> None:
        with self._averaged():
            samples = self.examination.samples(self.subject)
        if self.processes.is_first:
            self.folder.log_samples(self.step, samples)

    def _examine_before(self) -> None:
        if not self.examination.compares:
            return
        self.progress.say(tr("Measuring the model before tuning …", "正在测量调优前的模型……"))
        # A new prefix changes a model.
        with self._averaged(), self.subject.without_adapter():
            standing = self.examination.stand(self.subject)
        if self.processes.is_first:
            self.examination.write_before(self.folder.folder, standing)

    def _checkpoint(self) -> None:
        state = {
            "step": self.step,
            "learned_tokens": self.learned_tokens,
            "seconds": self.progress.seconds,
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "gradients": self.gradients.state_dict(),
            "watch": self.watch.state(),
            "parameters": self.result.beside_the_model(),
        }
        write = self.result.writer()
        if self.processes.is_first:
            self.folder.save_checkpoint(self.step, write, state)
            self.folder.report()
        self.processes.wait()

    def _load_state(self, checkpoint: Path) -> None:
        state: dict[str, Any] = torch.load(checkpoint / STATE_FILE, weights_only=True)
        self.step = state["step"]
        self.learned_tokens = state.get("learned_tokens")
        self.progress.seconds = state["seconds"]
        self.result.take_up(state["parameters"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.gradients.load_state_dict(state["gradients"])
        self.watch.load(state["watch"])

    def _open_folder(self, resume: bool) -> None:
        self.processes.wait()  # all have looked at the folder as it was
        if self.processes.is_first:
            if resume:
                self.folder.go_on(self.step)
            else:
                self.folder.start(self.source.skipped)
        self.processes.wait()

    def _finish(self) -> Path:
        recipe = self.recipe
        if recipe.samples:
            self._write_samples()
        figures = self._evaluate()
        bits_per_byte: dict[str, float] = figures["bits_per_byte"]
        with self._averaged():
            comparison = self._examine_after()
            write = self.result.writer()
        if self.processes.is_first:
            self.result.finish(self.folder.result, write, self._facts(figures), bits_per_byte)
            self.folder.report()
        self.processes.wait()
        for name, value in bits_per_byte.items():
            self.progress.say(f"  {name:24} {value:.3f} bits/byte")
        if right := figures.get("preference"):
            self.progress.say(
                tr("held-out pairs ranked right", "留出偏好对排序正确")
                + f": {right['accuracy']:.0%} ({right['accuracy_low']:.0%}–"
                f"{right['accuracy_high']:.0%}) / {right['pairs']}"
            )
        if found := figures.get("finding"):
            self.progress.say(_tell_finding(self.folder.first("finding"), found))
        if recipe.privacy:
            self.progress.say(f"(ε, δ) = ({figures['epsilon']}, {recipe.privacy.delta:g})")
        if comparison:
            self.progress.say(comparison)
        self.progress.say(f"{tr('The result is', '结果已写入')} {self.folder.result}")
        return self.folder.result

    def _facts(self, figures: Mapping[str, Any]) -> dict[str, str | int | float]:
        """Return what the provenance says of the run, but for its model and its teacher."""
        facts: dict[str, str | int | float] = {
            "steps": self.step,
            "tokens": self.step * self._batch_tokens,
            "hours": round(self.progress.seconds / 3600, 2),
            "device": self._device_name(),
            "precision": str(self.precision).removeprefix("torch."),
            "optimizer": " + ".join(type(part).__name__ for part in self.optimizer.parts),
            "learning_rate": self.recipe.optimizer.learning_rate,
            "batch_tokens": self._batch_tokens,
        }
        if found := figures.get("finding"):
            facts |= {f"{FINDING_PREFIX}{name}": value for name, value in found.items()}
        elif self.learned_tokens is not None:
            facts["learned_tokens"] = self.learned_tokens
        if self.recipe.privacy:
            facts |= {"epsilon": figures["epsilon"], "delta": self.recipe.privacy.delta}
        return facts

    def _examine_after(self) -> str:
        if not self.examination.compares:
            return ""
        standing = self.examination.stand(self.subject)
        if not self.processes.is_first:
            return ""
        return self.examination.compare(self.folder.folder, standing)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within it the weights are their average, where the recipe keeps one, and nothing is
        compiled, since lengths vary."""
        average = self.average.in_place() if self.average else nullcontext()
        with average, torch.compiler.set_stance("force_eager"):
            yield

    def _device_name(self) -> str:
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        else:
            name = f"CPU, {torch.get_num_threads()} threads"
        world = self.processes.world
        return name if world == 1 else f"{world} × {name}"

    @property
    def _batch_tokens(self) -> int:
        return self.recipe.batch_rows * self.recipe.data.sequence_length

    def _announce(self) -> None:
        recipe = self.recipe
        trained = sum(p.numel() for p in self.subject.parameters() if p.requires_grad)
        details = {
            tr("parameters", "参数"): f"{self.subject.model.config.num_parameters:,}",
            tr("trained", "训练"): f"{trained:,}",
            tr("documents", "文档"): f"{self.source.documents:,}",
            tr("steps", "步数"): f"{recipe.steps:,} × {self._batch_tokens:,} tokens",
            tr("device", "设备"): f"{self.device} × {self.processes.world}",
        }
        self.progress.say(", ".join(f"{name} {value}" for name, value in details.items()))
        if skipped := len(self.source.skipped):
            self.progress.say(
                tr(
                    f"{skipped:,} sequences are left out; skipped.jsonl names each and why.",
                    f"略去 {skipped:,} 条；skipped.jsonl 逐条说明原因。",
                )
            )


def _check_processes(recipe: TrainRecipe, processes: Processes) -> None:
    if processes.world == 1:
        return
    if recipe.contrastive:
        raise UserError(
            "contrastive: the passages of a batch are compared with each other in one process "
            "only; start it without torchrun"
        )
    if recipe.accumulation % processes.world:
        raise UserError(
            f"batch_tokens: an update has {recipe.accumulation} micro-batches, which "
            f"{processes.world} processes cannot share evenly; change batch_tokens or "
            "micro_batch_tokens"
        )
    if recipe.privacy:
        raise UserError("privacy: is accounted for in one process only; start it without torchrun")
    if recipe.distillation and recipe.distillation.on_policy_share:
        raise UserError("distillation.on_policy_share: the student writes in one process only")


def _tell_finding(before: Mapping[str, float] | None, after: Mapping[str, float]) -> str:
    """Say how many held-out passages are found, at the start and now."""
    names = {
        "recall_1": tr("nearest", "第一"),
        "recall_5": tr("among the five nearest", "前五"),
        "mrr": "MRR",
    }
    parts = (
        f"{text} {(before or after)[name]:.1%} → {after[name]:.1%}" for name, text in names.items()
    )
    what = tr("held-out questions find their passage", "留出问题找到所属段落")
    return f"{what}: {', '.join(parts)} / {after['pairs']} ({after['passages']})"


def _seed_of(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)
