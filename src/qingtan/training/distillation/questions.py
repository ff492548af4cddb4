"""The questions for a teacher: JSON Lines of conversations or prompts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qingtan.corpus.documents import content_of, spoken_by
from qingtan.corpus.reading import FormatTable, Rejected, list_files, parse, read_raw
from qingtan.errors import UserError
from qingtan.glm.conversation import ROLE_TOKENS


@dataclass(frozen=True)
class Question:
    """What a teacher is asked.

    Attributes:
        index: its number among the questions, from 0.
        id: the record's own, or made of the file's name and the line.
        messages: OpenAI's; the last is the user's.
    """

    index: int
    id: str
    messages: tuple[dict[str, Any], ...]

    @property
    def text(self) -> str:
        """The last message's text."""
        return spoken_by(self.messages[-1])


def read_questions(path: Path) -> Iterator[Question]:
    """Yield the questions of a file of JSON Lines, plain, .gz or .zst.

    A line holds {"messages": […]}, whose last message is left out where it is the assistant's, or
    {"prompt": "…"}; its "id" is kept.

    Raises:
        UserError: the file cannot be read, or a line is no question; the message names the line.
    """
    if path.is_dir():
        raise UserError(f"{path}: a folder; name a file of questions")
    index, table = 0, FormatTable()
    for block in read_raw(list_files(path), table):
        for item in parse(block, table):
            if isinstance(item, Rejected):
                raise UserError(f"{path}:{item.line}: {item.reason}")
            try:
                messages = _messages_of(item.value)
            except UserError as error:
                raise UserError(f"{path}:{item.line}: {error}") from None
            name = item.value.get("id", f"{path.name.partition('.')[0]}-{item.line}")
            yield Question(index, str(name), messages)
            index += 1


def _messages_of(value: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    if "prompt" in value:
        if not isinstance(value["prompt"], str) or not value["prompt"].strip():
            raise UserError('"prompt" is empty, or it is not a string')
        return ({"role": "user", "content": value["prompt"]},)
    if value.get("tools"):
        raise UserError('"tools": a teacher is asked for texts only; take the line out')
    messages = content_of("conversations", value)["messages"]
    for i, message in enumerate(messages):
        if message["role"] not in ROLE_TOKENS:
            raise UserError(
                f"messages[{i}].role: {message['role']!r} is none of {', '.join(ROLE_TOKENS)}"
            )
    if messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    if not messages or messages[-1]["role"] != "user" or not spoken_by(messages[-1]).strip():
        raise UserError("messages: there is no question of the user before the answer")
    return tuple(messages)
