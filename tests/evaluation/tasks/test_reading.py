"""Reading: right answers against first sentences, and questions asked of other documents."""

from collections.abc import Sequence

import pytest

from qingtan.evaluation.items import read_items
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.metrics.text import normalize
from qingtan.evaluation.task import Task
from qingtan.evaluation.tasks import reading
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.prompts import answers

from .samples import EVAL, baseline, check_asked, needs_data, score


def made(name: str, title: str, segments: Sequence[str], question: str, answer: str) -> Item:
    cite = next((i for i, text in enumerate(segments, start=1) if answer in text), None)
    return {
        "id": name,
        "task": "docqa",
        "title": title,
        "context": "".join(segments),
        "segments": segments,
        "question": question,
        "references": [answer],
        "cite": cite,
    }


BRIDGE = (
    "青溪镇位于两条小河的交汇处，镇上有六条老街。",
    "镇口的石桥始建于1782年，1936年重修。",
)
TEA = ("竹里茶馆开在东街。馆主姓陈。", "茶馆每天九点开门，晚上九点半关门。")
LIBRARY = ("图书馆有三层，藏书十万册。", "1936年，馆舍迁到西街。")
OWN = [
    made("bridge", "石桥", BRIDGE, "石桥是哪一年重修的？", "1936年"),
    made("streets", "石桥", BRIDGE, "镇上有几条老街？", "六条"),
    made("tea", "茶馆", TEA, "馆主姓什么？", "姓陈"),
    made("books", "图书馆", LIBRARY, "藏书有多少？", "十万册"),
]


def check_other_documents(items: Sequence[Item], asked: Sequence[Item]) -> None:
    """Fail where a question is asked of passages of its own title, or that hold a reference."""
    questions = {item["id"]: item for item in items}
    for each in asked:
        name, _, other = each["id"].partition("@")
        item, document = questions[name], questions[other]
        assert each["question"] == item["question"]
        assert each["segments"] == document["segments"] != item["segments"]
        assert document["title"] != item["title"]
        text = normalize("".join(each["segments"]))
        assert not any(normalize(reference) in text for reference in item["references"])


def test_right_answers_are_perfect() -> None:
    references = [item["references"][0] for item in OWN]
    assert score(reading.READING, OWN, references) == [1.0, 1.0]
    cited = [answers.cite(item["references"][0], item["cite"]) for item in OWN]
    assert score(reading.CITED, OWN, cited) == [1.0, 1.0, 1.0, 0.0]
    evidence = [f"{text}。\n依据：[1] 原文" for text in references]
    assert score(reading.CITED, OWN, evidence)[:2] == [1.0, 1.0]
    asked = reading.UNANSWERABLE.derive(OWN)
    refusals = [answers.REFUSALS[i % len(answers.REFUSALS)] for i in range(len(asked))]
    assert score(reading.UNANSWERABLE, asked, refusals) == [1.0]
    assert score(reading.CITED, OWN, refusals) == [pytest.approx(0, abs=0.1), 0.0, 0.0, 1.0]


def test_the_baselines_answer_as_they_say() -> None:
    assert reading.READING.baseline
    assert reading.READING.baseline.answer(OWN[1:3]) == [BRIDGE[0], "竹里茶馆开在东街。"]
    assert reading.CITED.baseline
    assert reading.CITED.baseline.answer(OWN[2:]) == ["竹里茶馆开在东街。[1]", LIBRARY[0] + "[1]"]
    f1, exact, cited, refused = baseline(reading.CITED, OWN)
    assert 0 < f1 < 0.5
    assert exact == refused == 0
    assert cited == 0.75
    assert baseline(reading.UNANSWERABLE, reading.UNANSWERABLE.derive(OWN)) == [0.0]


def test_questions_are_asked_of_other_documents() -> None:
    asked = reading.UNANSWERABLE.derive(OWN)
    assert [item["id"].partition("@")[0] for item in asked] == [item["id"] for item in OWN]
    check_other_documents(OWN, asked)
    # The library's passages hold the year too.
    assert asked[0]["id"] == "bridge@tea"
    assert reading.UNANSWERABLE.derive(OWN) == asked


def test_a_question_without_another_document_is_left_out() -> None:
    assert reading.UNANSWERABLE.derive(OWN[:2]) == []
    other_kind = {**OWN[2], "task": "product_docqa_cited"}
    assert reading.UNANSWERABLE.derive([OWN[0], other_kind]) == []


def test_an_answer_that_no_passage_holds_is_not_to_be_cited() -> None:
    item = made("both", "石桥", BRIDGE, "石桥有多少年了？", "一百多年")
    assert item["cite"] is None
    assert reading.READING.selects(item)
    assert not reading.CITED.selects(item)


@needs_data
@pytest.mark.parametrize("task", reading.TASKS, ids=lambda task: task.name)
def test_real_items_can_be_asked(task: Task, tiny_tokenizer: GLMTokenizer) -> None:
    check_asked(task, read_items(task, EVAL)[::7], tiny_tokenizer)


@needs_data
def test_real_answers_are_better_than_first_sentences() -> None:
    items = read_items(reading.READING, EVAL)
    assert len(items) > 2000
    assert score(reading.READING, items, [i["references"][0] for i in items]) == [1.0, 1.0]
    assert baseline(reading.READING, items)[0] < 0.3
    items = read_items(reading.CITED, EVAL)
    cited = [answers.cite(item["references"][0], item["cite"]) for item in items]
    f1, exact, right, refused = score(reading.CITED, items, cited)
    assert min(f1, exact) > 0.999
    assert right == 1.0
    assert refused < 0.005
    trivial = baseline(reading.CITED, items)
    assert trivial[0] < 0.3
    assert trivial[2] < 0.6


@needs_data
def test_real_questions_are_asked_of_other_documents() -> None:
    items = read_items(reading.CITED, EVAL)
    asked = read_items(reading.UNANSWERABLE, EVAL)
    assert len(asked) > 0.99 * len(items)
    whole = {item["id"]: item for item in [*read_items(reading.READING, EVAL), *items]}
    check_other_documents(list(whole.values()), [a for a in asked if "#" not in a["id"]])
    assert baseline(reading.UNANSWERABLE, asked)[0] < 0.02
