"""Sides in processes of their own, seen from the benchmark."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from engine_peers.side import Tokens

BENCHMARKS = Path(__file__).resolve().parents[1]
BUILT_IN = BENCHMARKS.parent / "models/qingtan"
OURS, LLAMA_CPP, TRANSFORMERS = "qingtan", "llama.cpp", "transformers"
MODULES = {
    OURS: "engine_peers.ours",
    LLAMA_CPP: "engine_peers.with_llama_cpp",
    TRANSFORMERS: "engine_peers.with_transformers",
}


class SideProcess:
    """A `Side` whose methods run in another process, which waits meanwhile.

    Args:
        name: a key of MODULES.
        python: the interpreter of the side's environment.
        folder: of a shape, see `models.prepare`.
        threads: how many the side may use.

    Raises:
        RuntimeError: it cannot open the model; the message ends with what it said.
    """

    def __init__(
        self, name: str, folder: Path, precision: str, threads: int, python: str = sys.executable
    ) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by close)
        paths = [str(BENCHMARKS), *filter(None, [os.environ.get("PYTHONPATH")])]
        changes = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(paths)}
        command = [python, "-m", "engine_peers.worker", MODULES[name]]
        self._process = subprocess.Popen(
            [*command, str(folder), precision, str(threads)],
            env={**os.environ, **changes},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._answer()

    def __enter__(self) -> "SideProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, tokens: Tokens) -> float:
        """See `Side`."""
        return float(self._ask("read", tokens))

    def write(self, prompts: Sequence[Tokens], count: int) -> float:
        """See `Side`."""
        return float(self._ask("write", prompts, count))

    def share(self, beginning: Tokens, rests: Sequence[Tokens], count: int) -> float:
        """See `Side`."""
        return float(self._ask("share", beginning, rests, count))

    def serve(self, beginning: Tokens, rests: Sequence[Tokens], count: int) -> float:
        """See `Side`."""
        return float(self._ask("serve", beginning, rests, count))

    def predict(self, tokens: Tokens) -> list[int]:
        """See `Side`."""
        return list(map(int, self._ask("predict", tokens)))

    def score(self, tokens: Tokens) -> float:
        """See `Side`."""
        return float(self._ask("score", tokens))

    def peak_memory(self) -> int:
        """Return the most bytes that the process has held, mapped files included."""
        return int(self._ask("peak_memory"))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._errors.close()

    def _ask(self, name: str, *arguments: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise RuntimeError(f"{self.name} failed:\n{self._errors.read()[-4000:]}")
        return json.loads(line)
