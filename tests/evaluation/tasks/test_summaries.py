"""Titles, summaries and leads: references against first sentences."""

import pytest

from qingtan.evaluation.items import read_items
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.task import Task
from qingtan.evaluation.tasks import summaries
from qingtan.glm.tokenizer import GLMTokenizer

from .samples import EVAL, baseline, check_input_asked, needs_data, score

OWN: list[Item] = [
    {
        "input": "茶园的土壤pH值约为5.5,较酸.本文测了两年.",
        "references": ["茶园土壤酸度的两年测定"],
    },
    {"input": "本文介绍 Qing 2.0。它很快。", "references": ["介绍 Qing 2.0 的速度"]},
    {"input": "石桥重修了\n镇上来了很多人", "references": ["石桥重修，游客增多"]},
]


@pytest.mark.parametrize("task", summaries.TASKS, ids=lambda task: task.name)
def test_references_are_perfect(task: Task) -> None:
    assert score(task, OWN, [item["references"][0] for item in OWN]) == [1.0]
    assert 0.1 < baseline(task, OWN)[0] < 0.8


def test_the_baseline_is_the_first_sentence() -> None:
    assert summaries.TITLES.baseline
    assert summaries.TITLES.baseline.answer(OWN) == [
        "茶园的土壤pH值约为5.5,较酸.",
        "本文介绍 Qing 2.0。",
        "石桥重修了",
    ]


@needs_data
@pytest.mark.parametrize("task", summaries.TASKS, ids=lambda task: task.name)
def test_real_items(task: Task, tiny_tokenizer: GLMTokenizer) -> None:
    items = read_items(task, EVAL)
    assert len(items) >= 20
    check_input_asked(task, items, tiny_tokenizer)
    assert score(task, items, [item["references"][0] for item in items]) == [1.0]
    assert baseline(task, items)[0] < 0.5
