"""Entities and slots: right answers against the commonest one."""

import json

import pytest

from qingtan.evaluation.items import read_items
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.task import Task
from qingtan.evaluation.tasks import entities
from qingtan.glm.tokenizer import GLMTokenizer

from .samples import EVAL, baseline, check_input_asked, needs_data, score

OWN: dict[str, list[Item]] = {
    "entities": [
        {
            "id": "a",
            "task": "ner",
            "input": "王小明从苏州到了青溪茶业公司。",
            "gold": [["王小明", "人名"], ["苏州", "地名"], ["青溪茶业公司", "机构名"]],
        },
        {"id": "b", "task": "ner", "input": "今天下雨。", "gold": []},
        {"id": "c", "task": "ner", "input": "明天晴。", "gold": []},
    ],
    "slots": [
        {
            "id": "a",
            "task": "slot_filling",
            "input": "找一家评分4.5分以上、有会议室的酒店。",
            "gold": [
                {"domain": "酒店", "slot": "评分", "value": "4.5分以上"},
                {"domain": "酒店", "slot": "酒店设施-会议室", "value": "是"},
            ],
        },
        {
            "id": "b",
            "task": "slot_filling",
            "input": "我想去石桥。",
            "gold": [{"domain": "景点", "slot": "名称", "value": "石桥"}],
        },
    ],
}


def write(item: Item) -> str:
    """Return the right answer as the training conversations write it."""
    if item["task"] == "ner":
        return "\n".join("|".join(pair) for pair in item["gold"]) or "无"
    return "\n".join(f"{s['domain']}-{s['slot']}：{s['value']}" for s in item["gold"])


@pytest.mark.parametrize("task", entities.TASKS, ids=lambda task: task.name)
def test_right_answers_are_perfect(task: Task) -> None:
    items = OWN[task.name]
    assert all(task.selects(item) for item in items)
    assert score(task, items, list(map(write, items))) == [1.0]
    assert baseline(task, items)[0] < 0.9


def test_entities_count_in_another_form_too() -> None:
    items = OWN["entities"][:1]
    right = [{"实体": entity, "类型": kind} for entity, kind in items[0]["gold"]]
    assert score(entities.ENTITIES, items, [json.dumps(right, ensure_ascii=False)]) == [1.0]
    # One right, one of the wrong type, one missing: 2 · 1 / (2 · 1 + 1 + 2).
    assert score(entities.ENTITIES, items, ["王小明|人名\n苏州|机构名"]) == [pytest.approx(0.4)]


def test_the_commonest_answer() -> None:
    assert entities.ENTITIES.baseline
    assert entities.ENTITIES.baseline.answer(OWN["entities"]) == ["无"] * 3
    assert entities.SLOTS.baseline
    assert entities.SLOTS.baseline.answer(OWN["slots"][1:]) == ["景点-名称：石桥"]


@needs_data
@pytest.mark.parametrize("task", entities.TASKS, ids=lambda task: task.name)
def test_real_items(task: Task, tiny_tokenizer: GLMTokenizer) -> None:
    items = read_items(task, EVAL)
    assert len(items) > 150
    check_input_asked(task, items, tiny_tokenizer)
    assert score(task, items, list(map(write, items))) == [1.0]
    assert baseline(task, items)[0] < 0.1
