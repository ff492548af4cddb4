"""Free writing: articles, recipes, stories, and how a novel goes on."""

from collections.abc import Callable

from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.metrics.text import Distinct2, EndsByItself, Length, Repeats
from qingtan.evaluation.task import Task, user
from qingtan.prompts import answers

# What each kind is asked with; a lead is given to some articles only.
_ASK: dict[str, Callable[[Item], str]] = {
    "article_writing": lambda item: answers.write_article(item["title"], item.get("lead")),
    "recipe": lambda item: str(item["question"]),
    "story_writing": lambda item: answers.tell_story(item["title"]),
    "novel_continue": lambda item: answers.continue_novel(item["input"]),
}


def _is_asked(item: Item) -> bool:
    """Whether an item is of a known kind; what its kind needs is looked up at once."""
    return item["task"] in _ASK and bool(_ASK[item["task"]](item))


WRITING = Task(
    name="writing",
    english="free writing",
    chinese="自由写作",
    file="writing",
    fields=("task", "reference"),
    ask=lambda item: user(_ASK[item["task"]](item)),
    metrics=(Distinct2(), EndsByItself(), Repeats(), Length()),
    max_tokens=768,
    decoding="default",
    selects=_is_asked,
    reference=lambda item: str(item["reference"]),
)

TASKS = (WRITING,)
