"""Threads that wait for the store, so that the event loop never does."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from starlette.responses import JSONResponse, Response

Json = dict[str, Any]
_P = ParamSpec("_P")
_T = TypeVar("_T")
# Each has a connection to the store of its own.
_THREADS = 8


class Threads:
    """A few threads of their own: what waits here keeps nothing else waiting."""

    def __init__(self, count: int = _THREADS) -> None:
        self._pool = ThreadPoolExecutor(count, "qingtan-knowledge")

    def route(
        self, status: int = 200
    ) -> Callable[[Callable[_P, Json | Response]], Callable[_P, Coroutine[Any, Any, Response]]]:
        """Make a route of a function that waits, and returns JSON or a response.

        JSON is written on the thread, too: that of a long document takes a while.
        """

        def make(
            function: Callable[_P, Json | Response],
        ) -> Callable[_P, Coroutine[Any, Any, Response]]:
            def answer(*args: _P.args, **kwargs: _P.kwargs) -> Response:
                found = function(*args, **kwargs)
                return found if isinstance(found, Response) else JSONResponse(found, status)

            @wraps(function)
            async def run(*args: _P.args, **kwargs: _P.kwargs) -> Response:
                return await self.run(answer, *args, **kwargs)

            return run

        return make

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function on one of the threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(function, *args, **kwargs))
