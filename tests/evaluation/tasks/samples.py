"""Where the evaluation's data lies, and what the tests of every task ask and measure with."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from qingtan.evaluation.metrics.metric import Answer, Item
from qingtan.evaluation.task import Task
from qingtan.glm.conversation import encode_prompt
from qingtan.glm.tokenizer import GLMTokenizer

EVAL = Path(__file__).parents[4] / "shared" / "data" / "eval"
needs_data = pytest.mark.skipif(not EVAL.is_dir(), reason="the evaluation's data is not here")


def score(task: Task, items: Sequence[Item], answers: Sequence[str]) -> list[float]:
    """Return the figures of a task's metrics, headline first."""
    pairs = list(zip(items, map(Answer, answers), strict=True))
    sums = [np.sum([m.measure(*pair) for pair in pairs], axis=0) for m in task.metrics]
    return [m.combine(each) for m, each in zip(task.metrics, sums, strict=True)]


def baseline(task: Task, items: Sequence[Item]) -> list[float]:
    """Return the figures of a task's baseline."""
    assert task.baseline
    return score(task, items, task.baseline.answer(items))


def check_asked(task: Task, items: Sequence[Item], tokenizer: GLMTokenizer) -> None:
    """Fail where an item cannot be asked; speakers take turns, and the user's turn is last."""
    for item in items:
        messages = task.ask(item)
        assert encode_prompt(tokenizer, messages)
        roles = [message["role"] for message in messages]
        assert roles[-1] == roles[0] == "user"
        assert all(one != other for one, other in pairwise(roles))


def check_input_asked(task: Task, items: Sequence[Item], tokenizer: GLMTokenizer) -> None:
    """Fail where an item cannot be asked, or its input is not asked of the model."""
    check_asked(task, items, tokenizer)
    assert all(item["input"] in task.ask(item)[-1]["content"] for item in items)
