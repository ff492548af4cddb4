"""What is sent to do harm, over HTTP: names, ids, sizes, archives, addresses, queries."""

import io
import os
import socket
import zipfile
from urllib.parse import quote

import pytest

from qingtan.knowledge.reading import Limits
from server.knowledge.conftest import Client


def begun(client: Client, path: str, length: int) -> socket.socket:
    """Return a connection on which a file of so many bytes has been announced."""
    url = client.http.base_url
    connection = socket.create_connection((url.host, url.port or 80), 10)
    target = f"{url.raw_path.decode()}{quote(path)}"
    host = f"Host: {url.host}:{url.port}\r\n"
    connection.sendall(f"PUT {target} HTTP/1.1\r\n{host}Content-Length: {length}\r\n\r\n".encode())
    return connection


NAMES = [
    "../../evil.txt",
    "/etc/cron.d/evil",
    "..\\..\\evil.txt",
    "C:\\evil.txt",
    "a/../../evil.txt",
    "evil\0.txt",
    "evil.txt\r\nX-Evil: 1",
    "%2e%2e%2fevil.txt",
    "．．/evil.txt",
    "．．／evil.txt",
    ".hidden",
    "a" * 401,
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.security
def test_a_name_leads_nowhere(client: Client, name: str) -> None:
    before = set(client.knowledge.uploads.parent.rglob("*"))
    base = client.base(f"names {NAMES.index(name)}")
    path = f"{base}/documents/{quote(name, safe='')}"
    response = client.http.put(path, content=b"evil")
    assert response.status_code in (400, 405)
    assert str(client.knowledge.uploads) not in response.text
    assert "x-evil" not in response.headers
    assert client.get(f"{base}/documents")["data"] == []
    new = set(client.knowledge.uploads.parent.rglob("*")) - before
    assert not [path for path in new if "evil" in path.name]


IDS = ["../../knowledge.sqlite", "..%2f..%2fknowledge.sqlite", "%2e%2e", "1", "' OR 1=1 --", "é\0"]


@pytest.mark.parametrize("id", IDS)
def test_an_id_opens_nothing_else(client: Client, id: str) -> None:
    if not any(base["name"] == "ids" for base in client.get("bases")["data"]):
        client.put(client.base("ids"), "甲.txt", "内容。".encode())
    for what in ("", "/blocks", "/chunks", "/original", "/pages/1"):
        path = f"bases/ids/documents/{quote(id, safe='')}{what}"
        # An id with a "/" is no address at all.
        assert client.http.get(path).status_code in (404, 405)
    client.error("GET", f"bases/ids/jobs/{quote(id, safe='')}", 404)
    assert client.http.get(f"bases/{quote(id, safe='')}").status_code == 404


def test_ids_tell_nothing(client: Client) -> None:
    base = client.base("unguessable")
    first = client.put(base, "甲.txt", "甲。".encode())
    second = client.put(base, "乙.txt", "乙。".encode())
    documents = client.get(f"{base}/documents")["data"]
    for id in (first["id"], second["id"], *(document["id"] for document in documents)):
        assert len(id) >= 16
        assert not id.isdecimal()


def test_a_file_that_is_too_large_is_refused_while_it_comes(client: Client) -> None:
    base = client.base("large")
    most = Limits().file_bytes

    def body() -> object:
        for _ in range(most // 2**20 + 1):
            yield bytes(2**20)

    response = client.http.put(f"{base}/documents/large.txt", content=body())
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"
    with begun(client, f"{base}/documents/large.txt", most + 1) as connection:
        assert connection.recv(64).startswith(b"HTTP/1.1 413")
    assert client.get(f"{base}/documents")["data"] == []
    assert client.uploads() == []


@pytest.mark.security
def test_a_file_that_breaks_off_leaves_nothing(client: Client) -> None:
    base = client.base("broken off")
    with begun(client, f"{base}/documents/half.txt", 1_000_000) as connection:
        connection.sendall(bytes(3000))
    assert client.uploads() == []
    assert client.get(f"{base}/documents")["data"] == []


def test_an_empty_file_is_refused(client: Client) -> None:
    base = client.base("empty")
    assert "empty" in client.error("PUT", f"{base}/documents/a.txt", 400, content=b"")["message"]


@pytest.mark.security
def test_a_zip_bomb_is_one_line_of_the_report(client: Client) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bomb.txt", bytes(64 * 2**20))
    job = client.put(client.base("bomb"), "bomb.zip", data.getvalue())
    assert [line["outcome"] for line in job["report"]] == ["failed"]
    assert "times its size" in job["report"][0]["reason"]


def test_members_of_archives_lead_nowhere(client: Client) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        packed.writestr("../../evil.txt", "evil")
        packed.writestr("good.txt", "内容。")
    base = client.base("slip")
    job = client.put(base, "slip.zip", data.getvalue())
    assert sorted(line["outcome"] for line in job["report"]) == ["added", "failed"]
    names = [document["name"] for document in client.get(f"{base}/documents")["data"]]
    assert names == ["good.txt"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost:1/",
        "http://[::1]/",
        "http://2130706433/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
        "ftp://example.org/",
        "http://user:secret@127.0.0.1/",
        "/etc/passwd",
        "../../etc/passwd",
    ],
)
@pytest.mark.security
def test_addresses_of_this_network_are_not_fetched(client: Client, url: str) -> None:
    name = f"web {abs(hash(url))}"
    base = client.base(name)
    job = client.ended(client.post(f"{base}/addresses", {"urls": [url]}))
    assert [line["outcome"] for line in job["report"]] == ["failed"]
    assert "secret" not in str(job)
    assert client.get(f"{base}/documents")["data"] == []


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "a AND",
        "NEAR(a b)",
        "text:x",
        "*",
        "a*",
        "'; DROP TABLE chunks; --",
        "(",
        "^a",
        "-a",
        "%",
    ],
)
@pytest.mark.security
def test_nothing_in_a_query_is_syntax(client: Client, query: str) -> None:
    if not any(base["name"] == "queries" for base in client.get("bases")["data"]):
        client.put(client.base("queries"), "甲.txt", "独角兽计划在三月启动。".encode())
    client.post("search", {"bases": ["queries"], "query": query})
    found = client.post("search", {"bases": ["queries"], "query": f"独角兽 {query}"})["data"]
    assert len(found) == 1
    where = {"topics": [query], "documents": [query]}
    assert client.post("search", {"bases": ["queries"], "query": "独角兽", **where})["data"] == []


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("bases", {"name": "x", "nonsense": 1}, "nonsense"),
        ("bases", {"name": 5}, "name"),
        ("bases", {"name": "x", "words": [""]}, "words[0]"),
        ("search", {"bases": [], "query": "x"}, "bases"),
        ("search", {"bases": ["queries"], "query": ""}, "query"),
        ("search", {"bases": ["queries"], "query": "x" * 2001}, "query"),
        ("search", {"bases": ["queries"], "query": "x", "limit": 51}, "limit"),
        ("search", {"bases": ["queries"], "query": "x", "since": "yesterday"}, "since"),
        ("ask", {"bases": ["queries"], "question": "x", "mode": "magic"}, "mode"),
        ("feedback", {"bases": ["queries"], "vote": "sideways"}, "vote"),
    ],
)
def test_the_field_that_is_wrong_is_named(
    client: Client, path: str, body: object, param: str
) -> None:
    assert client.error("POST", path, 400, json=body)["param"] == param


