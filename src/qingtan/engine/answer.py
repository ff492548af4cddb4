"""From an engine's events to an answer, whole or in pieces."""

import queue
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

from qingtan.engine.engine import Delta, Event, Failed, Generation, OnEvent, Reason, Usage
from qingtan.glm.conversation import Reply


@dataclass(frozen=True)
class Answer:
    """The end of a generation: all that was said, why it ended, and what it took."""

    reply: Reply
    reason: Reason
    usage: Usage


Progress = Delta | Answer | Failed
OnProgress = Callable[[Progress], None]


class Splitter(Protocol):
    """What makes text to show, and a reply, of generated text; see `ReplyStream`."""

    def feed(self, piece: str) -> str:
        """Return what may be shown with this piece."""

    def finish(self) -> tuple[str, Reply]:
        """Return what was held back, and the whole."""


class PlainText:
    """Shows the text as it comes; a `Splitter`."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def feed(self, piece: str) -> str:
        """See `Splitter`."""
        self._pieces.append(piece)
        return piece

    def finish(self) -> tuple[str, Reply]:
        """See `Splitter`."""
        return "", Reply("".join(self._pieces))


def listener(splitter: Splitter, on_progress: OnProgress) -> OnEvent:
    """Return a listener to an engine, which tells of text through `on_progress`.

    The last call has an `Answer` or a `Failed`.
    """

    def on_event(event: Event) -> None:
        try:
            told = _translate(event, splitter)
        except Exception as error:  # whoever waits for the end must hear of one
            told = [Failed(error)]
        for progress in told:
            on_progress(progress)

    return on_event


def _translate(event: Event, splitter: Splitter) -> list[Progress]:
    if isinstance(event, Delta):
        return [Delta(splitter.feed(event.text), event.tokens)]
    if isinstance(event, Failed):
        return [event]
    rest, reply = splitter.finish()
    return [Delta(rest), Answer(reply, event.reason, event.usage)]


def pieces(start: Callable[[OnProgress], Generation]) -> Generator[str, None, Answer]:
    """Start a generation and yield its text; return the whole. Closing this cancels it.

    Raises:
        Exception: what `start` raises, and what the generation failed with.
    """
    progress: queue.SimpleQueue[Progress] = queue.SimpleQueue()
    generation = start(progress.put)
    try:
        while True:
            event = progress.get()
            if isinstance(event, Answer):
                return event
            if isinstance(event, Failed):
                raise event.error
            if event.text:
                yield event.text
    finally:
        generation.cancel()


def last(pieces: Generator[str, None, Answer]) -> Answer:
    """Let `pieces` run to their end, and return the whole."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
