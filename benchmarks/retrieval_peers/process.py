"""A side's process, seen from the benchmark."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parents[1]
MODULES = {
    "qingtan": "retrieval_peers.with_qingtan",
    "bm25s + jieba": "retrieval_peers.with_bm25s",
    "LangChain": "retrieval_peers.with_langchain",
    "LangChain + jieba": "retrieval_peers.with_langchain_jieba",
    "LlamaIndex": "retrieval_peers.with_llama_index",
    "LlamaIndex + jieba": "retrieval_peers.with_llama_index_jieba",
}


class SideProcess:
    """Runs a side; its methods wait for it.

    Args:
        name: a key of MODULES.
        python: the interpreter of the side's environment.

    Attributes:
        missing: the package that the side's environment lacks; None where it runs.
    """

    def __init__(self, name: str, size: int, python: str = sys.executable) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by close)
        paths = [str(BENCHMARKS), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [python, "-m", "retrieval_peers.worker", MODULES[name], str(size)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.missing: str | None = self._answer()["missing"]

    def index(self, documents: Path, chunks: Path) -> float:
        """Return the seconds that indexing takes."""
        return float(self._ask("index", str(documents), str(chunks)))

    def find(self, questions: list[str], limit: int) -> list[tuple[list[str], float]]:
        """Return for each question the documents found and the seconds."""
        return [(names, seconds) for names, seconds in self._ask("find", questions, limit)]

    def memory(self) -> int:
        """Return the peak of its memory, in bytes."""
        return int(self._ask("memory"))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._errors.close()

    def _ask(self, *request: object) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise RuntimeError(f"{self.name} ended: {self._errors.read()[-2000:]}")
        return json.loads(line)