def test_unknown_bases_are_not_there(client: Client) -> None:
    for path, body in (
        ("search", {"bases": ["nobody's"], "query": "x"}),
        ("ask", {"bases": ["nobody's"], "question": "x"}),
        ("feedback", {"bases": ["nobody's"], "vote": "up"}),
        ("bases/nobody's/addresses", {"urls": ["http://example.org/"]}),
    ):
        assert client.error("POST", path, 404, json=body)["code"] == "not_found"
    client.error("PUT", "bases/nobody's/documents/a.txt", 404, content=b"x")
    for path in (
        "bases/nobody's",
        "bases/nobody's/documents",
        "bases/nobody's/jobs",
        "feedback?base=nobody's",
    ):
        client.error("GET", path, 404)


@pytest.mark.security
def test_pages_of_other_sites_are_refused(client: Client) -> None:
    headers = {"Origin": "https://evil.example"}
    for method, path in (("GET", "bases"), ("PUT", "bases/x/documents/a"), ("DELETE", "bases/x")):
        error = client.error(method, path, 403, headers=headers)
        assert error["code"] == "origin_not_allowed"


def test_files_of_the_store_are_the_owners_alone(client: Client) -> None:
    if os.name == "posix":
        assert client.knowledge.uploads.parent.stat().st_mode & 0o077 == 0


def test_no_route_renders_what_was_sent(client: Client) -> None:
    base = client.base("<img src=x onerror=alert(1)>")
    client.put(base, "<script>.html", b"<title><script>alert(1)</script></title><p>x</p>")
    response = client.http.get(f"{base}/documents")
    assert response.headers["content-type"] == "application/json"
    policy = response.headers["content-security-policy"]
    assert "script-src 'self'" in policy
