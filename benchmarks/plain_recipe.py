"""What the recipe is worth: bits per byte beside transformers' `Trainer` on the very same tokens.

Both sides begin with the same weights of a small size, and read the same pieces of the same
documents once. Qingtan packs them and moves the weights by Muon, as the recipes of the built-in
models do. The plain recipe is what most people begin with: a piece a row, padded to the longest of
its batch, AdamW, and a rate that falls linearly, at several rates of which the best one counts.

    qingtan corpus build recipes/built-in/corpus.toml
    python benchmarks/plain_recipe.py runs/built-in/corpus

Prints bits per byte of the corpus's held-out documents by source (of conversations only the answers
count), their mean, and the minutes that each side took.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import transformers
from training_peers.run_transformers import Item, PaddingCollator, load

from qingtan.corpus.shards import Corpus
from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.conversation import stop_ids
from qingtan.glm.model import GLM, initialize
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.batches import PackedRows
from qingtan.training.evaluation import evaluate
from qingtan.training.recipe import TrainRecipe
from qingtan.training.setup import choose_precision
from qingtan.training.subject import Subject
from qingtan.training.trainer import train

# Modern text, and conversations of lengths that differ, all of whose tokens are learnt.
SOURCES = {
    "articles": 1.0,
    "games": 1.0,
    "docs-tech": 0.2,
    "laws": 0.1,
    "docqa": 0.3,
    "dialogue": 1.0,
    "translation-tatoeba": 0.5,
}
# Rows of a forward pass of the plain side; an update is accumulated from several.
PASS_ROWS = 16


def main() -> None:
    """Train both sides, and print what they reach."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--size", default="pocket")
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--batch-tokens", type=int, default=16_384)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--rate", type=float, default=1.2e-2, help="Qingtan's")
    parser.add_argument("--plain-rates", type=float, nargs="+", default=[3e-3, 6e-3])
    parser.add_argument("--tokens", type=int, default=10_000, help="held out, of each source")
    options = parser.parse_args()
    columns: dict[str, tuple[dict[str, float], float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_start(options, folder / "start")
        began = time.monotonic()
        trained = train(make_recipe(options, folder))
        columns["qingtan"] = measure(options, trained), time.monotonic() - began
        for rate in options.plain_rates:
            began = time.monotonic()
            trained = train_plainly(options, folder, rate)
            columns[f"plain, {rate:g}"] = measure(options, trained), time.monotonic() - began
    print_table(columns)


def write_start(options: argparse.Namespace, folder: Path) -> None:
    """Write the model that both sides begin with."""
    tokenizer = GLMTokenizer.from_file(Corpus.open(options.corpus).tokenizer_path)
    rows = -(-tokenizer.vocab_size // 64) * 64
    eos = stop_ids(tokenizer)
    config = GLMConfig.named(options.size, vocab_size=rows, eos_token_id=eos)
    save_model(initialize(GLM(config)), tokenizer, folder)


def make_recipe(options: argparse.Namespace, folder: Path) -> TrainRecipe:
    """Return Qingtan's run."""
    values: dict[str, Any] = {
        "output": folder / "run",
        "model": {"start": folder / "start"},
        "data": {
            "corpus": options.corpus,
            "sequence_length": options.length,
            "questions": True,
            "sources": SOURCES,
        },
        "optimizer": {"name": "muon", "learning_rate": options.rate},
        "steps": options.steps,
        "batch_tokens": options.batch_tokens,
        "micro_batch_tokens": 8192,
        "checkpoint_every": options.steps + 1,
        "evaluate_every": options.steps + 1,
        "evaluation_tokens": 1,
        "forgetting_items": 0,
    }
    return TrainRecipe.model_validate(values)


def read_pieces(options: argparse.Namespace) -> list[Item]:
    """Return what Qingtan's run reads, piece by piece in its order."""
    shards = Corpus.open(options.corpus).select("train", list(SOURCES))
    whole = [replace(shard, trained=None) for shard in shards]
    rows = PackedRows(whole, SOURCES, options.length, seed=0)
    batches = islice(rows.batches(options.batch_tokens // options.length), options.steps)
    pieces = [piece for batch in batches for row in batch.pieces for piece in row]
    tensors = [torch.as_tensor(piece.tokens()) for piece in pieces]
    return [{"input_ids": tokens, "labels": tokens} for tokens in tensors]


def train_plainly(options: argparse.Namespace, folder: Path, rate: float) -> Path:
    """Train as transformers' examples do, with as many tokens in an update on average."""
    items, output = read_pieces(options), folder / f"plain-{rate:g}"
    passes = max(1, round(len(items) / options.steps / PASS_ROWS))
    lower = choose_precision("auto", torch.device("cpu")) is torch.bfloat16
    arguments = transformers.TrainingArguments(
        output_dir=str(output),
        num_train_epochs=1,
        per_device_train_batch_size=PASS_ROWS,
        gradient_accumulation_steps=passes,
        optim="adamw_torch_fused",
        learning_rate=rate,
        lr_scheduler_type="linear",
        warmup_steps=options.steps // 10,
        weight_decay=0.1,
        adam_beta2=0.95,
        bf16=lower,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_steps=10,
        seed=0,
    )
    trainer = transformers.Trainer(
        model=load(folder / "start"),
        args=arguments,
        train_dataset=items,
        data_collator=PaddingCollator(),
    )
    trainer.train()
    trainer.model.save_pretrained(output)
    return output


def measure(options: argparse.Namespace, model: Path) -> dict[str, float]:
    """Return bits per byte by source."""
    shards = Corpus.open(options.corpus).select("valid", list(SOURCES))
    subject = Subject(load_model(model, dtype=torch.float32))
    found = evaluate(subject, shards, options.length, options.tokens)
    return {source: held_out.bits_per_byte for source, held_out in found.items()}


def print_table(columns: dict[str, tuple[dict[str, float], float]]) -> None:
    """Print a Markdown table, and what the best plain side needs more."""

    def row(cells: Sequence[str]) -> None:
        print(f"| {' | '.join(cells)} |")

    row(["source", *columns])
    row(["---"] * (len(columns) + 1))
    sources = next(iter(columns.values()))[0]
    for source in sources:
        row([source, *(f"{bits[source]:.3f}" for bits, _ in columns.values())])
    means = {side: fmean(bits.values()) for side, (bits, _) in columns.items()}
    row(["mean", *(f"{mean:.3f}" for mean in means.values())])
    row(["minutes", *(f"{seconds / 60:.1f}" for _, seconds in columns.values())])
    ours = means.pop("qingtan")
    best = min(means.values())
    print(f"The best plain side has {best / ours - 1:+.1%} bits per byte.")


if __name__ == "__main__":
    main()
