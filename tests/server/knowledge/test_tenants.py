"""One tenant's bases are nothing to another, in any route.

The server asks nobody who they are yet, so the tests put another tenant in the place of the one
function that says whose a request is.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from qingtan.chat import ChatGLM
from qingtan.knowledge.service import Knowledge
from qingtan.server.app import create_app
from qingtan.server.knowledge.tenant import tenant_of_request

SECRET = "独角兽计划在三月启动。"


@pytest.fixture
def tenants(tmp_path: Path, tiny_checkpoint: Path) -> Iterator[tuple[TestClient, list[str]]]:
    """A client, and the tenant that it is, to be changed."""
    current = ["alice"]
    model = ChatGLM.from_pretrained(tiny_checkpoint)
    with model, Knowledge.open(tmp_path / "knowledge") as knowledge:
        app = create_app(model, "tiny", knowledge=knowledge)
        app.dependency_overrides[tenant_of_request] = lambda: current[0]
        file = tmp_path / "秘密.txt"
        file.write_text(SECRET, encoding="utf-8")
        own = knowledge.of("alice")
        own.create("kb")
        own.add("kb", file)
        with TestClient(app, base_url="http://localhost/v1/knowledge") as client:
            yield client, current


@pytest.mark.security
def test_nothing_leads_to_another_tenants_base(tenants: tuple[TestClient, list[str]]) -> None:
    client, current = tenants
    document = client.get("bases/kb/documents").json()["data"][0]["id"]
    job = client.get("bases/kb/jobs").json()["data"][0]["id"]
    chunk = client.get(f"bases/kb/documents/{document}/chunks").json()["data"][0]["id"]
    assert client.post("search", json={"bases": ["kb"], "query": "独角兽"}).json()["data"]
    current[0] = "bob"
    assert client.get("bases").json()["data"] == []
    requests: list[tuple[str, str, Any]] = [
        ("GET", "bases/kb", None),
        ("DELETE", "bases/kb", None),
        ("GET", "bases/kb/documents", None),
        ("GET", f"bases/kb/documents/{document}", None),
        ("DELETE", f"bases/kb/documents/{document}", None),
        ("GET", f"bases/kb/documents/{document}/blocks", None),
        ("GET", f"bases/kb/documents/{document}/chunks", None),
        ("GET", f"bases/kb/documents/{document}/original", None),
        ("GET", f"bases/kb/documents/{document}/pages/1", None),
        ("PUT", "bases/kb/documents/x.txt", None),
        ("POST", "bases/kb/addresses", {"urls": ["http://example.org/"]}),
        ("GET", "bases/kb/jobs", None),
        ("GET", f"bases/kb/jobs/{job}", None),
        ("POST", f"bases/kb/jobs/{job}/cancel", {}),
        ("POST", "search", {"bases": ["kb"], "query": "独角兽"}),
        ("POST", "ask", {"bases": ["kb"], "question": "独角兽计划何时启动？"}),
        ("POST", "teach", {"bases": ["kb"], "said": "独角兽计划何时启动？"}),
        ("POST", "feedback", {"bases": ["kb"], "vote": "up", "chunk": chunk}),
        ("GET", "feedback?base=kb", None),
    ]
    for method, path, body in requests:
        there = client.request(method, path, json=body)
        nowhere = client.request(
            method,
            path.replace("kb", "no"),
            json=body and {**body, **({"bases": ["no"]} if "bases" in body else {})},
        )
        assert there.status_code == nowhere.status_code == 404, (method, path, there.text)
        # What is another's is told of in the very words for what is nowhere.
        assert there.text.replace("kb", "no") == nowhere.text
    assert client.get("feedback").json()["data"] == []


@pytest.mark.security
def test_ids_of_another_tenant_open_nothing_in_a_base_of_the_same_name(
    tenants: tuple[TestClient, list[str]],
) -> None:
    client, current = tenants
    document = client.get("bases/kb/documents").json()["data"][0]["id"]
    current[0] = "bob"
    assert client.post("bases", json={"name": "kb"}).status_code == 201
    for path in ("", "/blocks", "/chunks", "/original", "/pages/1"):
        assert client.get(f"bases/kb/documents/{document}{path}").status_code == 404
    body = {"bases": ["kb"], "query": "独角兽", "documents": [document]}
    assert client.post("search", json=body).json()["data"] == []
    answered = client.post("ask", json={"bases": ["kb"], "question": "独角兽计划何时启动？"}).json()
    assert answered["refused"]
    assert SECRET not in str(answered)


@pytest.mark.security
def test_every_route_asks_whose_a_request_is(tenants: tuple[TestClient, list[str]]) -> None:
    client, current = tenants
    asked: list[str] = []

    def whose() -> str:
        asked.append(current[0])
        return current[0]

    app = client.app
    assert isinstance(app, FastAPI)
    app.dependency_overrides[tenant_of_request] = whose
    operations = [
        (method, path.removeprefix("/v1/knowledge/"))
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if path.startswith("/v1/knowledge/")
    ]
    assert len(operations) > 15
    for method, path in operations:
        asked.clear()
        filled = re.sub(r"{\w+}", "x", path)
        client.request(
            method,
            filled,
            json={
                "bases": ["x"],
                "name": "y",
                "urls": ["z"],
                "query": "q",
                "question": "q",
                "said": "s",
                "vote": "up",
            },
        )
        assert asked == ["alice"], (method, path)
