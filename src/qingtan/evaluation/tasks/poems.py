"""Poems that go on from a first line."""

from collections.abc import Container

from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.metrics.poems import CopiedLines, Rhyme, RightForm
from qingtan.evaluation.metrics.text import Repeats
from qingtan.evaluation.task import Task, user
from qingtan.prompts import texts


def poems(known: Container[str] | None = None) -> Task:
    """Return the task of poems.

    The first line is given rather than the title: the reference begins with it, and many titles
    are but a number in a series.

    Args:
        known: the lines of the training's poems, for the share of poems that copy one; without
            them that metric is left out.
    """
    copied = () if known is None else (CopiedLines(known, lambda item: item["first_line"]),)
    return Task(
        name="poems",
        english="poems from a first line",
        chinese="续写诗词",
        file="poem",
        fields=("form", "first_line", "reference"),
        ask=lambda item: user(texts.poem(item["form"], first_line=item["first_line"])),
        metrics=(RightForm(_form), Rhyme(_form), *copied, Repeats()),
        max_tokens=256,
        decoding="default",
        reference=lambda item: item["reference"],
    )


def _form(item: Item) -> str:
    return str(item["form"])
