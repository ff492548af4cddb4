"""Service: exact values from cards, what cards do not say, and frequent questions."""

from collections.abc import Sequence
from typing import Any

import pytest

from qingtan.evaluation.items import read_items
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.metrics.text import contains
from qingtan.evaluation.task import Task
from qingtan.evaluation.tasks import service
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.prompts import answers

from .samples import EVAL, baseline, check_asked, needs_data, score

CARD = (
    "名称：竹里茶馆\n地址：青溪镇东街18号\n（石桥旁，二层小楼）\n电话：0571-88880018\n"
    "推荐菜：茶香鸡、青团、笋丝面\n评分：4.5\n人均消费：45"
)
FREE = "名称：青溪公园\n电话：0571-88880020\n门票：0\n游玩时间：1小时 - 2小时"


def made(card: str, key: str, value: Any, question: str, answer: str) -> Item:
    return {
        "id": f"{card[3:7]}-{key}",
        "task": "kb_faq",
        "context": card,
        "question": question,
        "references": [answer],
        "key": key,
        "value": value,
    }


OWN = [
    made(
        CARD, "电话", "0571-88880018", "怎么联系竹里茶馆？", "竹里茶馆的联系电话是0571-88880018。"
    ),
    made(
        CARD,
        "地址",
        "青溪镇东街18号\n（石桥旁，二层小楼）",
        "竹里茶馆在哪里？",
        "竹里茶馆的地址是青溪镇东街18号\n（石桥旁，二层小楼）。",
    ),
    made(
        CARD,
        "推荐菜",
        ["茶香鸡", "青团", "笋丝面"],
        "竹里茶馆有什么推荐菜？",
        "竹里茶馆的推荐菜有茶香鸡、青团、笋丝面。",
    ),
    made(CARD, "评分", "4.5", "竹里茶馆评分怎么样？", "竹里茶馆的评分是4.5分。"),
    made(FREE, "门票", "0", "青溪公园门票多少钱？", "青溪公园免费开放，不需要门票。"),
]
QUESTIONS = {item["question"] for item in OWN}
FAQ = [
    {"id": "f1", "question": "怎么重启服务？", "references": ["在设置里点“重启”，等一分钟。"]},
    {"id": "f2", "question": "日志在哪里？", "references": ["日志在安装目录的 logs 文件夹里。"]},
]


def test_right_answers_are_perfect() -> None:
    references = [item["references"][0] for item in OWN]
    assert score(service.CUSTOMER_SERVICE, OWN, references) == [1.0, 1.0]
    one_dish = ["竹里茶馆的推荐菜有青团。"]
    assert score(service.CUSTOMER_SERVICE, OWN[2:3], one_dish)[0] == 0.0
    assert score(service.CUSTOMER_SERVICE, OWN[3:4], ["评分是14.5分。"])[0] == 0.0
    assert score(service.FAQ, FAQ, [item["references"][0] for item in FAQ]) == [1.0]


def test_the_baselines_answer_as_they_say() -> None:
    assert service.CUSTOMER_SERVICE.baseline
    assert service.CUSTOMER_SERVICE.baseline.answer(OWN[:1]) == ["名称：竹里茶馆"]
    exact, rouge = baseline(service.CUSTOMER_SERVICE, OWN)
    assert exact == 0.0
    assert 0.1 < rouge < 0.6
    assert 0.0 < baseline(service.FAQ, FAQ)[0] < 0.5
    missing = service.CUSTOMER_UNANSWERABLE.derive(OWN)
    assert baseline(service.CUSTOMER_UNANSWERABLE, missing) == [0.0]


@pytest.mark.parametrize("key", ["名称", "地址", "电话", "推荐菜", "评分", "人均消费"])
def test_a_line_is_taken_out_of_a_card(key: str) -> None:
    rest = service.without_line(CARD, key)
    assert f"{key}：" not in rest
    assert ("石桥旁" in rest) == (key != "地址")
    kept = [line for line in CARD.split("\n") if not line.startswith(key) and "石桥" not in line]
    assert [line for line in rest.split("\n") if "石桥" not in line] == kept
    assert service.without_line(CARD, "门票") == CARD


def check_missing(items: Sequence[Item], asked: Sequence[Item]) -> int:
    """Fail where a card answers its question; return how many had a line taken out."""
    taken_out = 0
    for item, each in zip(items, asked, strict=True):
        assert each["id"] != item["id"]
        if each["question"] == item["question"]:
            values = item["value"] if isinstance(item["value"], list) else [item["value"]]
            assert not any(contains(each["context"], value) for value in values)
            assert f"\n{item['key']}：" not in each["context"]
            assert item["key"] not in ("地址", "地铁")
            taken_out += 1
        else:
            assert each["context"] == item["context"]
            name = item["context"].partition("\n")[0].removeprefix("名称：")
            assert name in each["question"]
            asked_for = each["question"].replace(name, "")
            assert any(
                word in asked_for and word not in each["context"]
                for word in ("停车费", "儿童票价", "带宠物", "会员折扣")
            )
    return taken_out


def test_cards_are_asked_for_what_they_do_not_say() -> None:
    items: list[Item] = [{**item, "id": f"{item['id']}-{i}"} for i in range(20) for item in OWN]
    asked = list(service.CUSTOMER_UNANSWERABLE.derive(items))
    assert 20 < check_missing(items, asked) < 60
    assert len({item["question"] for item in asked} - QUESTIONS) == 8
    assert service.CUSTOMER_UNANSWERABLE.derive(items) == asked
    refusals = [answers.refuse_customer("0571-1" if i % 2 else None) for i in range(len(asked))]
    assert score(service.CUSTOMER_UNANSWERABLE, asked, refusals) == [1.0]


def test_a_value_that_stands_twice_is_not_missed() -> None:
    card = "名称：青溪公园\n门票：20\n人均消费：20"
    items = [
        {**made(card, "门票", "20", "门票多少钱？", "20元。"), "id": f"{i}"} for i in range(20)
    ]
    asked = service.CUSTOMER_UNANSWERABLE.derive(items)
    assert check_missing(items, asked) == 0


@needs_data
@pytest.mark.parametrize("task", service.TASKS, ids=lambda task: task.name)
def test_real_items_can_be_asked(task: Task, tiny_tokenizer: GLMTokenizer) -> None:
    items = read_items(task, EVAL)
    assert len(items) > 200
    check_asked(task, items[::4], tiny_tokenizer)


@needs_data
@pytest.mark.parametrize("task", [service.CUSTOMER_SERVICE, service.FAQ], ids=lambda t: t.name)
def test_real_answers_are_better_than_none(task: Task) -> None:
    items = read_items(task, EVAL)
    assert score(task, items, [i["references"][0] for i in items]) == [1.0] * len(task.metrics)
    assert baseline(task, items)[0] < 0.2


@needs_data
def test_real_cards_are_asked_for_what_they_do_not_say() -> None:
    items = read_items(service.CUSTOMER_SERVICE, EVAL)
    asked = read_items(service.CUSTOMER_UNANSWERABLE, EVAL)
    assert 0.2 * len(items) < check_missing(items, asked) < 0.5 * len(items)
