"""The page's files, the headers, and the server's own state."""

from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from qingtan.chat import ChatGLM
from qingtan.engine.engine import Engine
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.server.app import create_app
from qingtan.server.serve import listen
from scripted import ScriptedRunner, answers
from server.conftest import Served


@pytest.fixture
def model(tiny_tokenizer: GLMTokenizer) -> ChatGLM:
    runner = ScriptedRunner(answers(tiny_tokenizer, "你好"))
    return ChatGLM(Engine(runner, tiny_tokenizer, max_running=2))


def client_of(model: ChatGLM, static_folder: Path) -> TestClient:
    app = create_app(model, "tiny", static_folder=static_folder)
    return TestClient(app, base_url="http://localhost")


def test_the_bundle_is_served(model: ChatGLM, tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>清谈</title>", encoding="utf-8")
    (tmp_path / "assets" / "index.js").write_text("1", encoding="utf-8")
    (tmp_path.parent / "outside.txt").write_text("secret", encoding="utf-8")
    (tmp_path / "link.txt").symlink_to(tmp_path.parent / "outside.txt")
    with client_of(model, tmp_path) as client:
        page = client.get("/")
        assert "清谈" in page.text
        assert page.headers["cache-control"] == "no-cache"
        assert "javascript" in client.get("/assets/index.js").headers["content-type"]
        assert client.get("/link.txt").status_code == 404
        assert client.get("/v1/nothing", headers={"Accept": "text/html"}).status_code == 404


def test_without_a_bundle_the_page_says_how_to_build_it(model: ChatGLM, tmp_path: Path) -> None:
    with client_of(model, tmp_path) as client:
        assert "npm run build" in client.get("/").text
        assert client.get("/v1/models").status_code == 200


def test_every_answer_has_the_headers(tiny_server: Served) -> None:
    for path in ("", "healthz", "v1/models", "v1/nothing", "openapi.json"):
        headers = httpx.get(tiny_server.url + path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers


def test_nothing_is_loaded_from_elsewhere(tiny_server: Served) -> None:
    assert httpx.get(tiny_server.url + "docs").status_code == 404
    assert httpx.get(tiny_server.url + "redoc").status_code == 404
    schema = httpx.get(tiny_server.url + "openapi.json").json()
    assert "/v1/chat/completions" in schema["paths"]


def test_health_follows_the_engine(model: ChatGLM, tmp_path: Path) -> None:
    with client_of(model, tmp_path) as client:
        assert client.get("/healthz").json() == {
            "status": "ok",
            "running": 0,
            "waiting": 0,
            "slots": 2,
        }
        model.close()
        assert client.get("/healthz").status_code == 503
        body = {"model": "tiny", "messages": [{"role": "user", "content": "你好"}]}
        assert client.post("/v1/chat/completions", json=body).status_code == 503


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_only_this_machine_is_served(host: str) -> None:
    with pytest.raises(UserError, match="--host"):
        listen(host, 0)


def test_a_port_in_use_names_a_free_one() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=r"--port \d+"):
            listen("127.0.0.1", port)
    with pytest.raises(UserError):
        listen("127.0.0.1", 70_000)
