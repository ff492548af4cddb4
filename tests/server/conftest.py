"""Servers on real sockets, in threads of the test's process."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from qingtan.chat import ChatGLM
from qingtan.engine.engine import Engine
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.knowledge.service import Knowledge
from qingtan.server.serve import Server, address, listen
from scripted import NextToken, ScriptedRunner


@dataclass(frozen=True)
class Served:
    """A server, and the model behind it."""

    url: str
    model: ChatGLM

    @property
    def client(self) -> OpenAI:
        """A client that does not try again."""
        return OpenAI(base_url=self.url + "v1", api_key="none", max_retries=0, timeout=30)

    def post(self, path: str, body: object, **options: object) -> httpx.Response:
        """Send a JSON body, or bytes as they are."""
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return httpx.post(self.url + path, timeout=30, **content, **options)

    @property
    def runner(self) -> ScriptedRunner:
        """The script behind the model."""
        assert isinstance(self.model.engine.runner, ScriptedRunner)
        return self.model.engine.runner


@contextmanager
def serve(model: ChatGLM, knowledge: Knowledge | None = None) -> Iterator[Served]:
    """Serve a model under the name "tiny" until the block ends."""
    with listen("127.0.0.1", 0) as server_socket:
        ready = threading.Event()
        server = Server(model, "tiny", server_socket, ready.set, knowledge)
        thread = threading.Thread(target=server.run)
        thread.start()
        assert ready.wait(30)
        try:
            yield Served(address(server_socket), model)
        finally:
            server.stop()
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def tiny_server(tiny_checkpoint: Path) -> Iterator[Served]:
    """A server with random weights."""
    with serve(ChatGLM.from_pretrained(tiny_checkpoint)) as served:
        yield served


@pytest.fixture
def scripted_server(tiny_tokenizer: GLMTokenizer) -> Iterator[Callable[[NextToken], Served]]:
    """Makes servers whose model follows a script; two slots, and one request may wait."""
    with ExitStack() as stack:

        def start(next_token: NextToken) -> Served:
            runner = ScriptedRunner(next_token)
            stack.callback(runner.gate.set)
            model = ChatGLM(Engine(runner, tiny_tokenizer, max_running=2, max_waiting=1))
            served = stack.enter_context(serve(model))
            stack.callback(runner.gate.set)
            return served

        yield start
