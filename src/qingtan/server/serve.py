"""Runs the application on a socket until it is told to stop."""

import errno
import ipaddress
import socket
import threading
import webbrowser
from collections.abc import Callable

import uvicorn

from qingtan.chat import ChatGLM
from qingtan.errors import UserError
from qingtan.i18n import tr
from qingtan.knowledge.service import Knowledge
from qingtan.server.app import create_app
from qingtan.server.guard import LOOPBACK_HOSTS
from qingtan.server.knowledge.worker import Worker

# Seconds that the step that runs gets to end, and then the open connections.
_SHUTDOWN_SECONDS = 2


def listen(host: str, port: int) -> socket.socket:
    """Open the server's socket, before time is spent on loading a model.

    Args:
        port: 0 for any that is free.

    Raises:
        UserError: the host is not this machine's own loopback, or the port is taken or not
            allowed.
    """
    if not _is_loopback(host):
        raise UserError(
            tr(
                f"--host {host}: this version serves this machine only (127.0.0.1), for it does "
                "not ask clients who they are",
                f"--host {host}：此版本没有身份验证，只能在本机（127.0.0.1）提供服务",
            )
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise UserError(_explain(host, port, family, error)) from None


def address(server_socket: socket.socket) -> str:
    """Return the URL of a socket."""
    host, port = server_socket.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def open_browser(url: str) -> None:
    """Show a page in the user's browser, without waiting for it."""
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


class Server(uvicorn.Server):
    """Serves a model until SIGINT, SIGTERM or `stop`, and then closes it.

    Args:
        model: answers the requests.
        name: its name in the API.
        server_socket: from `listen`; clients may call the server by its host too.
        on_ready: called once, when requests are answered.
        knowledge: bases to serve, and to read documents into beside; the caller closes them.
    """

    def __init__(
        self,
        model: ChatGLM,
        name: str,
        server_socket: socket.socket,
        on_ready: Callable[[], None] = lambda: None,
        knowledge: Knowledge | None = None,
    ) -> None:
        hosts = {*LOOPBACK_HOSTS, server_socket.getsockname()[0]}
        config = uvicorn.Config(
            create_app(model, name, hosts=hosts, knowledge=knowledge),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        super().__init__(config)
        self._model, self._socket, self._on_ready = model, server_socket, on_ready
        self._worker = Worker(knowledge) if knowledge else None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, on the server's own socket, until it is stopped."""
        super().run([self._socket])

    def stop(self) -> None:
        """Make `run` return; from any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        await super().startup(sockets)
        if self._worker:
            self._worker.start()
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the model first: the answers that run end then, and so do their streams."""
        self._model.close(_SHUTDOWN_SECONDS)
        await super().shutdown(sockets)
        if self._worker:
            self._worker.stop()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _explain(host: str, port: int, family: socket.AddressFamily, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        with socket.create_server((host, 0), family=family) as free:
            other = free.getsockname()[1]
        return tr(
            f"port {port} is in use by another program; this one is free: --port {other}",
            f"端口 {port} 已被其他程序占用；可以改用空闲的端口：--port {other}",
        )
    return tr(f"cannot listen on {host}:{port}: {error}", f"无法监听 {host}:{port}：{error}")
