"""All tasks by name, in the order in which they are reported."""

from collections.abc import Container, Sequence
from itertools import chain

from qingtan.errors import UserError
from qingtan.evaluation.task import Task
from qingtan.evaluation.tasks import (
    dialogue,
    entities,
    labels,
    law,
    poems,
    reading,
    service,
    summaries,
    translation,
    writing,
)
from qingtan.i18n import tr

# First what answers from a given text, then translation, labels, service and free writing.
_ORDER = (
    "reading",
    "cited",
    "unanswerable",
    "titles",
    "doc-summaries",
    "leads",
    "to-chinese",
    "to-english",
    "intent",
    "category",
    "discipline",
    "topic",
    "sentiment",
    "aspects",
    "offence",
    "commonsense",
    "keywords",
    "entities",
    "slots",
    "faq",
    "customer-service",
    "customer-unanswerable",
    "law",
    "poems",
    "dialogue",
    "writing",
)
_MODULES = (reading, summaries, translation, labels, entities, service, law, dialogue, writing)


def all_tasks(known: Container[str] | None = None) -> dict[str, Task]:
    """Return every task by its name, in the order of reports.

    Args:
        known: the lines of poems that the model was trained on, as the task poems takes them.
    """
    tasks = chain.from_iterable(module.TASKS for module in _MODULES)
    by_name = {task.name: task for task in (*tasks, poems.poems(known))}
    return {name: by_name[name] for name in _ORDER}


def choose_tasks(names: Sequence[str], known: Container[str] | None = None) -> list[Task]:
    """Return the named tasks, each once, in the order of reports.

    Args:
        names: none are all.
        known: as for `all_tasks`.

    Raises:
        UserError: there is no task of such a name; the message lists those there are.
    """
    tasks = all_tasks(known)
    unknown = [name for name in names if name not in tasks]
    if unknown:
        listed = ", ".join(tasks)
        raise UserError(
            tr(
                f"{unknown[0]}: no such task; the tasks are {listed}",
                f"{unknown[0]}：没有这个任务；可选的任务有 {listed}",
            )
        )
    return [task for task in tasks.values() if not names or task.name in names]
