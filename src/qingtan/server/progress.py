"""From the engine's thread to the event loop: an answer's progress, whole or streamed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from qingtan.engine.answer import Answer, OnProgress, Progress
from qingtan.engine.events import Delta, Failed
from qingtan.engine.requests import Generation
from qingtan.server.answers import Form, to_json
from qingtan.server.errors import ApiError, to_api_error


@dataclass(frozen=True)
class Live:
    """An answer that is being generated: its choices, and what they have told, by their index."""

    generations: Sequence[Generation]
    progress: asyncio.Queue[tuple[int, Progress]]

    def cancel(self) -> None:
        """End all choices."""
        for generation in self.generations:
            generation.cancel()

    async def answers(self) -> list[Answer]:
        """Wait for all choices.

        Raises:
            Exception: what the first one to fail failed with.
        """
        ended: dict[int, Answer] = {}
        while len(ended) < len(self.generations):
            index, event = await self.progress.get()
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Answer):
                ended[index] = event
        return [ended[index] for index in sorted(ended)]


async def begin(start: Callable[[Sequence[OnProgress]], Sequence[Generation]], count: int) -> Live:
    """Start an answer of `count` choices, on another thread, for a long prompt takes a while.

    Raises:
        What `start` raises.
    """
    loop = asyncio.get_running_loop()
    progress: asyncio.Queue[tuple[int, Progress]] = asyncio.Queue()

    def listener(index: int) -> OnProgress:
        def on_progress(event: Progress) -> None:
            loop.call_soon_threadsafe(progress.put_nowait, (index, event))

        return on_progress

    return Live(await asyncio.to_thread(start, [listener(i) for i in range(count)]), progress)


async def finish(live: Live, request: Request) -> list[Answer]:
    """Wait for the choices; when the client hangs up, or one fails, cancel them.

    Raises:
        ApiError: the client hung up.
        Exception: see `Live.answers`.
    """
    answers = asyncio.ensure_future(live.answers())
    hung_up = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait((answers, hung_up), return_when=asyncio.FIRST_COMPLETED)
        if answers.done():
            return answers.result()
        raise hung_up_error()
    finally:
        answers.cancel()
        hung_up.cancel()
        live.cancel()


def hung_up_error() -> ApiError:
    """Return the error that nobody reads any more."""
    return ApiError(499, "the client hung up")


class EventStream(StreamingResponse):
    """Answers in server-sent events; however the answer ends, so do its choices."""

    def __init__(self, live: Live, form: Form, include_usage: bool) -> None:
        super().__init__(
            _events(live, form, include_usage),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until all is sent or the client hangs up; see the ASGI specification."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Here and not in the iterator, which never starts if the client has gone already.
            self._live.cancel()


async def _events(live: Live, form: Form, include_usage: bool) -> AsyncIterator[str]:
    """Tell of each choice as it comes."""
    count = len(live.generations)
    for chunk in (chunk for index in range(count) for chunk in form.opening(index)):
        yield _event(to_json(chunk))
    ended: dict[int, Answer] = {}
    while len(ended) < count:
        index, event = await live.progress.get()
        if isinstance(event, Failed):
            # The status line has long been sent; clients know this form of an event.
            yield _event(to_json(to_api_error(event.error).body()))
            return
        if isinstance(event, Answer):
            ended[index] = event
        for chunk in _chunks(form, index, event):
            yield _event(to_json(chunk))
    if include_usage:
        yield _event(to_json(form.usage([ended[index] for index in range(count)])))
    yield _event("[DONE]")


def _chunks(form: Form, index: int, event: Delta | Answer) -> list[dict[str, object]]:
    return form.piece(index, event) if isinstance(event, Delta) else form.closing(index, event)


def _event(data: str) -> str:
    return f"data: {data}\n\n"


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
