"""Translation both ways: references against copies of the source."""

import pytest

from qingtan.evaluation.items import choose, read_items
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.task import Task
from qingtan.evaluation.tasks import translation
from qingtan.glm.conversation import encode_prompt
from qingtan.glm.tokenizer import GLMTokenizer

from .samples import EVAL, baseline, needs_data, score

OWN: list[Item] = [
    {"zh": "图书馆每周一都不开门。", "en": "The library is closed every Monday."},
    {"zh": "请在关闭窗口之前保存文件。", "en": "Please save the file before you close the window."},
]
ANSWERS = {"to-chinese": "zh", "to-english": "en"}


@pytest.mark.parametrize("task", translation.TASKS, ids=lambda task: task.name)
def test_references_are_perfect(task: Task) -> None:
    target = ANSWERS[task.name]
    assert [metric.name for metric in task.metrics] == ["chrf", "bleu"]
    assert score(task, OWN, [item[target] for item in OWN]) == pytest.approx([100, 100])
    assert all(figure < 5 for figure in baseline(task, OWN))
    assert [item[target] not in task.ask(item)[-1]["content"] for item in OWN] == [True, True]


@needs_data
@pytest.mark.parametrize("task", translation.TASKS, ids=lambda task: task.name)
def test_real_items(task: Task, tiny_tokenizer: GLMTokenizer) -> None:
    items = read_items(task, EVAL)
    assert len(items) > 1800
    source = "en" if ANSWERS[task.name] == "zh" else "zh"
    for item in items:
        messages = task.ask(item)
        assert encode_prompt(tiny_tokenizer, messages)
        assert messages[-1]["content"].endswith(item[source])
    some = choose(items, 300, seed=0)
    references = [item[ANSWERS[task.name]] for item in some]
    assert score(task, some, references) == pytest.approx([100, 100])
    assert all(figure < 10 for figure in baseline(task, some))
