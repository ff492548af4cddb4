"""What a task is: items of a file, how they are asked, and how the answers are measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from qingtan.evaluation.metrics.metric import Item, Metric
from qingtan.glm.conversation import Message


@dataclass(frozen=True)
class Baseline:
    """What can be answered without any model.

    Attributes:
        english, chinese: what it does, for people.
        answer: the answers to all items, in order; they may look at the other items' gold, as the
            commonest label does.
    """

    english: str
    chinese: str
    answer: Callable[[Sequence[Item]], Sequence[str]]


@dataclass(frozen=True)
class Task:
    """A task of the evaluation.

    Attributes:
        name: for the command line and the results.
        english, chinese: what people read.
        file: the evaluation file that holds its items, without `.jsonl.zst`.
        fields: what every item of it must have, beside `id`.
        ask: the conversation to be answered, whose last message is the user's.
        metrics: the first one is the task's headline.
        max_tokens: the most of an answer.
        baseline: None where there is no answer without a model.
        decoding: greedy takes the likeliest token always; default samples as the model does by
            default, where there are many good answers.
        selects: which items of the file are of this task.
        reference: the text whose likelihood is measured after the same conversation; None where
            that says little.
        derive: makes items of the file's, such as questions that have no answer.
    """

    name: str
    english: str
    chinese: str
    file: str
    fields: tuple[str, ...]
    ask: Callable[[Item], Sequence[Message]]
    metrics: tuple[Metric, ...]
    max_tokens: int
    baseline: Baseline | None = None
    decoding: Literal["greedy", "default"] = "greedy"
    selects: Callable[[Item], bool] = field(default=lambda item: True)
    reference: Callable[[Item], str] | None = None
    derive: Callable[[Sequence[Item]], Sequence[Item]] = field(default=lambda items: items)


def user(text: str) -> Sequence[Message]:
    """Return a conversation of one question."""
    return [{"role": "user", "content": text}]
