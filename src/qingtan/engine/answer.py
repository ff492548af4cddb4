"""From an engine's events to an answer, whole or in pieces."""

import queue
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from qingtan.engine.events import (
    Delta,
    Event,
    Failed,
    Finished,
    OnEvent,
    Reason,
    TokenLogprob,
    Usage,
)
from qingtan.engine.requests import Generation, Work
from qingtan.glm.conversation import Reply


@dataclass(frozen=True)
class Answer:
    """The end of a generation: all that was said, why it ended, and what it took.

    `logprobs`, where they were asked for, are those of all tokens, the format's among them.
    """

    reply: Reply
    reason: Reason
    usage: Usage
    logprobs: tuple[TokenLogprob, ...] = ()


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

    logprobs: list[TokenLogprob] = []

    def on_event(event: Event) -> None:
        try:
            told = _translate(event, splitter, logprobs)
        except Exception as error:  # whoever waits for the end must hear of one
            told = [Failed(error)]
        for progress in told:
            on_progress(progress)

    return on_event


def _translate(event: Event, splitter: Splitter, logprobs: list[TokenLogprob]) -> list[Progress]:
    if isinstance(event, Delta):
        logprobs.extend(event.logprobs)
        return [replace(event, text=splitter.feed(event.text))]
    if isinstance(event, Finished):
        rest, reply = splitter.finish()
        return [Delta(rest), Answer(reply, event.reason, event.usage, tuple(logprobs))]
    return [event] if isinstance(event, Failed) else []


def outcomes(
    start: Callable[[Sequence[int], OnEvent], Work], prompts: Sequence[Sequence[int]]
) -> list[Event]:
    """Start a request of one event, its end, for each prompt, and wait for them.

    Raises:
        Exception: what `start` raises, and what a request failed with.
    """
    events: list[queue.SimpleQueue[Event]] = []
    started: list[Work] = []
    try:
        for prompt in prompts:
            events.append(queue.SimpleQueue())
            started.append(start(prompt, events[-1].put))
        ends = [each.get() for each in events]
    finally:
        for work in started:
            work.cancel()
    for end in ends:
        if isinstance(end, Failed):
            raise end.error
    return ends


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
