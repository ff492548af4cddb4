"""A server with knowledge bases on a real socket, the built-in model behind it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from qingtan.chat import ChatGLM
from qingtan.knowledge.service import Knowledge
from server.conftest import serve

Json = dict[str, Any]


@dataclass(frozen=True)
class Client:
    """Calls /v1/knowledge as a program would."""

    http: httpx.Client
    knowledge: Knowledge

    def get(self, path: str) -> Any:
        return self._read(self.http.get(path))

    def post(self, path: str, body: object) -> Any:
        return self._read(self.http.post(path, json=body))

    def error(self, method: str, path: str, status: int, **options: Any) -> Json:
        """Return the error that a request is answered with."""
        response = self.http.request(method, path, **options)
        assert response.status_code == status, response.text
        error: Json = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        return error

    def base(self, name: str, **body: object) -> str:
        """Make a base, and return its address."""
        self.post("bases", {"name": name, **body})
        return f"bases/{quote(name, safe='')}"

    def put(self, base: str, name: str, data: bytes, **query: str) -> Json:
        """Send a file, and return its job when it has ended."""
        path = f"{base}/documents/{quote(name)}"
        response = self.http.put(path, content=data, params=query)
        assert response.status_code == 202, response.text
        return self.ended(response.json())

    def ended(self, job: Json) -> Json:
        """Return a job when it has ended."""
        deadline = time.monotonic() + 60
        while job["state"] in ("queued", "running"):
            assert time.monotonic() < deadline, job
            time.sleep(0.05)
            job = self.get(f"bases/{quote(job['base'], safe='')}/jobs/{job['id']}")
        return job

    def uploads(self) -> list[Path]:
        """Return what is left of uploads, once nothing is being read."""
        for _ in range(100):
            left = list(self.knowledge.uploads.glob("*"))
            if not left:
                break
            time.sleep(0.05)
        return left

    def _read(self, response: httpx.Response) -> Any:
        assert response.is_success, response.text
        return response.json()


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that keeps its bases in a folder of its own."""
    model = ChatGLM.from_pretrained("qingtan", threads=1)
    with (
        Knowledge.open(tmp_path_factory.mktemp("knowledge")) as knowledge,
        serve(model, knowledge=knowledge) as served,
        httpx.Client(base_url=f"{served.url}v1/knowledge/", timeout=60) as http,
    ):
        yield Client(http, knowledge)
