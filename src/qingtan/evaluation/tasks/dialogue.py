"""Talk that goes on: the next words after a few turns, with or without facts at hand."""

from collections.abc import Sequence

from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.metrics.text import Distinct2, EndsByItself, Repeats, RougeL
from qingtan.evaluation.task import Baseline, Task
from qingtan.glm.conversation import Message
from qingtan.prompts import answers

_ROLES = ("user", "assistant")


def converse(item: Item) -> Sequence[Message]:
    """Return the conversation, of which the last words are the user's, after the facts.

    Speakers take turns. Words of the assistant at the very beginning are left out, since no
    conversation was trained that begins so.
    """
    history = item["history"]
    # From the user's words that are an even number of turns before the last.
    turns = history[1 - len(history) % 2 :]
    facts = [(fact["entity"], fact["attr"], fact["value"]) for fact in item.get("knowledge") or ()]
    said = [*turns[:-1], answers.chat_with_knowledge(turns[-1], facts)]
    return [{"role": _ROLES[i % 2], "content": text} for i, text in enumerate(said)]


DIALOGUE = Task(
    name="dialogue",
    english="conversation",
    chinese="多轮对话",
    file="dialogue",
    fields=("history", "reference"),
    ask=converse,
    metrics=(
        RougeL(lambda item: [item["reference"]]),
        Distinct2(),
        EndsByItself(),
        Repeats(),
    ),
    max_tokens=128,
    baseline=Baseline(
        "the user's last words",
        "重复用户的最后一句话",
        lambda items: [item["history"][-1] for item in items],
    ),
    decoding="default",
    # One in which nothing was said has no answer; a fact that lacks a part is found here.
    selects=lambda item: bool(item["history"] and converse(item)),
    reference=lambda item: str(item["reference"]),
)

TASKS = (DIALOGUE,)
