"""Encoders against the project's own server, on a real socket."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from qingtan.chat import ChatGLM
from qingtan.errors import UserError
from qingtan.knowledge import encoders
from qingtan.knowledge.encoders import GLMEncoder, RemoteEncoder
from server.conftest import Served, serve

TEXTS = [f"第{i}个文本：春眠不觉晓。" for i in range(7)]


@pytest.fixture(scope="module")
def served(tiny_checkpoint: Path) -> Iterator[Served]:
    model = ChatGLM.from_pretrained(tiny_checkpoint)
    with model, serve(model) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "_FIRST_WAIT", 0.001)


def test_a_server_and_the_model_in_process_give_the_same(served: Served) -> None:
    remote = RemoteEncoder(served.url + "v1/", "tiny", batch=3)
    local = GLMEncoder(served.model.embed, "tiny")
    vectors = remote.encode(TEXTS)
    assert vectors.shape == (7, remote.dimensions) == (7, local.dimensions)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors, local.encode(TEXTS), atol=1e-5)
    assert remote.encode([]).shape == local.encode([]).shape == (0, remote.dimensions)
    remote.close()


def test_more_texts_than_the_engine_takes_at_once(served: Served) -> None:
    local = GLMEncoder(served.model.embed, "tiny")
    many = [f"{text}{turn}" for turn in range(20) for text in TEXTS]
    vectors = local.encode(many)
    assert vectors.shape == (140, local.dimensions)
    assert np.allclose(vectors[-3:], local.encode(many[-3:]), atol=1e-5)


def test_an_unknown_model_is_named(served: Served) -> None:
    with pytest.raises(UserError, match=r"embeddings: .*other.*404 there is no model 'other'"):
        RemoteEncoder(served.url + "v1", "other").encode(TEXTS)


def test_nothing_that_answers_is_an_error_without_the_key() -> None:
    encoder = RemoteEncoder("http://127.0.0.1:9/v1", "tiny", "secret-key")
    with pytest.raises(UserError, match=r"http://127.0.0.1:9/v1/embeddings: ") as raised:
        encoder.encode(TEXTS)
    assert "secret-key" not in str(raised.value)


class _Script(BaseHTTPRequestHandler):
    """Gives the server's answers in turn, and keeps what was asked."""

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        server = self.server
        assert isinstance(server, _ScriptServer)
        server.asked.append((self.rfile.read(length), self.headers.get("Authorization")))
        status, body = server.answers.pop(0)
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class _ScriptServer(HTTPServer):
    answers: list[tuple[int, bytes]]
    asked: list[tuple[bytes, str | None]]


@pytest.fixture
def scripted() -> Iterator[_ScriptServer]:
    server = _ScriptServer(("127.0.0.1", 0), _Script)
    server.answers, server.asked = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


GOOD = b'{"data": [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}]}'


def _encoder(server: _ScriptServer) -> RemoteEncoder:
    return RemoteEncoder(f"http://127.0.0.1:{server.server_port}/v1", "m", "k")


def test_a_busy_server_is_asked_again_and_the_order_is_the_index(scripted: _ScriptServer) -> None:
    scripted.answers = [(503, b""), (429, b"{}"), (200, GOOD)]
    vectors = _encoder(scripted).encode(["a", "b"])
    assert np.allclose(vectors, [[0.6, 0.8], [0, 1]])
    assert len(scripted.asked) == 3
    assert {key for _, key in scripted.asked} == {"Bearer k"}


def test_a_server_that_stays_busy_is_an_error(scripted: _ScriptServer) -> None:
    scripted.answers = [(503, b"")] * 4
    with pytest.raises(UserError, match="503"):
        _encoder(scripted).encode(["a"])
    assert not scripted.answers


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b'{"error": {"message": "no such key"}}'),
        (302, b""),
        (200, b"<html>"),
        (200, b'{"data": []}'),
        (200, b'{"data": [{"index": 0, "embedding": [1]}, {"index": 1}]}'),
        (200, b'{"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1]}]}'),
        (200, b'{"data": [{"index": 0, "embedding": [NaN]}, {"index": 1, "embedding": [1]}]}'),
    ],
)
def test_an_answer_that_is_none_is_an_error_at_once(
    scripted: _ScriptServer, status: int, body: bytes
) -> None:
    scripted.answers = [(status, body)]
    with pytest.raises(UserError, match="m"):
        _encoder(scripted).encode(["a", "b"])
    assert len(scripted.asked) == 1
