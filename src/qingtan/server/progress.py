"""From the engine's thread to the event loop: a generation's progress, whole or streamed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from qingtan.engine.answer import Answer, OnProgress, Progress
from qingtan.engine.engine import Delta, Failed, Generation
from qingtan.server.answers import Form, to_json
from qingtan.server.errors import ApiError, to_api_error


@dataclass(frozen=True)
class Live:
    """A generation that runs, and what it has told."""

    generation: Generation
    progress: asyncio.Queue[Progress]


async def begin(start: Callable[[OnProgress], Generation]) -> Live:
    """Start a generation, on another thread, for a long prompt takes a while to encode.

    Raises:
        What `start` raises.
    """
    loop = asyncio.get_running_loop()
    progress: asyncio.Queue[Progress] = asyncio.Queue()

    def on_progress(event: Progress) -> None:
        loop.call_soon_threadsafe(progress.put_nowait, event)

    return Live(await asyncio.to_thread(start, on_progress), progress)


async def finish(live: Live, request: Request) -> Answer:
    """Wait for the answer; when the client hangs up, cancel it.

    Raises:
        ApiError: the client hung up.
        Exception: the generation failed.
    """
    answer = asyncio.ensure_future(_last(live.progress))
    hung_up = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait((answer, hung_up), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ApiError(499, "the client hung up")
    finally:
        answer.cancel()
        hung_up.cancel()
        live.generation.cancel()


class EventStream(StreamingResponse):
    """Answers in server-sent events; however the answer ends, so does the generation."""

    def __init__(self, live: Live, form: Form, include_usage: bool) -> None:
        super().__init__(
            _events(live.progress, form, include_usage),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )
        self._generation = live.generation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until all is sent or the client hangs up; see the ASGI specification."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Here and not in the iterator, which never starts if the client has gone already.
            self._generation.cancel()


async def _events(
    progress: asyncio.Queue[Progress], form: Form, include_usage: bool
) -> AsyncIterator[str]:
    for chunk in form.opening():
        yield _event(to_json(chunk))
    while isinstance(event := await progress.get(), Delta):
        if event.text:
            yield _event(to_json(form.text(event.text)))
    if isinstance(event, Failed):
        # The status line has long been sent; clients know this form of an event.
        yield _event(to_json(to_api_error(event.error).body()))
        return
    for chunk in form.closing(event):
        yield _event(to_json(chunk))
    if include_usage:
        yield _event(to_json(form.usage(event.usage)))
    yield _event("[DONE]")


def _event(data: str) -> str:
    return f"data: {data}\n\n"


async def _last(progress: asyncio.Queue[Progress]) -> Answer:
    while isinstance(event := await progress.get(), Delta):
        pass
    if isinstance(event, Failed):
        raise event.error
    return event


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
