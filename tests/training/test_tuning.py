"""Adapters, preferences and distillation through the trainer: each learns, and beats its base."""

import itertools
import json
import math
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from qingtan.corpus import Corpus, CorpusRecipe, build_corpus
from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model
from qingtan.glm.conversation import encode_conversation, encode_prompt, parse_reply, stop_ids
from qingtan.glm.generation import generate
from qingtan.glm.lora_files import load_lora
from qingtan.glm.prefix import load_prefix
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.provenance import Provenance
from qingtan.training.distillation.write_logits import write_logits
from qingtan.training.evaluation import evaluate
from qingtan.training.export import export
from qingtan.training.run import read_lines
from qingtan.training.subject import Subject
from qingtan.training.trainer import Interrupted, train

from .samples import ANSWERS, POEM, make_recipe, read_metrics

# What the base has learnt otherwise: its own answers, to other questions.
TASK = dict(zip(ANSWERS, [*list(ANSWERS.values())[1:], "我叫清谈。"], strict=True))


def write_talks(path: Path, answers: dict[str, str]) -> None:
    talks = [
        [
            {"role": "system", "content": f"第{i}次。"},
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
        for i in range(60)
        for question, answer in answers.items()
    ]
    lines = [json.dumps({"messages": talk}, ensure_ascii=False) + "\n" for talk in talks]
    path.write_text("".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def corpus(tiny_tokenizer: GLMTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the base learns, and a task that it has not seen."""
    folder = tmp_path_factory.mktemp("corpus")
    texts = [{"text": f"第{i}首：{POEM}"} for i in range(60)]
    lines = [json.dumps(text, ensure_ascii=False) + "\n" for text in texts]
    (folder / "poems.jsonl").write_text("".join(lines), encoding="utf-8")
    write_talks(folder / "talks.jsonl", ANSWERS)
    write_talks(folder / "task.jsonl", TASK)
    tiny_tokenizer.save(folder)
    sources = [
        {"name": name, "path": f"{name}.jsonl", "kind": kind, "near_duplicates": False}
        for name, kind in (("poems", "text"), ("talks", "conversations"), ("task", "conversations"))
    ]
    values = {
        "output": folder / "corpus",
        "tokenizer": folder / "tokenizer.model",
        "root": folder,
        "validation_share": 0.1,
        "source": sources,
    }
    return build_corpus(CorpusRecipe.model_validate(values), workers=1)


@pytest.fixture(scope="module")
def base(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells poems and answers questions, but not those of the task."""
    sources = {"poems": 1.0, "talks": 1.0}
    run = tmp_path_factory.mktemp("base") / "run"
    recipe = make_recipe(run, corpus, steps=60, data__sources=sources, evaluate_every=99)
    return train(recipe)


def tune(output: Path, corpus: Path, base: Path, **changes: Any) -> Path:
    """Run a recipe that starts from the base."""
    settings: dict[str, Any] = {
        "model": {"start": base},
        "data__sources": {"task": 1.0},
        "forgetting_items": 4,
        "evaluate_every": 99,
    }
    return train(make_recipe(output, corpus, **(settings | changes)))


def held_out_bits(subject: Subject, corpus: Path) -> dict[str, float]:
    shards = Corpus.open(corpus).select("valid")
    return {name: r.bits_per_byte for name, r in evaluate(subject, shards, 64, 500).items()}


def test_lora_learns_a_task_and_says_what_it_cost(corpus: Path, base: Path, tmp_path: Path) -> None:
    adapter = tune(tmp_path / "run", corpus, base, lora={"rank": 16, "alpha": 32.0}, steps=80)
    assert adapter == tmp_path / "run" / "adapter"
    assert read_metrics(tmp_path / "run", "loss")[-1][0] < 0.1
    model = load_model(base)
    before = held_out_bits(Subject(model), corpus)
    load_lora(model, "task", adapter)
    after = held_out_bits(Subject(model), corpus)
    assert after["task"] < 0.05 * before["task"]
    # The report of what changed has the same numbers, and the poems, which were not trained on.
    compared = json.loads((tmp_path / "run" / "forgetting.json").read_text(encoding="utf-8"))
    assert compared["trained"] == ["task"]
    for when, bits in (("before", before), ("after", after)):
        assert compared[when]["bits_per_byte"] == pytest.approx(bits, abs=1e-3)
    assert after["talks"] > 2 * before["talks"]
    cards = {path.name for path in adapter.iterdir()}
    assert cards >= {"adapter_config.json", "README.md", "README.zh-CN.md", "provenance.json"}
    assert {s.name for s in Provenance.read(adapter).sources} == {"poems", "talks", "task"}
    # Merged, it is a checkpoint like any other.
    export(tmp_path / "run", tmp_path / "merged", dtype="float32")
    merged = held_out_bits(Subject(load_model(tmp_path / "merged")), corpus)
    assert merged == pytest.approx(after, abs=1e-4)


def test_a_prefix_learns_a_task(corpus: Path, base: Path, tmp_path: Path) -> None:
    changes = {"prefix": {"length": 16}, "optimizer__learning_rate": 0.3, "steps": 100}
    adapter = tune(tmp_path / "run", corpus, base, **changes)
    assert read_metrics(tmp_path / "run", "loss")[-1][0] < 0.2
    model = load_model(base)
    before = held_out_bits(Subject(model), corpus)["task"]
    prefix = load_prefix(model.config, adapter)
    after = held_out_bits(Subject(model, prefix), corpus)["task"]
    assert after < 0.1 * before
    with pytest.raises(UserError, match="a prefix, which cannot be merged"):
        export(tmp_path / "run", tmp_path / "merged")


def test_preferences_are_learnt(corpus: Path, base: Path, tmp_path: Path) -> None:
    pairs = [
        {
            "messages": [{"role": "user", "content": f"第{i}次。{question}"}],
            "chosen": TASK[question],
            "rejected": ANSWERS[question],
        }
        for i in range(12)
        for question in ANSWERS
    ]
    lines = [json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs]
    (tmp_path / "pairs.jsonl").write_text("".join(lines), encoding="utf-8")
    # The base prefers what it has learnt, which is rejected here.
    table = {
        "pairs": tmp_path / "pairs.jsonl",
        "source": "pairs",
        "licence": "MIT",
        "validation_share": 0.25,
    }
    settings = {"data__sources": None, "optimizer__learning_rate": 0.003, "steps": 20}
    model = tune(tmp_path / "run", corpus, base, preference=table, **settings)
    losses = read_metrics(tmp_path / "run", "loss")
    assert losses[0][0] == pytest.approx(math.log(2), abs=1e-4)
    assert losses[-1][0] < 0.2
    (right,) = read_metrics(tmp_path / "run", "preference")[-1]
    assert right["accuracy"] > 0.9
    assert right["loss"] < 0.3
    load_model(model)
    assert ("pairs", "MIT") in {source.key for source in Provenance.read(model).sources}


@pytest.mark.parametrize(
    "changes",
    [
        {"divergence": "forward_kl", "ce_weight": 0.5},
        {"divergence": "jsd", "on_policy_share": 0.5, "answer_tokens": 12},
        {"divergence": "reverse_kl", "temperature": 2.0, "hidden_weight": 0.1},
    ],
)
def test_a_small_student_comes_nearer_to_its_teacher(
    changes: dict[str, Any], corpus: Path, base: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(
        tmp_path / "run",
        corpus,
        model={"size": "mini"},
        distillation={"teacher": base, **changes},
        data__sources={"poems": 1.0, "talks": 1.0},
        steps=40,
    )
    model = train(recipe)
    parts = [part for (part,) in read_metrics(tmp_path / "run", "parts")]
    assert {"cross_entropy", "divergence"} <= set(parts[0])
    shrunk = parts[-1]["divergence"] / parts[0]["divergence"]
    assert shrunk < 0.7
    assert load_model(model).config.hidden_size == 32


def test_sampled_logits_stand_for_the_teacher(corpus: Path, base: Path, tmp_path: Path) -> None:
    sources = {"talks": 1.0}
    write_logits(base, corpus, tmp_path / "logits", sources=sources, sequence_length=64, draws=200)
    courses = []
    for name, teacher in (("live", {"teacher": base}), ("kept", {"logits": tmp_path / "logits"})):
        recipe = make_recipe(
            tmp_path / name,
            corpus,
            model={"size": "mini"},
            distillation={**teacher, "ce_weight": 0.5},
            data__sources=sources,
            data__mask_documents=True,
            steps=10,
        )
        model = train(recipe)
        courses.append([loss for (loss,) in read_metrics(tmp_path / name, "loss")])
        steps = [step.name for step in Provenance.read(model).steps]
        assert steps.count("train") == 2  # the teacher's and the student's
    # The one teacher is read with its documents apart, as the other read each alone.
    assert courses[1] == pytest.approx(courses[0], rel=0.02)


def test_private_training_keeps_its_promise(corpus: Path, base: Path, tmp_path: Path) -> None:
    pytest.importorskip("opacus")
    changes = {"lora": {"rank": 4}, "privacy": {"epsilon": 8.0, "delta": 1e-3}, "steps": 6}
    adapter = tune(tmp_path / "run", corpus, base, **changes)
    details = Provenance.read(adapter).steps[-1].details
    assert 0 < details["epsilon"] <= 8.0
    assert details["delta"] == 1e-3
    for card in ("README.md", "README.zh-CN.md"):
        text = (adapter / card).read_text(encoding="utf-8")
        assert f"({details['epsilon']}, 0.001)" in text
    with pytest.raises(UserError, match=r"privacy\.delta: 0\.1 is not below"):
        tune(tmp_path / "odd", corpus, base, **{**changes, "privacy": {"epsilon": 8, "delta": 0.1}})


def interrupt_after(lines: int, metrics: Path) -> threading.Thread:
    """Press Ctrl-C once the run has noted so many steps."""

    def press() -> None:
        while not metrics.exists() or metrics.read_text(encoding="utf-8").count("\n") < lines:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("lora", {"lora": {"rank": 4, "dropout": 0.2}, "optimizer__average_decay": 0.9}),
        ("prefix", {"prefix": {"length": 4, "projection": True}}),
        (
            "student",
            {
                "model": {"size": "mini"},
                "distillation": {
                    "divergence": "jsd",
                    "on_policy_share": 0.5,
                    "answer_tokens": 8,
                    "hidden_weight": 0.1,
                },
                "infilling": {"share": 0.5},
                "data__sources": {"poems": 1.0, "task": 1.0},
            },
        ),
    ],
)
def test_a_run_that_was_stopped_goes_on_to_the_last_bit(
    what: str, changes: dict[str, Any], corpus: Path, base: Path, tmp_path: Path
) -> None:
    changes = {"steps": 12, "checkpoint_every": 5, "forgetting_items": 2, **changes}
    if "distillation" in changes:
        changes["distillation"] = {**changes["distillation"], "teacher": base}
    tune(tmp_path / "whole", corpus, base, **changes)
    presser = interrupt_after(6, tmp_path / "stopped" / "metrics.jsonl")
    with pytest.raises(Interrupted):
        tune(tmp_path / "stopped", corpus, base, **changes)
    presser.join()
    done = len(read_metrics(tmp_path / "stopped", "loss"))
    assert done < 12
    settings = {"model": {"start": base}, "data__sources": {"task": 1.0}, "evaluate_every": 99}
    train(make_recipe(tmp_path / "stopped", corpus, **(settings | changes)), resume=True)
    names = ("loss", "step", "gradient_norm", "learning_rate")
    assert read_metrics(tmp_path / "stopped", *names) == read_metrics(tmp_path / "whole", *names)
    result = "model" if what == "student" else "adapter"
    for path in (tmp_path / "whole" / result).glob("*.safetensors"):
        assert (tmp_path / "stopped" / result / path.name).read_bytes() == path.read_bytes()


WEATHER = {
    "name": "get",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def ask_weather(city: str, number: int = 5) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": f"第{number}次。"},
        {"role": "user", "content": f"{city}今天天气好吗？"},
    ]


def write_calls(path: Path, cities: list[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number, city in itertools.product(range(12), cities):
            arguments = json.dumps({"city": city}, ensure_ascii=False)
            call = {"type": "function", "function": {"name": "get", "arguments": arguments}}
            messages = [
                *ask_weather(city, number),
                {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "content": "天气很好"},
                {"role": "assistant", "content": f"{city}天气很好。"},
            ]
            record = {"messages": messages, "tools": [WEATHER]}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def build_from(folder: Path, tokenizer: GLMTokenizer, name: str) -> Path:
    """Build a corpus of one file of conversations."""
    tokenizer.save(folder)
    source = {"name": name, "path": f"{name}.jsonl", "kind": "conversations"}
    values = {
        "output": folder / "corpus",
        "tokenizer": folder / "tokenizer.model",
        "root": folder,
        "max_rejected_share": 1.0,
        "source": [source],
    }
    return build_corpus(CorpusRecipe.model_validate(values), workers=1)


def test_calls_of_tools_are_learnt(tiny_tokenizer: GLMTokenizer, tmp_path: Path) -> None:
    cities = ["北京", "上海"]
    write_calls(tmp_path / "calls.jsonl", cities)
    corpus = build_from(tmp_path, tiny_tokenizer, "calls")
    first = json.loads((tmp_path / "calls.jsonl").read_text(encoding="utf-8").splitlines()[0])
    expected, _ = encode_conversation(tiny_tokenizer, first["messages"], first["tools"])
    documents = [
        shard.document(i).tolist()
        for shard in Corpus.open(corpus).shards
        for i in range(len(shard))
    ]
    assert expected in documents  # as the model is asked, in the order of the tool's fields
    recipe = make_recipe(
        tmp_path / "run",
        corpus,
        data__sources={"calls": 1.0},
        data__sequence_length=320,
        batch_tokens=640,
        micro_batch_tokens=640,
        steps=120,
    )
    model = load_model(train(recipe))
    prompts = [encode_prompt(tiny_tokenizer, ask_weather(city), [WEATHER]) for city in cities]
    stops = stop_ids(tiny_tokenizer)
    written = generate(
        model, prompts, max_tokens=80, stop_ids=stops, vocab_size=tiny_tokenizer.vocab_size
    )
    for city, ids in zip(cities, written, strict=True):
        (call,) = parse_reply(tiny_tokenizer.decode(ids[:-1])).tool_calls
        assert (call.name, call.arguments) == ("get", {"city": city})
        assert ids[-1] == tiny_tokenizer.special_id("<|observation|>")


def test_conversations_without_answers_are_an_error(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    lines = [
        json.dumps({"messages": [{"role": "user", "content": f"第{i}次。你好"}]}) for i in range(9)
    ]
    (tmp_path / "mute.jsonl").write_text("\n".join(lines), encoding="utf-8")
    corpus = build_from(tmp_path, tiny_tokenizer, "mute")
    with pytest.raises(UserError, match=r"data\.sources draws from 0.*without answers"):
        train(make_recipe(tmp_path / "run", corpus, data__sources={"mute": 1.0}))


def test_a_wild_rate_stops_the_run_and_names_the_batch(
    corpus: Path, base: Path, tmp_path: Path
) -> None:
    changes = {"optimizer__learning_rate": 1e9, "optimizer__name": "adamw", "steps": 60}
    with pytest.raises(UserError, match=r"(?s)step \d+: the (loss|gradient).*task-00000, document"):
        tune(tmp_path / "run", corpus, base, optimizer__clip_norm=1e12, **changes)
    for line in read_lines(tmp_path / "run" / "metrics.jsonl"):
        assert math.isfinite(line.get("loss", 0.0))
    assert not (tmp_path / "run" / "model").exists()


def test_bfloat16_products_and_cosine_learn_too(corpus: Path, base: Path, tmp_path: Path) -> None:
    changes = {"precision": "bfloat16", "optimizer__schedule": "cosine", "steps": 30}
    model = tune(tmp_path / "run", corpus, base, **changes)
    assert read_metrics(tmp_path / "run", "loss")[-1][0] < 1.0
    assert all(p.dtype == torch.float32 for p in load_model(model).parameters())
