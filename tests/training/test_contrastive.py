"""InfoNCE: loss and gradients against plain loops, and an encoder that learns and serves."""

import json
import math
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from qingtan.chat import ChatGLM
from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, initialize
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.provenance import Provenance
from qingtan.training.batches import Batch
from qingtan.training.contrastive import (
    Contrastive,
    encode_texts,
    evaluate_finding,
    info_nce,
    may_be_compared,
)
from qingtan.training.export import export
from qingtan.training.passages import Member, PassagePair, PassagePairs, Role, Text
from qingtan.training.subject import Subject
from qingtan.training.tables import ContrastiveTable
from qingtan.training.trainer import Interrupted, train

from .samples import make_recipe, read_metrics

VOCABULARY = 90
# A passage says the same as its question in other words, so that nothing is found unlearnt.
ASKED = ["春眠", "北京", "上海", "花落", "故乡", "公园", "天气", "风雨"]
SAID = ["明月", "夜来", "啼鸟", "城市", "你好", "地上", "首都", "白日"]


def table(**changes: Any) -> ContrastiveTable:
    return ContrastiveTable.model_validate({"pairs": "pairs.jsonl", **changes})


def make_model(seed: int, vocabulary: int = VOCABULARY) -> GLM:
    model = initialize(GLM(GLMConfig.named("tiny", vocab_size=vocabulary)), seed)
    with torch.no_grad():
        model.embedding.weight.mul_(20)  # so that texts are far from each other
    return model


def random_pairs(count: int, seed: int = 0, negatives: int = 1) -> list[PassagePair]:
    rng = np.random.default_rng(seed)
    numbers = iter(range(10 * count))

    def text(size: int) -> Text:
        ids = rng.integers(0, VOCABULARY, size)
        return Text("", ids, np.zeros(size, np.bool_), next(numbers))

    return [
        PassagePair(
            f"{i}",
            text(int(rng.integers(2, 6))),
            text(int(rng.integers(3, 12))),
            tuple(text(int(rng.integers(3, 12))) for _ in range(i % (negatives + 1))),
            i,
            i / count,
        )
        for i in range(count)
    ]


def first_batch(pairs: Sequence[PassagePair], rows: int = 12, length: int = 16) -> Batch:
    source = PassagePairs(pairs, [], table(validation_share=0.01), length, seed=0)
    return next(source.batches(rows))


def members_of(batch: Batch, role: Role) -> list[Member]:
    found = [p for row in batch.pieces for p in row if isinstance(p, Member) and p.role == role]
    return sorted(found, key=lambda member: member.pair)


def plain_vector(model: GLM, text: Text) -> Tensor:
    hidden = model(torch.from_numpy(text.ids[None])).hidden[0]
    mean = hidden.mean(0)
    vector: Tensor = mean / mean.norm()
    return vector


def plain_loss(model: GLM, batch: Batch, temperature: float) -> Tensor:
    """One text at a time, one term at a time; all pairs here are of different documents."""
    questions = [plain_vector(model, text) for text in members_of(batch, "question")]
    passages = [plain_vector(model, text) for text in members_of(batch, "passage")]
    negatives = [plain_vector(model, text) for text in members_of(batch, "negative")]
    total = torch.zeros((), dtype=questions[0].dtype)
    for i, question in enumerate(questions):
        right = torch.exp(question @ passages[i] / temperature)
        found = sum(torch.exp(question @ each / temperature) for each in [*passages, *negatives])
        asked = sum(torch.exp(each @ passages[i] / temperature) for each in questions)
        total = total - (torch.log(right / found) + torch.log(right / asked)) / 2
    return total


