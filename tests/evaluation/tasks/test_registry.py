"""The tasks by name."""

import pytest

from qingtan.errors import UserError
from qingtan.evaluation.items import read_items
from qingtan.evaluation.tasks.registry import all_tasks, choose_tasks

from .samples import EVAL, needs_data


def test_all_tasks_are_there_in_their_order() -> None:
    tasks = all_tasks()
    assert " ".join(tasks) == (
        "reading cited unanswerable titles doc-summaries leads to-chinese to-english intent "
        "category discipline topic sentiment aspects offence commonsense keywords entities slots "
        "faq customer-service customer-unanswerable law poems dialogue writing"
    )
    for name, task in tasks.items():
        assert task.name == name
        assert task.english
        assert task.chinese
        metrics = [metric.name for metric in task.metrics]
        assert metrics
        assert len(set(metrics)) == len(metrics)
        assert 0 < task.max_tokens < 1024


def test_tasks_are_chosen_by_name() -> None:
    assert [task.name for task in choose_tasks(["poems", "reading", "poems"])] == [
        "reading",
        "poems",
    ]
    assert [task.name for task in choose_tasks([])] == list(all_tasks())
    (task,) = choose_tasks(["poems"], known={"竹里春风过"})
    assert "copied_lines" in [metric.name for metric in task.metrics]


@pytest.mark.parametrize(("language", "words"), [("en", "no such task"), ("zh", "没有这个任务")])
def test_an_unknown_task_is_named(
    language: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QINGTAN_LANG", language)
    with pytest.raises(UserError, match=f"^poetry.*{words}.*reading, cited.*, writing$"):
        choose_tasks(["poems", "poetry"])


@needs_data
def test_every_task_has_items_in_the_data() -> None:
    for name, task in all_tasks().items():
        assert len(read_items(task, EVAL)) >= 20, name
