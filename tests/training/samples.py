"""Shards made by hand, and corpora and recipes to train on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qingtan.corpus import CorpusRecipe, build_corpus
from qingtan.corpus.shards import Shard
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.recipe import TrainRecipe

POEM = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。床前明月光，疑是地上霜。"
ANSWERS = {
    "你叫什么名字？": "我叫清谈。",
    "北京是什么？": "北京是中国的首都。",
    "上海是什么？": "上海是最大的城市。",
    "今天天气好吗？": "今天天气很好。",
}


def text_shard(lengths: Sequence[int], source: str = "text", first: int = 0) -> Shard:
    """Return texts whose tokens all differ: they count up from `first`."""
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = np.arange(first, first + starts[-1]).astype(np.uint32)
    return Shard(source, "train", tokens, starts, np.asarray(lengths, np.uint32), None)


def talk_shard(masks: Sequence[Sequence[bool]], first: int = 0) -> Shard:
    """Return conversations by their masks; tokens count up from `first`."""
    shard = text_shard([len(mask) for mask in masks], "talk", first)
    trained = np.concatenate([np.asarray(mask, np.bool_) for mask in masks])
    return Shard("talk", "train", shard.tokens, shard.starts, shard.bytes, trained)


def make_corpus(folder: Path, tokenizer: GLMTokenizer) -> Path:
    """Build a corpus of texts that repeat themselves, and of questions with one answer each."""
    texts = [{"text": f"第{i}首：{POEM * 2}"} for i in range(120)]
    talks: list[dict[str, Any]] = []
    for i in range(60):
        for question, answer in ANSWERS.items():
            messages = [
                {"role": "system", "content": f"第{i}次。"},
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
            talks.append({"messages": messages})
    for name, records in (("poems", texts), ("talks", talks)):
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    tokenizer.save(folder)
    values = {
        "output": folder / "corpus",
        "tokenizer": folder / "tokenizer.model",
        "root": folder,
        "validation_share": 0.1,
        "source": [
            {"name": "poems", "path": "poems.jsonl"},
            {"name": "talks", "path": "talks.jsonl", "kind": "conversations"},
        ],
    }
    return build_corpus(CorpusRecipe.model_validate(values), workers=1)


def make_recipe(output: Path, corpus: Path, **changes: Any) -> TrainRecipe:
    """Return a short run of the tiny model on the poems; "table__field" changes a table's field."""
    values: dict[str, Any] = {
        "output": output,
        "model": {"size": "tiny"},
        "data": {"corpus": corpus, "sources": {"poems": 1.0}, "sequence_length": 64},
        "optimizer": {"learning_rate": 0.01, "warmup_steps": 2},
        "steps": 30,
        "batch_tokens": 1024,
        "micro_batch_tokens": 1024,
        "device": "cpu",
        # Results of runs are compared to the last digits.
        "precision": "float32",
        "log_every": 1,
        "evaluation_tokens": 500,
    }
    for name, value in changes.items():
        table, _, field = name.rpartition("__")
        (values[table] if table else values)[field] = value
    return TrainRecipe.model_validate(values)


def read_metrics(run: Path, *names: str) -> list[tuple[Any, ...]]:
    """Return these fields of the lines that have the first."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    return [tuple(entry[name] for name in names) for entry in entries if names[0] in entry]
