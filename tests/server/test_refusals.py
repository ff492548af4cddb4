"""Requests that are refused, each in OpenAI's form and with the right status."""

import json
from typing import Any

import httpx
import pytest

from qingtan.server.schemas import MAX_BODY_BYTES, MAX_MESSAGES
from server.conftest import Served

CHAT = "v1/chat/completions"
HELLO = [{"role": "user", "content": "你好"}]


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check an answer's status and form, and return the error."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert response.headers["x-content-type-options"] == "nosniff"
    return error


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "你好"}, "messages"),
        ({"messages": HELLO * (MAX_MESSAGES + 1)}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [*HELLO, {"role": "user", "content": 5}]}, "messages[1].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].type",
        ),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "0.5"}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"seed": 2**63}, "seed"),
        ({"stop": ""}, "stop[0]"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"best_of": 2}, "best_of"),
        ({"min_p": 1.5}, "min_p"),
        ({"logprobs": 3}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": {"5": 100.5}}, "logit_bias.5"),
        ({"logit_bias": {"好": 1}}, "logit_bias.好"),
        ({"logit_bias": {"50000": 1}}, "logit_bias"),
        ({"priority": 0.5}, "priority"),
        ({"user": "x" * 257}, "user"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"temprature": 1}, "temprature"),
    ],
)
def test_the_field_is_named(tiny_server: Served, changes: dict[str, Any], param: str) -> None:
    body = json.dumps({"model": "tiny", "messages": HELLO} | changes).encode()
    response = tiny_server.post(CHAT, body, headers={"Content-Type": "application/json"})
    error = error_of(response, 400)
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert param in error["message"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 17}, "less than or equal to 16"),
        ({"logprobs": True, "top_logprobs": 21}, "less than or equal to 20"),
        ({"logit_bias": {"5": -101}}, "greater than or equal to -100"),
        ({"logit_bias": {"50000": 1}}, "there is no token 50000"),
        ({"top_logprobs": 2}, "logprobs: true"),
        ({"guided_json": {}}, "use structured_outputs.json"),
        ({"guided_regex": "x"}, "use structured_outputs.regex"),
        ({"guided_choice": ["x"]}, "use structured_outputs.choice"),
        ({"guided_grammar": "x"}, "use structured_outputs.grammar"),
        ({"functions": []}, "use tools"),
    ],
)
def test_the_message_says_what_is_taken(
    tiny_server: Served, changes: dict[str, Any], message: str
) -> None:
    body = {"model": "tiny", "messages": HELLO} | changes
    assert message in error_of(tiny_server.post(CHAT, body), 400)["message"]


@pytest.mark.parametrize("prompt", [5, ["a", "b"], [], [[1, 2]]])
def test_one_text_is_continued_at_a_time(tiny_server: Served, prompt: object) -> None:
    response = tiny_server.post("v1/completions", {"model": "tiny", "prompt": prompt})
    assert error_of(response, 400)["param"] == "prompt"


def test_what_means_nothing_is_taken(tiny_server: Served) -> None:
    extras = {
        "max_completion_tokens": 2,
        "n": 1,
        "stop": None,
        "user": "me",
        "logprobs": False,
        "tools": [],
        "temperature": None,
        "response_format": {"type": "text"},
        "metadata": {"a": "b"},
    }
    response = tiny_server.post(CHAT, {"model": "tiny", "messages": HELLO} | extras)
    assert response.status_code == 200
    assert response.json()["usage"]["completion_tokens"] <= 2
    response = tiny_server.post(
        "v1/completions", {"model": "tiny", "prompt": ["春"], "max_tokens": 1}
    )
    assert response.status_code == 200


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"5", b'"x"', b"null", b"\xff\xfe", b"[" * 100_000, b""]
)
def test_a_body_that_is_no_object(tiny_server: Served, body: bytes) -> None:
    response = tiny_server.post(CHAT, body, headers={"Content-Type": "application/json"})
    error_of(response, 400)


