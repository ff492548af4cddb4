"""The training conversations, which show how models are asked and answer."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import orjson
import pytest

from qingtan.corpus.cleaning.characters import tidy_characters
from qingtan.corpus.reading.streams import Chunks

SFT = Path(__file__).parents[3] / "shared" / "data" / "sft"
needs_data = pytest.mark.skipif(not SFT.is_dir(), reason="the training conversations are not here")


@cache
def conversations(file: str, task: str) -> Sequence[tuple[str, str]]:
    """Return the questions and answers of a task, as the corpus's cleaning leaves them."""
    lines = b"".join(Chunks(SFT / f"{file}.jsonl.zst", 1 << 20)).splitlines()
    records = (record for record in map(orjson.loads, lines) if record["task"] == task)
    texts = ([message["content"] for message in record["messages"]] for record in records)
    return [(tidy_characters(question), tidy_characters(answer)) for question, answer in texts]


def asked_with(ask: Callable[[str], str], file: str, task: str) -> list[tuple[str, str]]:
    """Return the conversations of a task that begin with a prompt's very words."""
    wording = ask("")
    found = [each for each in conversations(file, task) if each[0].startswith(wording)]
    for question, _ in found:
        text = question.removeprefix(wording)
        assert not text.startswith("\n")
        assert ask(text) == question
    return found
