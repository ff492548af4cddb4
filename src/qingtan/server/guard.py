"""What protects a server on one's own machine from the web pages in one's own browser."""

from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qingtan.server.errors import ApiError, to_api_error

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
SECURITY_HEADERS = {
    # The styles of the console's library are set from its script.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; object-src 'none'; "
        "base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Guard:
    """The outermost layer: refuses what another site sends, and adds headers to every answer.

    A page of another site can point its own name at 127.0.0.1 (DNS rebinding): then the Host
    header has that name. Or it can send requests here without reading the answers: then the
    Origin header, which browsers set, is not this server.

    Args:
        app: what it stands before.
        hosts: names, without a port, that the Host header may have.
        max_body: returns the most bytes of a request's body.
    """

    def __init__(
        self, app: ASGIApp, hosts: Collection[str], max_body: Callable[[Scope], int]
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on; see the ASGI specification."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                # A page from before an update would ask for scripts that are gone.
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        most = self._max_body(scope)
        refusal = self._refuse(Headers(scope=scope), most)
        app = refusal.response() if refusal else self._app
        await app(scope, _limited(receive, most), send_with_headers)

    def _refuse(self, headers: Headers, most: int) -> ApiError | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if _name_of(host) not in self._hosts:
            message = f"this server does not go by the name {host!r}"
            return ApiError(403, message, code="host_not_allowed")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            message = f"this server takes no requests from pages of {origin!r}"
            return ApiError(403, message, code="origin_not_allowed")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            return to_api_error(HTTPException(413))
        return None


def _limited(receive: Receive, most: int) -> Receive:
    """Return a `receive` that raises when a body of undeclared length becomes too large."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise HTTPException(413)
        return message

    return receive_limited


def _name_of(host: str) -> str | None:
    """Return a Host header's name in lower case, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
