"""What a model's provenance and its cards say of its training, and of its teacher's."""

import json
import re
import shutil
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from qingtan.corpus import Corpus
from qingtan.glm.checkpoint import save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.layouts import load_config
from qingtan.glm.model import GLM, initialize
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.provenance import Provenance, Step, merge
from qingtan.training.batches import PackedRows
from qingtan.training.card import render_card
from qingtan.training.distillation.write_logits import write_logits
from qingtan.training.export import export
from qingtan.training.run import STATE_FILE
from qingtan.training.trainer import train

from .samples import make_recipe

# A step as versions wrote it that recorded less.
OLD: dict[str, Any] = {
    "size": "laptop",
    "parameters": 3_986_112,
    "steps": 1800,
    "tokens": 7_372_800,
    "hours": 1.01,
    "device": "CPU, 2 threads",
}
# What every step of a run records now too.
LEARNING = ("precision", "optimizer", "learning_rate", "batch_tokens", "learned_tokens")


@pytest.fixture(scope="module")
def distilled(
    pretrained: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A teacher of two stages, and a student that learns from each and is exported."""
    folder = tmp_path_factory.mktemp("distilled")
    runs = {"pretrained": pretrained} | {n: folder / n for n in ("tuned", "student", "answering")}
    talks = {"sources": {"talks": 1.0}, "corpus": corpus, "sequence_length": 64}
    tuned = {"model": {"start": pretrained / "model"}, "data": talks, "steps": 2}
    train(make_recipe(runs["tuned"], corpus, **tuned))
    train(
        make_recipe(
            runs["student"],
            corpus,
            steps=3,
            distillation={"teacher": pretrained / "model", "ce_weight": 0.25},
        )
    )
    table = {
        "teacher": runs["tuned"] / "model",
        "divergence": "jsd",
        "jsd_beta": 0.3,
        "temperature": 2.0,
        "on_policy_share": 0.29,
        "answer_tokens": 4,
        "hidden_weight": 0.1,
    }
    start = {"start": runs["student"] / "model"}
    train(
        make_recipe(runs["answering"], corpus, model=start, data=talks, steps=2, distillation=table)
    )
    runs["model"] = export(runs["answering"], folder / "model", evaluation_tokens=200)
    return runs


def details_of(run: Path) -> dict[str, str | int | float]:
    return Provenance.read(run / "model").steps[-1].details


def teaching_of(run: Path) -> dict[str, str | int | float]:
    """Return what the step of a distilled run has beside what every step has."""
    usual = {*OLD, *LEARNING, "bits_per_byte.poems", "bits_per_byte.talks"}
    return {name: value for name, value in details_of(run).items() if name not in usual}


def training_of(folder: Path, name: str) -> tuple[str, str]:
    """Return what a card says of the model's own training, and of its teacher's."""
    text = (folder / name).read_text(encoding="utf-8")
    (section,) = re.findall(r"(?ms)^## (?:Training|训练)\n(.*?)^## ", text)
    own, _, teachers = section.partition("\n### ")
    return own, teachers


def rows_of(text: str) -> list[list[str]]:
    """Return the cells of the tables in a text."""
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]


def row_of(details: Mapping[str, Any]) -> list[str]:
    """Return the cells of a stage from `started from` to `on`."""
    steps, tokens = f"{details['steps']:,}", f"{details['tokens']:,}"
    return [details["size"], steps, tokens, str(details["hours"]), details["device"]]


def test_a_run_records_how_it_learnt(pretrained: Path) -> None:
    details = details_of(pretrained)
    assert (details["learning_rate"], details["batch_tokens"]) == (0.01, 1024)
    assert (details["precision"], details["optimizer"]) == ("float32", "Muon + AdamW")
    assert details.keys() == {*OLD, *LEARNING, "bits_per_byte.poems"}


def test_learnt_tokens_are_those_that_were_to_be_predicted(corpus: Path, tmp_path: Path) -> None:
    sources = {"poems": 1.0, "talks": 1.0}
    recipe = make_recipe(
        tmp_path / "run", corpus, steps=5, checkpoint_every=2, data__sources=sources
    )
    model = train(recipe)
    details = Provenance.read(model).steps[-1].details
    batches = PackedRows(Corpus.open(corpus).select("train"), sources, 64, recipe.seed).batches(16)
    pieces = [piece for batch in islice(batches, 5) for row in batch.pieces for piece in row]
    learnt = sum(int(piece.trained().sum()) for piece in pieces)
    assert details["tokens"] == 5 * 1024
    assert details["learned_tokens"] == learnt < 5 * 1024

    shutil.rmtree(model)  # as if it had been broken off after the last checkpoint
    resumed = Provenance.read(train(recipe, resume=True)).steps[-1].details
    assert resumed["learned_tokens"] == learnt

    shutil.rmtree(model)
    path = tmp_path / "run" / "checkpoints" / "step-00000004" / STATE_FILE
    state = torch.load(path, weights_only=True)
    del state["learned_tokens"]  # an older version did not count them
    torch.save(state, path)
    assert "learned_tokens" not in Provenance.read(train(recipe, resume=True)).steps[-1].details


def test_a_distilled_run_records_its_teacher(distilled: dict[str, Path]) -> None:
    parameters = load_config(distilled["tuned"] / "model").num_parameters
    assert teaching_of(distilled["student"]) == {
        "teacher": str(distilled["pretrained"] / "model"),
        "teacher_parameters": parameters,
        "divergence": "forward_kl",
        "ce_weight": 0.25,
    }
    assert teaching_of(distilled["answering"]) == {
        "teacher": str(distilled["tuned"] / "model"),
        "teacher_parameters": parameters,
        "divergence": "jsd",
        "jsd_beta": 0.3,
        "ce_weight": 0.5,
        "temperature": 2.0,
        "on_policy_share": 0.29,
        "hidden_weight": 0.1,
    }


def test_the_provenance_tells_the_teachers_steps_from_the_students(
    distilled: dict[str, Path],
) -> None:
    early, late = (str(distilled[name] / "model") for name in ("pretrained", "tuned"))
    steps = Provenance.read(distilled["model"]).steps
    assert [(step.name, step.of) for step in steps] == [
        ("corpus", ""),  # of one corpus all have learnt
        ("train", early),
        ("train", ""),
        ("train", late),  # its first stage is there already
        ("train", ""),
        ("export", ""),
    ]
    assert steps[3].details == {"of": late, **details_of(distilled["tuned"])}


@pytest.mark.parametrize("card", ["README.md", "README.zh-CN.md"])
def test_the_card_keeps_the_teachers_training_apart(distilled: dict[str, Path], card: str) -> None:
    own, teachers = training_of(distilled["model"], card)
    header, _, *stages = rows_of(own)
    assert len(header) == 7
    for number, (name, row) in enumerate(zip(("student", "answering"), stages, strict=True), 1):
        assert row[:-1] == [str(number), *row_of(details_of(distilled[name]))]
    title, _, table = teachers.partition("\n")
    assert title == {"README.md": "The teacher's training"}.get(card, "教师的训练")
    header, _, *stages = rows_of(table)
    assert header[1] in ("teacher", "教师")
    for number, (name, row) in enumerate(zip(("pretrained", "tuned"), stages, strict=True), 1):
        folder = distilled[name] / "model"
        assert row[:-1] == [str(number), str(folder), *row_of(details_of(distilled[name]))]


def test_the_card_says_from_what_teacher_a_stage_was_distilled_and_how(
    distilled: dict[str, Path],
) -> None:
    parameters = f"{load_config(distilled['tuned'] / 'model').num_parameters:,}"
    early, late = (f"`{distilled[name] / 'model'}`" for name in ("pretrained", "tuned"))
    own, teachers = training_of(distilled["model"], "README.md")
    assert (
        f"""
Stage 1 was distilled from {early} ({parameters} parameters); the loss is 0.25 · cross-entropy \
+ 0.75 · KL(teacher ‖ student).

Stage 2 was distilled from {late} ({parameters} parameters); the loss is 0.5 · cross-entropy \
+ 0.5 · Jensen–Shannon divergence (β = 0.3) + 0.1 · squared difference of hidden states; both \
distributions are softened by a temperature of 2; in 29% of the updates the student wrote the \
answers itself, and learnt from the teacher alone.
"""
        in own
    )
    assert "was distilled" not in teachers
    own, teachers = training_of(distilled["model"], "README.zh-CN.md")
    assert (
        f"""
第 1 阶段蒸馏自 {early}（{parameters} 个参数）；损失为 0.25 · 交叉熵 + 0.75 · KL(教师 ‖ 学生)。

第 2 阶段蒸馏自 {late}（{parameters} 个参数）；损失为 0.5 · 交叉熵 \
+ 0.5 · Jensen–Shannon 散度（β = 0.3） + 0.1 · 隐藏状态的平方差；\
两个分布均以温度 2 软化；29% 的更新由学生自己写出回答，且只向教师学习。
"""
        in own
    )
    assert "蒸馏自" not in teachers


def test_the_teachers_of_a_teacher_are_named_too(distilled: dict[str, Path], corpus: Path) -> None:
    record = Provenance.read(distilled["model"]).of_teacher("runs/middle")
    last = Step.now("train", **OLD)
    provenance = merge([record, Corpus.open(corpus).provenance]).with_step(last)
    card = render_card(GLMConfig.named("tiny"), provenance, "# Card", "en")
    own, teachers = card.split("### The teacher's training")
    assert "was distilled" not in own
    assert [row[0] for row in rows_of(own.partition("## Training")[2])[2:]] == ["1"]
    early, late = (str(distilled[name] / "model") for name in ("pretrained", "tuned"))
    table, _, sentences = teachers.partition("Stage 2")
    assert [row[1] for row in rows_of(table)[2:]] == [early, "runs/middle", late, "runs/middle"]
    assert sentences.startswith(f" was distilled from `{early}`")
    assert f"Stage 4 was distilled from `{late}`" in sentences


def test_a_model_that_learnt_from_samples_names_them(
    pretrained: Path, corpus: Path, tmp_path: Path
) -> None:
    logits = write_logits(
        pretrained / "model", corpus, tmp_path / "logits", sequence_length=64, draws=5
    )
    run = tmp_path / "run"
    train(make_recipe(run, corpus, steps=2, distillation={"logits": logits}))
    parameters = load_config(pretrained / "model").num_parameters
    assert teaching_of(run) == {
        "teacher": "model",
        "teacher_parameters": parameters,
        "logits": str(logits),
        "divergence": "forward_kl",
        "ce_weight": 0.5,
    }
    own, teachers = training_of(export(run, tmp_path / "model", evaluation_tokens=200), "README.md")
    assert (
        f"Stage 1 was distilled from `model` ({parameters:,} parameters), samples of whose "
        f"distributions are in `{logits}`; the loss is 0.5 · cross-entropy"
    ) in own
    assert [row[1] for row in rows_of(teachers)[2:]] == [str(logits)]


def test_a_published_teacher_of_which_nothing_is_known_has_no_table(
    corpus: Path, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    config = GLMConfig.named("tiny", vocab_size=512)
    save_model(initialize(GLM(config), 1), tiny_tokenizer, tmp_path / "published")
    run = tmp_path / "run"
    train(make_recipe(run, corpus, steps=1, distillation={"teacher": tmp_path / "published"}))
    assert details_of(run)["teacher_parameters"] == config.num_parameters
    model = export(run, tmp_path / "model", evaluation_tokens=200)
    assert [source.name for source in Provenance.read(model).models] == ["published"]
    own, teachers = training_of(model, "README.md")
    assert f"`{tmp_path / 'published'}` ({config.num_parameters:,} parameters)" in own
    assert not teachers


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_old_record_makes_the_card_that_it_made(tmp_path: Path, language: str) -> None:
    steps = [
        {"name": "train", "date": "2026-11-22T16:17:27+00:00", "version": "0", "details": OLD},
        {"name": "export", "date": "2026-11-22T17:08:17+00:00", "version": "0", "details": {}},
    ]
    (tmp_path / "provenance.json").write_text(json.dumps({"sources": [], "steps": steps}))
    card = render_card(GLMConfig.named("tiny"), Provenance.read(tmp_path), "# Old", language)
    (tmp_path / "card.md").write_text(card, encoding="utf-8")
    own, teachers = training_of(tmp_path, "card.md")
    row = "| 1 | laptop | 1,800 | 7,372,800 | 1.01 | CPU, 2 threads | 2026-11-22 |"
    assert own.splitlines()[3:] == [row, ""]
    assert not teachers


def test_what_is_promised_of_a_teachers_data_is_not_promised_of_the_students() -> None:
    private = Step.now("train", **OLD, epsilon=7.9, delta=0.001)
    own = Provenance(steps=(private,))
    student = merge([own.of_teacher("runs/teacher")]).with_step(Step.now("train", **OLD))
    promise = "(ε, δ) = (7.9, 0.001)"
    for provenance, is_promised in ((own, True), (student, False)):
        card = render_card(GLMConfig.named("tiny"), provenance, "# Card", "en")
        assert (promise in card) == is_promised
