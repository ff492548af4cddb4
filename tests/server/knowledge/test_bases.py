"""Bases over HTTP."""

import pytest

from server.knowledge.conftest import Client


def test_a_base_is_made_listed_and_removed(client: Client) -> None:
    made = client.post("bases", {"name": "产品 手册", "about": "各型号", "words": ["清谈一号"]})
    assert (made["name"], made["about"], made["words"]) == ("产品 手册", "各型号", ["清谈一号"])
    assert (made["documents"], made["chunks"]) == (0, 0)
    assert not {"id", "tenant"} & set(made)
    assert made in client.get("bases")["data"]
    assert client.get("bases/产品 手册") == made
    assert client.http.delete("bases/产品 手册").status_code == 204
    assert client.error("GET", "bases/产品 手册", 404)["code"] == "not_found"
    assert client.error("DELETE", "bases/产品 手册", 404)["code"] == "not_found"


def test_a_name_is_taken_once(client: Client) -> None:
    client.base("once")
    assert "once" in client.error("POST", "bases", 400, json={"name": "once"})["message"]


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\0b", "x" * 65, ".."])
@pytest.mark.security
def test_names_that_lead_somewhere_else_are_refused(client: Client, name: str) -> None:
    client.error("POST", "bases", 400, json={"name": name})


@pytest.mark.security
def test_bases_whose_names_begin_alike_are_apart(client: Client) -> None:
    first, second = client.base("kb"), client.base("kb2")
    client.put(second, "秘密.txt", "独角兽计划在三月启动。".encode())
    assert client.get(f"{first}/documents")["data"] == []
    found = client.post("search", {"bases": ["kb"], "query": "独角兽计划"})
    assert found["data"] == []
    found = client.post("search", {"bases": ["kb2"], "query": "独角兽计划"})
    assert [hit["base"] for hit in found["data"]] == ["kb2"]
    document = client.get(f"{second}/documents")["data"][0]["id"]
    for path in ("", "/blocks", "/chunks", "/original", "/pages/1"):
        client.error("GET", f"{first}/documents/{document}{path}", 404)
    client.error("DELETE", f"{first}/documents/{document}", 404)
    assert len(client.get(f"{second}/documents")["data"]) == 1
