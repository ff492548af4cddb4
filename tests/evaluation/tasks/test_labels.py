"""Tasks of labels: right answers against everybody's, with items of our own and with real ones."""

from collections.abc import Sequence
from typing import Any

import pytest

from qingtan.errors import UserError
from qingtan.evaluation.items import read_items
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.task import Task
from qingtan.evaluation.tasks import labels
from qingtan.glm.tokenizer import GLMTokenizer

from .samples import EVAL, baseline, check_input_asked, needs_data, score


def write(task: Task, item: Item) -> str:
    """Return the right answer as the training conversations write it."""
    if task.name in ("intent", "keywords"):
        return "、".join(item["gold"])
    if task.name == "aspects":
        return "\n".join(f"{aspect}：{tendency}" for aspect, tendency in item["gold"])
    if task.name == "commonsense":
        return next(s for s in str(item["input"]).split("\n") if s[0] == item["gold"])
    return str(item["gold"])


def made(task: str, text: str, gold: Any) -> Item:
    return {"id": text, "task": task, "input": text, "gold": gold}


CHOICES = "{}\n最可能的{}是？\nA. 地面湿了。\nB. 太阳出来了。"
OWN: dict[str, Sequence[Item]] = {
    "intent": [
        made("intent", "你好，附近有餐馆吗？", ["问候", "询问餐馆"]),
        made("intent", "谢谢！", ["致谢"]),
        made("intent", "多谢。", ["致谢"]),
    ],
    "category": [
        made("category", "桥梁的振动", "工学"),
        made("category", "大坝的裂缝", "工学"),
        made("category", "茶树的病害", "农学"),
    ],
    "discipline": [
        made("discipline", "本文研究茶树。", "园艺学"),
        made("discipline", "本文研究绿地。", "园艺学"),
        made("discipline", "本文研究藏书。", "图书馆、情报与档案管理"),
    ],
    "topic": [
        made("topic", "球队赢了。", "体育"),
        made("topic", "河流入海。", "地理"),
        made("topic", "球队输了。", "体育"),
    ],
    "sentiment": [
        made("review_sentiment", "很好吃。", "正面"),
        made("review_sentiment", "太咸了。", "负面"),
        made("review_sentiment", "好吃。", "正面"),
    ],
    "aspects": [
        made("aspect_sentiment", "好吃，上菜慢。", [["口味", "正面"], ["点菜/上菜速度", "负面"]]),
        made("aspect_sentiment", "好吃。", [["口味", "正面"]]),
        made("aspect_sentiment", "太吵。", [["嘈杂情况", "负面"]]),
    ],
    "offence": [
        made("offensive", "你真讨厌。", "冒犯"),
        made("offensive", "今天天气好。", "不冒犯"),
        made("offensive", "谢谢分享。", "不冒犯"),
    ],
    "commonsense": [
        made("commonsense", CHOICES.format("下雨了。", "结果"), "A"),
        made("commonsense", CHOICES.format("地面干了。", "原因"), "B"),
        made("commonsense", CHOICES.format("水管破了。", "结果"), "A"),
    ],
    "keywords": [
        made("keywords", "本文研究两种茶. 茶园的土壤与水", ["茶园", "土壤", "水"]),
        made("keywords", "研究了比赛. 运动员的体重", ["排球", "身高、体重"]),
    ],
}


@pytest.mark.parametrize("task", labels.TASKS, ids=lambda task: task.name)
def test_right_answers_are_perfect(task: Task) -> None:
    items = OWN[task.name]
    assert all(task.selects(item) for item in items)
    assert score(task, items, [write(task, item) for item in items]) == [1.0] * len(task.metrics)
    assert all(figure < 0.9 for figure in baseline(task, items))
    assert score(task, items, ["我不知道"] * len(items)) == [0.0] * len(task.metrics)


def test_the_baselines_answer_as_they_say() -> None:
    answers = {
        task.name: task.baseline.answer(OWN[task.name]) for task in labels.TASKS if task.baseline
    }
    assert answers["intent"] == ["致谢"] * 3
    assert answers["offence"] == ["不冒犯"] * 3
    assert answers["commonsense"] == ["A"] * 3
    assert answers["keywords"] == ["茶园、土壤、水", "运动员、体重"]
    assert answers["aspects"] == ["口味：正面\n点菜/上菜速度：负面\n嘈杂情况：负面"] * 3


def test_a_letter_alone_is_a_choice() -> None:
    assert score(labels.COMMONSENSE, OWN["commonsense"], ["A", "答案是B", "B"]) == [
        pytest.approx(2 / 3)
    ]


def test_a_choice_without_its_lines_is_refused() -> None:
    with pytest.raises(UserError, match=r"item 下雨了。: field input: give four lines"):
        labels.COMMONSENSE.ask(made("commonsense", "下雨了。", "A"))


@needs_data
@pytest.mark.parametrize("task", labels.TASKS, ids=lambda task: task.name)
def test_real_items(task: Task, tiny_tokenizer: GLMTokenizer) -> None:
    items = read_items(task, EVAL)
    assert len(items) >= 50
    check_input_asked(task, items, tiny_tokenizer)
    assert score(task, items, [write(task, item) for item in items]) == [1.0] * len(task.metrics)
    assert all(figure < 0.75 for figure in baseline(task, items))
