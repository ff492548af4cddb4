"""Asking: what comes back, in which order, and how a stopped evaluation goes on."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qingtan.chat import ChatGLM
from qingtan.engine.engine import Engine
from qingtan.errors import UserError
from qingtan.evaluation.answering import Answered, AnswersFolder, Question, answer_task, ask_all
from qingtan.evaluation.task import Task
from qingtan.glm.tokenizer import GLMTokenizer
from scripted import ScriptedRunner, answers

from .test_items import ITEMS, TASK

SAMPLED = replace(TASK, decoding="default", max_tokens=20)


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Iterator[ChatGLM]:
    with ChatGLM.from_pretrained(tiny_checkpoint, max_running=3) as model:
        yield model


def scripted(tokenizer: GLMTokenizer, text: str, **options: Any) -> ChatGLM:
    return ChatGLM(Engine(ScriptedRunner(answers(tokenizer, text), **options), tokenizer))


def test_answers_come_as_said_and_stand_in_the_file(
    tmp_path: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    path = tmp_path / "riddle.jsonl"
    said = tiny_tokenizer.encode("你好！")
    task = replace(TASK, max_tokens=20)
    with scripted(tiny_tokenizer, "你好！") as model:
        given = answer_task(model, task, ITEMS, path, 0)
    assert [each.id for each in given] == [item["id"] for item in ITEMS]
    assert {(each.answer, each.ended, each.too_long) for each in given} == {("你好！", True, False)}
    newline = len(tiny_tokenizer.encode("\n"))
    assert {each.tokens for each in given} == {newline + len(said) + 1}
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert sorted(r["id"] for r in records) == sorted(item["id"] for item in ITEMS)
    assert records[0]["messages"][0]["role"] == "user"


def test_an_answer_that_is_cut_has_not_ended(tmp_path: Path, tiny_tokenizer: GLMTokenizer) -> None:
    with scripted(tiny_tokenizer, "你好！" * 20) as model:
        (cut,) = answer_task(model, TASK, ITEMS[:1], tmp_path / "a", 0)
    assert (cut.ended, cut.tokens) == (False, TASK.max_tokens)
    assert cut.as_answer().text == cut.answer
    assert cut.answer != "你好！" * 20


def test_what_does_not_fit_gets_no_answer(tmp_path: Path, tiny_tokenizer: GLMTokenizer) -> None:
    items = [*ITEMS[:2], {**ITEMS[2], "question": "春眠不觉晓" * 99}, ITEMS[3]]
    with scripted(tiny_tokenizer, "你好！", context=40) as model:
        given = answer_task(model, replace(TASK, max_tokens=20), items, tmp_path / "a", 0)
    assert [each.too_long for each in given] == [False, False, True, False]
    assert (given[2].answer, given[2].ended, given[2].tokens) == ("", False, 0)
    assert {each.answer for each in given if not each.too_long} == {"你好！"}


def test_all_are_asked_though_few_may_wait(tiny_tokenizer: GLMTokenizer) -> None:
    runner = ScriptedRunner(answers(tiny_tokenizer, "你好"))
    questions = [Question.of(TASK, item, 0.8, 0) for item in ITEMS]
    with ChatGLM(Engine(runner, tiny_tokenizer, max_running=3, max_waiting=1)) as model:
        assert {each.id for each in ask_all(model, questions)} == {item["id"] for item in ITEMS}


@pytest.mark.parametrize("task", [TASK, SAMPLED], ids=["greedy", "sampled"])
def test_neither_slots_nor_order_nor_others_change_an_answer(
    tmp_path: Path, model: ChatGLM, tiny_checkpoint: Path, task: Task
) -> None:
    first = answer_task(model, task, ITEMS, tmp_path / "first", 5)
    with ChatGLM.from_pretrained(tiny_checkpoint, max_running=1) as other:
        second = answer_task(other, task, ITEMS[::-1][:11], tmp_path / "second", 5)
    assert second == first[::-1][:11]
    assert len({each.answer for each in first}) > 1


def test_seeds_sample_anew_and_greedy_ignores_them(tmp_path: Path, model: ChatGLM) -> None:
    def said(task: Task, seed: int) -> list[str]:
        path = tmp_path / f"{task.decoding}{seed}"
        return [each.answer for each in answer_task(model, task, ITEMS[:9], path, seed)]

    assert said(SAMPLED, 1) != said(SAMPLED, 2)
    assert said(TASK, 1) == said(TASK, 2)


def test_a_killed_evaluation_goes_on_where_it_was(tmp_path: Path, model: ChatGLM) -> None:
    path, whole = tmp_path / "riddle.jsonl", tmp_path / "whole.jsonl"
    given = answer_task(model, SAMPLED, ITEMS, whole, 0)
    written = whole.read_bytes().splitlines(keepends=True)
    # Marked, so that it can be seen who was not asked again; the last line is cut off.
    kept = [line.replace(b'"answer":"', b'"answer":"*') for line in written[:7]]
    path.write_bytes(b"".join(kept) + written[7][:-20])
    resumed = answer_task(model, SAMPLED, ITEMS, path, 0)
    marked = {each.id for each in resumed if each.answer.startswith("*")}
    assert marked == {json.loads(line)["id"] for line in kept}
    expected = [
        each.model_copy(update={"answer": f"*{each.answer}"}) if each.id in marked else each
        for each in given
    ]
    assert resumed == expected
    assert len(path.read_bytes().splitlines()) == len(ITEMS)
    # More items need only what is missing.
    assert answer_task(model, SAMPLED, ITEMS, path, 0) == expected


def test_who_stops_listening_stops_the_model(model: ChatGLM) -> None:
    long = replace(TASK, max_tokens=400)
    asking = ask_all(model, [Question.of(long, item, 0.8, 0) for item in ITEMS])
    next(asking)
    asking.close()  # type: ignore[attr-defined]
    assert model.engine.wait_idle(20)


def test_other_questions_and_damage_are_errors(tmp_path: Path, model: ChatGLM) -> None:
    path = tmp_path / "riddle.jsonl"
    answer_task(model, TASK, ITEMS[:2], path, 0)
    changes = (replace(TASK, max_tokens=3), replace(TASK, ask=SAMPLED.ask, decoding="default"))
    for task in changes:
        with pytest.raises(UserError, match=r"riddle\.jsonl: r0 was asked in another way.*--force"):
            answer_task(model, task, ITEMS[:2], path, 0)
    with path.open("ab") as file:
        file.write(b'{"id": "r2"}\n')
    with pytest.raises(UserError, match=r"riddle\.jsonl, line 3: .*--force"):
        answer_task(model, TASK, ITEMS[:2], path, 0)


def test_answers_of_other_settings_are_replaced_by_force_only(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "evaluation"
    path = AnswersFolder(folder, {"seed": 1, "top_p": 0.8}).path(TASK)
    path.write_text("{}\n")
    assert AnswersFolder(folder, {"seed": 1, "top_p": 0.8}).path(TASK) == path
    with pytest.raises(UserError, match=r"top_p 0\.8, not 0\.5.*--output.*--force"):
        AnswersFolder(folder, {"seed": 1, "top_p": 0.5})
    assert path.exists()
    AnswersFolder(folder, {"seed": 1, "top_p": 0.5}, force=True)
    assert not path.exists()
    AnswersFolder(folder, {"seed": 1, "top_p": 0.5})


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, force: bool) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not an evaluation's"):
        AnswersFolder(tmp_path, {}, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_answer_knows_its_question() -> None:
    question = Question.of(TASK, ITEMS[0], 0.8, 3)
    answered = Answered(**dict(question), answer="1", ended=True, tokens=2)
    assert answered.to(question)
    assert answered.to(Question.of(TASK, ITEMS[0], 0.5, 3))  # greedy: no temperature in it
    assert not answered.to(Question.of(TASK, ITEMS[1], 0.8, 3))
    assert not answered.to(Question.of(SAMPLED, ITEMS[0], 0.8, 3))
