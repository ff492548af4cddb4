"""`qingtan convert`, as a user runs it."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import zstandard

from qingtan.engine.weights import load_weights
from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, initialize
from qingtan.glm.tokenizer import GLMTokenizer, load_tokenizer
from test_cli import qingtan
from texts import TEXT


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_checkpoint_becomes_smaller(tiny_checkpoint: Path, tmp_path: Path, language: str) -> None:
    folder = tmp_path / "m"
    arguments = ("convert", str(tiny_checkpoint), str(folder), "--to", "bf16", "--head", "int8")
    run = qingtan(*arguments, language=language)
    assert run.returncode == 0, run.stderr
    assert ("The model is in" if language == "en" else "模型已写入") in run.stdout
    before, after = map(float, re.findall(r"([\d.]+) MB", run.stdout))
    assert after < 0.6 * before
    weights = load_weights(folder)
    assert (weights.embedding.format, weights.layers[0].qkv.format) == ("q8", "bf16")
    again = qingtan(*arguments)
    assert again.returncode == 2
    assert "exists" in again.stderr
    assert qingtan(*arguments, "--force").returncode == 0


def test_what_cannot_be_packed_is_said(tiny_tokenizer: GLMTokenizer, tmp_path: Path) -> None:
    config = replace(GLMConfig.named("tiny"), hidden_size=48)
    save_model(initialize(GLM(config)), tiny_tokenizer, tmp_path / "source")
    run = qingtan("convert", str(tmp_path / "source"), str(tmp_path / "m"), "--to", "int4")
    assert run.returncode == 2
    assert re.search(r"embedding\.weight has rows of 48 numbers, and int8 packs 32", run.stderr)
    assert not (tmp_path / "m").exists()


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """Twenty documents, of which the third is a conversation."""
    records: list[dict[str, object]] = [{"text": line * 3} for line in TEXT.splitlines()] * 3
    messages = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好！"}]
    records[2] = {"messages": messages}
    lines = "".join(json.dumps(record) + "\n" for record in records[:20])
    path = tmp_path / "texts.jsonl.zst"
    path.write_bytes(zstandard.compress(lines.encode()))
    return path


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_a_calibrated_conversion_costs_is_printed(
    tiny_checkpoint: Path, documents: Path, tmp_path: Path, language: str
) -> None:
    arguments = ("convert", str(tiny_checkpoint), str(tmp_path / "m"), "--to", "int4")
    run = qingtan(*arguments, "--calibrate", str(documents), language=language)
    assert run.returncode == 0, run.stderr
    # Held back are the documents 1, 9 and 17; what the two models make of them is measured here.
    tokenizer = load_tokenizer(tiny_checkpoint)
    lines = zstandard.decompress(documents.read_bytes()).decode().splitlines()[::8]
    held = [json.loads(line)["text"] for line in lines]
    tokens = [[*tokenizer.prefix, *tokenizer.encode(each), tokenizer.eos_id] for each in held]
    for number, folder in enumerate((tiny_checkpoint, tmp_path / "m")):
        nats, count = score(load_model(folder), tokens)
        size = sum(len(each.encode()) for each in held)
        for name, value in (
            (("perplexity", "困惑度"), math.exp(nats / count)),
            (("bits per byte", "比特/字节"), nats / math.log(2) / size),
        ):
            row = next(r for r in run.stdout.splitlines() if name[language == "zh"] in r)
            printed = float(row.replace(name[language == "zh"], "").split()[number])
            assert printed == pytest.approx(value, rel=2e-3)
    places = re.search(r"[\d.]+%.* ([\d,]+) places|([\d,]+) 个位置", run.stdout)
    assert places is not None
    assert next(filter(None, places.groups())) == f"{count:,}"


def test_the_cost_is_measured_on_other_text(
    tiny_checkpoint: Path, documents: Path, tmp_path: Path
) -> None:
    arguments = ("convert", str(tiny_checkpoint), str(tmp_path / "m"), "--to", "int8")
    assert "--text FILE measures" in qingtan(*arguments).stdout
    other = tmp_path / "other.txt"
    other.write_text("今天天气很好。" * 40, encoding="utf-8")
    run = qingtan(*arguments, "--text", str(other), "--force")
    assert run.returncode == 0, run.stderr
    before, after = re.findall(r"perplexity +([\d.]+) +([\d.]+)", run.stdout)[0]
    assert float(after) == pytest.approx(float(before), rel=0.02)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "好"}\n{"words": "好"}\n', r'a\.jsonl:2: no "text"'),
        ("a.jsonl", '{"messages": [{"role": 1}]}\n', r"a\.jsonl:1: messages\[0\]"),
        ("a.jsonl", "", "no text of at most"),
        ("a.bin", "x", r"a\.bin"),
    ],
)
def test_texts_that_cannot_be_used_are_named(
    name: str, content: str, message: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    made = str(tmp_path / "m")
    run = qingtan("convert", str(tiny_checkpoint), made, "--to", "int4", "--calibrate", str(path))
    assert run.returncode == 2, run.stderr
    assert re.search(message, run.stderr), run.stderr
    assert not (tmp_path / "m").exists()


def score(model: GLM, texts: list[list[int]]) -> tuple[float, int]:
    """Σ −ln p of the texts' tokens, and how many they are, by torch."""
    nats, count = 0.0, 0
    for tokens in texts:
        with torch.no_grad():
            logits = model(torch.tensor([tokens[:-1]])).logits[0]
        wanted = torch.tensor(tokens[1:])
        nats += torch.nn.functional.cross_entropy(logits, wanted, reduction="sum").item()
        count += len(wanted)
    return nats, count