def test_a_body_of_another_type(tiny_server: Served) -> None:
    body = json.dumps({"model": "tiny", "messages": HELLO}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = tiny_server.post(CHAT, body, headers={"Content-Type": kind})
        assert "application/json" in error_of(response, 400)["message"]


def test_a_body_that_is_too_large(tiny_server: Served) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x" * MAX_BODY_BYTES}]}
    error_of(tiny_server.post(CHAT, body), 413)
    content = (b"x" * 65536 for _ in range(MAX_BODY_BYTES // 65536 + 1))
    headers = {"Content-Type": "application/json"}
    response = httpx.post(tiny_server.url + CHAT, content=content, headers=headers)  # chunked
    error_of(response, 413)


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_that_is_too_long(tiny_server: Served, stream: bool) -> None:
    for length in (3000, 2_000_000):
        messages = [{"role": "user", "content": "天" * length}]
        body = {"model": "tiny", "messages": messages, "stream": stream}
        error = error_of(tiny_server.post(CHAT, body), 400)
        assert error["code"] == "context_length_exceeded"
        assert "1024" in error["message"]
    response = tiny_server.post("v1/completions", {"model": "tiny", "prompt": "天" * 3000})
    assert error_of(response, 400)["code"] == "context_length_exceeded"


def test_text_that_is_no_unicode(tiny_server: Served) -> None:
    half = "\ud83d"  # of a surrogate pair; JSON can write it
    hello = {"model": "tiny", "messages": HELLO, "max_tokens": 1}
    tool = {"type": "function", "function": {"name": half}}
    statuses = {
        200: [{"messages": [HELLO[0] | {"content": half}]}],
        400: [{"messages": [{"role": half}]}, {half: 1}, {"stop": half}, {"tools": [tool]}],
        404: [{"model": half}],
    }
    for status, changes in statuses.items():
        for change in changes:
            body = json.dumps(hello | change).encode()
            headers = {"Content-Type": "application/json"}
            assert tiny_server.post(CHAT, body, headers=headers).status_code == status, change


def test_unknown_models_addresses_and_methods(tiny_server: Served) -> None:
    error = error_of(tiny_server.post(CHAT, {"model": "gpt-4o", "messages": HELLO}), 404)
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    error_of(httpx.get(tiny_server.url + "v1/models/gpt-4o"), 404)
    error_of(httpx.get(tiny_server.url + "v1/nothing"), 404)
    error_of(httpx.get(tiny_server.url + "assets/../../app.py"), 404)
    error_of(httpx.get(tiny_server.url + "%2e%2e/app.py"), 404)
    error_of(tiny_server.post("v1/nothing", {}), 404)
    error_of(tiny_server.post("v1/models", {}), 405)
    error_of(httpx.get(tiny_server.url + CHAT), 405)
    error_of(httpx.delete(tiny_server.url), 405)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil", "", "["])
def test_other_names_are_refused(tiny_server: Served, host: str) -> None:
    response = httpx.get(tiny_server.url + "v1/models", headers={"Host": host})
    assert response.status_code in (400, 403)
    if host not in ("", "["):
        assert error_of(response, 403)["code"] == "host_not_allowed"


def test_own_names_are_taken(tiny_server: Served) -> None:
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"):
        response = httpx.get(tiny_server.url + "v1/models", headers={"Host": host})
        assert response.status_code == 200, host


def test_pages_of_other_sites_are_refused(tiny_server: Served) -> None:
    own = tiny_server.url.rstrip("/")
    body = {"model": "tiny", "messages": HELLO, "max_tokens": 1}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        response = tiny_server.post(CHAT, body, headers={"Origin": origin})
        assert error_of(response, 403)["code"] == "origin_not_allowed"
        assert "access-control-allow-origin" not in response.headers
    assert tiny_server.post(CHAT, body, headers={"Origin": own}).status_code == 200