@hypothesis_settings(max_examples=50)
@given(
    questions=st.integers(1, 6),
    negatives=st.integers(0, 4),
    temperature=st.floats(0.02, 2),
    seed=st.integers(0, 1000),
)
def test_the_loss_of_pairs_is_that_of_plain_numpy(
    questions: int, negatives: int, temperature: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    cosines = rng.uniform(-1, 1, (questions, questions + negatives))
    allowed = rng.random(cosines.shape) < 0.7
    own = allowed[:, :questions]
    own |= own.T
    np.fill_diagonal(own, True)
    losses = info_nce(torch.from_numpy(cosines), torch.from_numpy(allowed), temperature)
    powers = np.exp(cosines / temperature) * allowed
    right = np.diagonal(powers)
    found, asked = right / powers.sum(1), right / powers[:, :questions].sum(0)
    np.testing.assert_allclose(
        losses.numpy(), -(np.log(found) + np.log(asked)) / 2, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_loss_of_a_batch_is_that_of_a_plain_loop(temperature: float) -> None:
    model = make_model(0).double()
    batch = first_batch(random_pairs(30))
    objective = Contrastive(table(temperature=temperature))
    count = objective.count(batch)
    assert count == len(members_of(batch, "passage")) > 4
    assert members_of(batch, "negative")
    assert any(len(row) > 1 for row in batch.pieces)  # packed, and yet each by itself
    subject = Subject(model, mask_documents=True)
    loss = objective.loss(subject, batch)
    expected = plain_loss(model, batch, temperature)
    assert float(loss.total.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
    questions, passages = members_of(batch, "question"), members_of(batch, "passage")
    with torch.no_grad():
        right = 0
        for question, own in zip(questions, passages, strict=True):
            asked = plain_vector(model, question)
            others = [*passages, *members_of(batch, "negative")]
            near = [float(asked @ plain_vector(model, each)) for each in others]
            right += others[int(np.argmax(near))] is own
    assert float(loss.parts["accuracy"]) == right


def test_gradients_are_those_of_a_plain_loop() -> None:
    model = make_model(0).double()
    batch = first_batch(random_pairs(30, seed=3))
    Contrastive(table(temperature=0.2)).loss(
        Subject(model, mask_documents=True), batch
    ).total.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    assert {n for n, _ in model.named_parameters()} - set(found) <= {"head.weight"}
    model.zero_grad()
    plain_loss(model, batch, 0.2).backward()
    for name, gradient in found.items():
        torch.testing.assert_close(
            gradient, model.get_parameter(name).grad, rtol=1e-3, atol=1e-5, msg=name
        )


def member(role: Role, pair: int, number: int, document: int) -> Member:
    return Member("", np.zeros(2, np.int64), np.zeros(2, np.bool_), number, pair, document, role)


def test_what_may_well_be_right_does_not_count() -> None:
    questions = [
        member("question", 0, 10, 0),
        member("question", 1, 11, 1),
        member("question", 2, 12, 0),  # another question on the first one's document
        member("question", 3, 11, 3),  # the second question again, with another passage
    ]
    passages = [
        member("passage", 0, 20, 0),
        member("passage", 1, 21, 1),
        member("passage", 2, 22, 0),
        member("passage", 3, 23, 3),
        member("negative", 0, 24, 0),  # it is of the document, but known not to answer
        member("negative", 1, 23, 1),  # it answers the last question
        member("negative", 2, 25, 0),
    ]
    allowed = may_be_compared(questions, passages)
    assert allowed.astype(int).tolist() == [
        [1, 1, 0, 1, 1, 1, 0],
        [1, 1, 1, 0, 1, 1, 1],
        [0, 1, 1, 1, 0, 1, 1],
        [1, 0, 1, 1, 1, 0, 1],
    ]


def test_a_right_passage_of_another_pair_costs_nothing() -> None:
    """A pair that stands several times in a batch is no wrong answer to itself."""
    objective, subject = Contrastive(table()), Subject(make_model(0), mask_documents=True)

    def loss_of(pairs: Sequence[PassagePair]) -> float:
        source = PassagePairs(pairs, [], table(), 400, seed=0)
        source.train = [source.train[0]] if len(pairs) == 2 else source.train
        batch = next(source.batches(1))  # the row has room for all of them, many times
        assert objective.count(batch) > 10
        return float(objective.loss(subject, batch).total.detach())

    assert loss_of(random_pairs(2, negatives=0)) == 0
    assert loss_of(random_pairs(4, negatives=0)) > 0


def test_vectors_are_those_that_the_engine_serves(
    tmp_path: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    model = make_model(1, GLMConfig.named("tiny").vocab_size)
    save_model(model, tiny_tokenizer, tmp_path / "model")
    texts = ["春眠不觉晓，处处闻啼鸟。", "北京", "上海是最大的城市。" * 6, "今天天气很好。"]
    lines = [
        {"question": text, "passage": f"{text}？", "source": "s", "licence": "MIT"}
        for text in texts
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    source = PassagePairs.open(table(pairs=path, length=128), tiny_tokenizer, 128, seed=0)
    pairs = sorted([*source.train, *source.validation], key=lambda pair: pair.name)
    ours = encode_texts(Subject(model, mask_documents=True), [pair.question for pair in pairs])
    with ChatGLM.from_pretrained(tmp_path / "model") as served:
        theirs = served.embed(texts)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)  # the engine's cache is float16
    # Packed into rows with others they are the same.
    batch = next(source.batches(40))
    assert any(len(row) > 1 for row in batch.pieces)
    subject = Subject(load_model(tmp_path / "model"), mask_documents=True)
    for question in members_of(batch, "question"):
        text = [pair.question.number for pair in pairs].index(question.number)
        np.testing.assert_allclose(encode_texts(subject, [question])[0], theirs[text], atol=2e-3)


def test_ranks_are_those_of_a_plain_search() -> None:
    subject = Subject(make_model(2), mask_documents=True)
    pairs = random_pairs(30, negatives=2)
    figures = evaluate_finding(subject, pairs)
    passages = [text for pair in pairs for text in (pair.passage, *pair.negatives)]
    with torch.no_grad():
        vectors = np.stack([plain_vector(subject.model, text).numpy() for text in passages])
        asked = np.stack([plain_vector(subject.model, pair.question).numpy() for pair in pairs])
    ranks: list[int] = []
    for vector, pair in zip(asked, pairs, strict=True):
        order = np.argsort(-(vectors @ vector), kind="stable")
        ranks.append(1 + [passages[i].number for i in order].index(pair.passage.number))
    assert (figures["pairs"], figures["passages"]) == (30, len(passages))
    assert figures["recall_1"] == pytest.approx(np.mean([rank == 1 for rank in ranks]))
    assert figures["recall_5"] == pytest.approx(np.mean([rank <= 5 for rank in ranks]))
    assert figures["mrr"] == pytest.approx(np.mean([1 / rank for rank in ranks]))


def test_equal_vectors_find_nothing() -> None:
    model = make_model(0)
    with torch.no_grad():
        model.final_norm.weight.zero_()
    figures = evaluate_finding(Subject(model, mask_documents=True), random_pairs(20, negatives=0))
    assert (figures["recall_1"], figures["recall_5"]) == (0, 0)
    assert figures["mrr"] == pytest.approx(1 / 20)


def write_pairs(path: Path, count: int = 150, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    drawn = {tuple(rng.permutation(8)[:3].tolist()) for _ in range(count)}
    lines = [
        {
            "question": "".join(ASKED[i] for i in words) + "？",
            "passage": "".join(SAID[i] for i in words) + "。",
            "negatives": ["".join(SAID[i] for i in words[:2]) + "。"],
            "source": "words",
            "licence": "CC0-1.0",
        }
        for words in sorted(drawn)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def encoder(output: Path, corpus: Path, pairs: Path, **changes: Any) -> Any:
    settings: dict[str, Any] = {
        "contrastive": {"pairs": pairs, "length": 32, "validation_share": 0.2},
        "data__sources": None,
        "steps": 40,
        "evaluate_every": 99,
    }
    return make_recipe(output, corpus, **(settings | changes))


def test_an_encoder_finds_what_it_was_not_shown(corpus: Path, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    model = train(encoder(tmp_path / "run", corpus, pairs, steps=120))
    measured = read_metrics(tmp_path / "run", "finding", "step")
    before, after = measured[0][0], measured[-1][0]
    assert [step for _, step in measured] == [0, 99, 120]
    assert before["pairs"] > 15
    assert before["recall_1"] < 0.2
    assert after["recall_1"] > 0.6
    assert after["recall_5"] > 0.9
    assert after["mrr"] > before["mrr"] + 0.4
    # The result says what it learnt from and how well, and so does its card.
    provenance = Provenance.read(model)
    assert {source.key for source in provenance.sources} == {("words", "CC0-1.0")}
    details = provenance.steps[-1].details
    assert details["finding.recall_1"] == after["recall_1"]
    assert not any(name.startswith("bits_per_byte") for name in details)
    export(tmp_path / "run", tmp_path / "given", dtype="float32")
    for name, title in (("README.md", "Held-out passages"), ("README.zh-CN.md", "留出段落")):
        card = (tmp_path / "given" / name).read_text(encoding="utf-8")
        assert f"## {title}" in card
        assert f"| {after['recall_1']:.1%} |" in card
        assert "Held-out text" not in card
    # What was exported answers by itself.
    with ChatGLM.from_pretrained(tmp_path / "given") as served:
        asked = served.embed(["春眠北京上海？"])
        said = served.embed(["明月夜来啼鸟。", "白日首都地上。", "城市你好地上。"])
    assert int((asked @ said.T).argmax()) == 0


def test_an_adapter_can_be_the_encoder(
    corpus: Path, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    changes = {
        "model": {"start": pretrained / "model"},
        "lora": {"rank": 16, "alpha": 32.0},
        "optimizer__learning_rate": 0.01,
        "steps": 100,
    }
    adapter = train(encoder(tmp_path / "run", corpus, pairs, **changes))
    measured = read_metrics(tmp_path / "run", "finding")
    before, after = measured[0][0], measured[-1][0]
    assert after["recall_5"] > before["recall_5"] + 0.3
    assert not (tmp_path / "run" / "forgetting.json").exists()
    said = capsys.readouterr()
    assert f"{before['recall_1']:.1%} → {after['recall_1']:.1%}" in said.out + said.err
    sources = {source.key for source in Provenance.read(adapter).sources}
    assert ("words", "CC0-1.0") in sources
    assert len(sources) == 2  # what the base has learnt from, too
    with ChatGLM.from_pretrained(pretrained / "model", adapters={"finder": adapter}) as served:
        asked = served.embed(["春眠北京上海？"], adapter="finder")
        plain = served.embed(["春眠北京上海？"])
    assert np.abs(asked - plain).max() > 0.01


def test_a_run_that_was_stopped_goes_on_to_the_last_bit(corpus: Path, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    changes: dict[str, Any] = {"steps": 14, "checkpoint_every": 5}
    whole = train(encoder(tmp_path / "whole", corpus, pairs, **changes))
    metrics = tmp_path / "stopped" / "metrics.jsonl"

    def press() -> None:
        while not metrics.exists() or metrics.read_text(encoding="utf-8").count("\n") < 7:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press, daemon=True)
    presser.start()
    with pytest.raises(Interrupted):
        train(encoder(tmp_path / "stopped", corpus, pairs, **changes))
    presser.join()
    assert len(read_metrics(tmp_path / "stopped", "loss")) < 14
    resumed = train(encoder(tmp_path / "stopped", corpus, pairs, **changes), resume=True)
    for names in (("loss", "step", "gradient_norm", "parts"), ("finding", "step")):
        assert read_metrics(tmp_path / "stopped", *names) == read_metrics(
            tmp_path / "whole", *names
        )
    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole, resumed)]
    assert weights[0] == weights[1]


def test_the_loss_falls_in_bfloat16_too(corpus: Path, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    train(encoder(tmp_path / "run", corpus, pairs, precision="bfloat16"))
    losses = [loss for (loss,) in read_metrics(tmp_path / "run", "loss")]
    assert losses[0] > 2
    assert losses[-1] < 0.6 * losses[0]
    assert all(map(math.isfinite, losses))


def test_a_file_that_is_not_there_is_named(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jsonl"):
        train(encoder(tmp_path / "run", corpus, tmp_path / "none.jsonl"))
    assert not (tmp_path / "run").exists()


def norms(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1)
    return lengths


def test_vectors_have_length_one_whatever_stands_beside_them() -> None:
    subject = Subject(make_model(3), mask_documents=True).train()
    texts = [pair.passage for pair in random_pairs(40)]
    vectors = encode_texts(subject, texts)
    assert subject.training
    np.testing.assert_allclose(norms(vectors), 1, atol=1e-6)
    alone = np.concatenate([encode_texts(subject, [text]) for text in texts])
    np.testing.assert_allclose(vectors, alone, atol=1e-5)
