"""Likelihoods of references and of held-out text, against a loop over the model's logits."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qingtan.corpus.shards import Corpus
from qingtan.errors import UserError
from qingtan.evaluation.likelihood import (
    BitsPerByte,
    Likelihood,
    Perplexity,
    measure_held_out,
    measure_references,
    open_corpus,
)
from qingtan.evaluation.metrics.metric import Answer, Item
from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.conversation import Message
from qingtan.glm.model import GLM
from qingtan.glm.tokenizer import GLMTokenizer, train_tokenizer
from qingtan.training.evaluation import evaluate
from qingtan.training.subject import Subject
from training.samples import make_corpus

from .test_items import TASK

TALKS = [
    {"id": "one", "history": ["你好"], "reference": "你好，请问你叫什么名字？"},
    {"id": "three", "history": ["春眠不觉晓", "处处闻啼鸟。", "夜来风雨声"], "reference": "花落"},
]


def ask(item: Item) -> list[Message]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(item["history"])]


TALK = replace(TASK, name="talk", ask=ask, reference=lambda item: item["reference"])


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> GLM:
    model = load_model(tiny_checkpoint, dtype=torch.float32)
    with torch.no_grad():
        model.embedding.weight.mul_(20)  # so that its guesses are far from even
    return model


@pytest.fixture(scope="module")
def corpus(tiny_tokenizer: GLMTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"), tiny_tokenizer)


def plain(model: GLM, tokenizer: GLMTokenizer, item: Item) -> tuple[float, int]:
    """Return −ln p of a reference, token by token after its conversation, and the tokens."""
    ids = list(tokenizer.prefix)
    for i, text in enumerate(item["history"]):
        role = "<|assistant|>" if i % 2 else "<|user|>"
        ids += [tokenizer.special_id(role), *tokenizer.newline, *tokenizer.encode(text)]
    ids.append(tokenizer.special_id("<|assistant|>"))
    answer = [*tokenizer.newline, *tokenizer.encode(item["reference"]), tokenizer.eos_id]
    with torch.no_grad():
        logits = model(torch.tensor([ids + answer])).logits[0].double().numpy()
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -sum(logs[len(ids) + i - 1, token] for i, token in enumerate(answer)), len(answer)


def test_references_are_measured_as_by_a_plain_loop(
    model: GLM, tiny_tokenizer: GLMTokenizer
) -> None:
    found = measure_references(Subject(model), tiny_tokenizer, TALK, TALKS)
    assert list(found) == ["one", "three"]
    expected = [plain(model, tiny_tokenizer, item) for item in TALKS]
    for item, (nats, tokens) in zip(TALKS, expected, strict=True):
        measured = found[str(item["id"])]
        assert measured.nats == pytest.approx(nats, rel=1e-5)
        assert measured.tokens == tokens
        assert measured.bytes == len(str(item["reference"]).encode())
    all_nats, all_tokens = (sum(values) for values in zip(*expected, strict=True))
    answers = [Answer("whatever"), Answer("")]
    for metric, value in (
        (Perplexity(found), math.exp(all_nats / all_tokens)),
        (BitsPerByte(found), all_nats / math.log(2) / (36 + 6)),
    ):
        rows = [metric.measure(i, a) for i, a in zip(TALKS, answers, strict=True)]
        assert metric.combine(np.sum(rows, axis=0)) == pytest.approx(value, rel=1e-5)


def test_what_cannot_be_measured_is_left_out(model: GLM, tiny_tokenizer: GLMTokenizer) -> None:
    longest = model.config.max_position_embeddings
    # In this vocabulary an x is a token of its own.
    too_long = {"id": "long", "history": ["x" * (longest - 20)], "reference": "x" * 50}
    blank = {"id": "blank", "history": ["你好"], "reference": " \n"}
    subject = Subject(model)
    found = measure_references(subject, tiny_tokenizer, TALK, [too_long, *TALKS, blank])
    assert found == measure_references(subject, tiny_tokenizer, TALK, TALKS)
    for metric in (Perplexity(found), BitsPerByte(found)):
        assert list(metric.measure(too_long, Answer(""))) == [0, 0]
        assert math.isnan(metric.combine(np.zeros(2)))
    assert measure_references(subject, tiny_tokenizer, TALK, [blank]) == {}
    assert measure_references(subject, tiny_tokenizer, TASK, TALKS) == {}


def test_a_hopeless_model_has_an_infinite_perplexity() -> None:
    metric = Perplexity({"a": Likelihood(1e6, 1, 1)})
    assert metric.combine(np.array(metric.measure({"id": "a"}, Answer("")))) == math.inf


def test_held_out_text_is_measured_as_in_training(model: GLM, corpus: Path) -> None:
    shards = Corpus.open(corpus).select("valid")
    subject = Subject(model).eval()
    for limit in (100, 2000):
        found = measure_held_out(subject, shards, limit)
        before = evaluate(subject, shards, model.config.max_position_embeddings, limit)
        assert list(found) == list(before) == ["poems", "talks"]
        for source, estimate in found.items():
            assert estimate.value == pytest.approx(before[source].bits_per_byte, rel=1e-5)
            assert estimate.low <= estimate.value <= estimate.high
        assert not subject.training
    talks = found["talks"]
    assert talks.low < talks.high < talks.low * 2


def test_a_corpus_must_fit_the_model(
    corpus: Path, model: GLM, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    assert open_corpus(corpus, tiny_checkpoint).sources == ["poems", "talks"]
    (tmp_path / "other").mkdir()
    train_tokenizer(["别的文字，别的词表。"] * 9, 270, tmp_path / "other" / "tokenizer.model")
    tokenizer = GLMTokenizer.from_file(tmp_path / "other" / "tokenizer.model")
    save_model(model, tokenizer, tmp_path / "model")
    with pytest.raises(UserError, match="another tokenizer"):
        open_corpus(corpus, tmp_path / "model")
    with pytest.raises(UserError, match="not a corpus"):
        open_corpus(tmp_path, tiny_checkpoint)
