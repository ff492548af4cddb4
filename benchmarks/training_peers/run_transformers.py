"""Trains with transformers' Trainer the way its examples do, and prints what came of it.

Texts are joined and cut into full rows (run_clm.py); conversations are padded to the longest of
their batch (DataCollatorForSeq2Seq); a teacher is run in `compute_loss`, and its divergence
computed from whole logits (torch's tutorial on distillation, TRL's GKDTrainer).

    PYTHONPATH=benchmarks python -m training_peers.run_transformers FOLDER
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from qingtan.corpus.shards import Corpus, Shard
from training_peers.work import CORPUS, MODEL, TEACHER, Result, Work, peak_memory

IGNORED = -100
Item = dict[str, Tensor]


def main() -> None:
    """Train on what a folder holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--group-by-length", action="store_true", help="batch like with like")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    folder: Path = options.folder
    work = Work.read(folder)
    (shard,) = Corpus.open(folder / CORPUS).select("train")
    is_text = shard.trained is None
    items = join_and_cut(shard, work.length) if is_text else conversations(shard)
    # As many useful tokens in an update as the packed rows hold.
    size = work.rows * work.length / np.mean([len(item["input_ids"]) for item in items])
    collator, clock = PaddingCollator(), Clock()
    with tempfile.TemporaryDirectory(dir=folder) as output:
        trainer = make_trainer(
            work,
            folder,
            args=make_arguments(work, output, max(1, round(size)), options),
            train_dataset=items,
            data_collator=collator,
            callbacks=[clock],
        )
        trainer.train()
    seconds = clock.times[-1] - clock.times[work.warmup - 1]
    # Each update is one batch; batches fetched ahead come after the last.
    timed = slice(work.warmup, work.steps)
    tokens = sum(collator.useful[timed])
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    Result(
        tokens_per_second=tokens / seconds,
        filled=tokens / sum(collator.all[timed]),
        peak=peak_memory(work.device),
        first_loss=losses[0],
    ).print()


def join_and_cut(shard: Shard, length: int) -> list[Item]:
    """Return texts as rows without any padding."""
    rows = shard.tokens[: len(shard.tokens) // length * length].reshape(-1, length)
    tensors = torch.from_numpy(rows.astype(np.int64))
    return [{"input_ids": row, "labels": row} for row in tensors]


def conversations(shard: Shard) -> list[Item]:
    """Return conversations one by one; the labels are what is to be learnt of them."""
    assert shard.trained is not None
    items = []
    for start, end in zip(shard.starts[:-1], shard.starts[1:], strict=True):
        tokens = torch.from_numpy(shard.tokens[start:end].astype(np.int64))
        trained = torch.from_numpy(np.array(shard.trained[start:end]))
        items.append({"input_ids": tokens, "labels": tokens.where(trained, IGNORED)})
    return items


class PaddingCollator:
    """Pads items to the longest of their batch; rows that are full need no mask.

    Attributes:
        useful: of each batch, tokens that are no padding.
        all: of each batch, all tokens.
    """

    def __init__(self) -> None:
        self.useful: list[int] = []
        self.all: list[int] = []

    def __call__(self, items: Sequence[Item]) -> Item:
        lengths = torch.tensor([len(item["input_ids"]) for item in items])
        batch = {
            name: torch.nn.utils.rnn.pad_sequence([i[name] for i in items], True, padding)
            for name, padding in (("input_ids", 0), ("labels", IGNORED))
        }
        self.useful.append(int(lengths.sum()))
        self.all.append(batch["input_ids"].numel())
        if self.useful[-1] < self.all[-1]:
            batch["attention_mask"] = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
        return batch


class Clock(transformers.TrainerCallback):
    """Notes when each update ends."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append(time.perf_counter())


class DistillationTrainer(transformers.Trainer):
    """Adds the divergence from a teacher to the loss."""

    def __init__(self, teacher: torch.nn.Module, ce_weight: float, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.teacher = teacher.to(self.args.device).eval()
        self.ce_weight = ce_weight

    def compute_loss(self, model: Any, inputs: Item, *_: Any, **__: Any) -> Tensor:
        student = model(**inputs)
        with torch.no_grad():
            teacher = self.teacher(**inputs)
        kept = inputs["labels"][:, 1:] != IGNORED
        divergence = F.kl_div(
            F.log_softmax(student.logits[:, :-1], dim=-1),
            F.log_softmax(teacher.logits[:, :-1], dim=-1),
            reduction="none",
            log_target=True,
        )
        kl = divergence.sum(-1)[kept].mean()
        loss: Tensor = self.ce_weight * student.loss + (1 - self.ce_weight) * kl
        return loss


def make_trainer(work: Work, folder: Path, **arguments: Any) -> transformers.Trainer:
    """Return the trainer of a kind of training."""
    arguments["model"] = load(folder / MODEL)
    if work.task == "distillation":
        return DistillationTrainer(load(folder / TEACHER), work.ce_weight, **arguments)
    return transformers.Trainer(**arguments)


def load(folder: Path) -> torch.nn.Module:
    """Return a model in float32."""
    model: torch.nn.Module = transformers.GlmForCausalLM.from_pretrained(folder, dtype="float32")
    return model


def make_arguments(
    work: Work, output: str, size: int, options: argparse.Namespace
) -> transformers.TrainingArguments:
    """Return settings that do nothing but learn."""
    return transformers.TrainingArguments(
        output_dir=output,
        per_device_train_batch_size=size,
        max_steps=work.steps,
        optim="adamw_torch_fused",
        learning_rate=work.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=work.weight_decay,
        adam_beta1=work.beta1,
        adam_beta2=work.beta2,
        max_grad_norm=work.clip_norm,
        bf16=work.precision == "bfloat16",
        use_cpu=work.device == "cpu",
        dataloader_drop_last=True,
        dataloader_pin_memory=work.device == "cuda",
        train_sampling_strategy="group_by_length" if options.group_by_length else "random",
        seed=work.seed,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        torch_compile=options.compile,
    )


if __name__ == "__main__":
    main()
