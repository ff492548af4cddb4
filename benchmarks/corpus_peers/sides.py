"""The sides that are compared: each is a command that reads a sample and leaves its result."""

import json
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

import qingtan
from corpus_peers.sample import read_lines

Task = Literal["build", "duplicates"]
PEERS = Path(__file__).parent
# Adding up the pages of large processes takes a while, and takes it from them.
SAMPLING_SECONDS = 0.5
RECIPE = """
output = "corpus"
tokenizer = "{tokenizer}"
root = "{root}"
[[source]]
name = "sample"
kind = "text"
path = "sample.jsonl.zst"
"""
# Nothing but duplicates is dropped, and the documents are written.
ONLY_DUPLICATES = """
[languages]
kinds = []
[quality]
kinds = []
[documents]
format = "jsonl.zst"
"""


@dataclass(frozen=True)
class Result:
    """What a side did.

    Attributes:
        steps: seconds of "clean", "duplicates" and "encode", as far as the side has them.
        seconds: of the whole command.
        peak: bytes of memory at most, of all its processes.
        documents: how many are left.
        tokens: how many were written; None where none are.
    """

    steps: dict[str, float]
    seconds: float
    peak: int
    documents: int
    tokens: int | None


class Side(ABC):
    """A tool, given a sample of text."""

    name: str

    @abstractmethod
    def command(self, task: Task, sample: Path, work: Path, workers: int) -> list[str]:
        """Return the command that does the whole task, or only drops duplicates."""

    @abstractmethod
    def read(self, work: Path) -> tuple[dict[str, float], int, int | None]:
        """Return the seconds of each step, and how many documents and tokens are left."""

    @abstractmethod
    def kept(self, work: Path) -> list[int]:
        """Return the ids of the documents left, after a run that only drops duplicates."""

    def run(self, task: Task, sample: Path, work: Path, workers: int) -> Result:
        """Run the task in a new folder.

        Raises:
            RuntimeError: the command failed; the message ends with what it said.
        """
        work.mkdir()
        command = self.command(task, sample, work, workers)
        seconds, peak = measure(command, work)
        steps, documents, tokens = self.read(work)
        return Result(steps, seconds, peak, documents, tokens)


class Qingtan(Side):
    """`qingtan corpus build` with the settings that it has by itself."""

    name = "qingtan"

    def __init__(self, tokenizer: Path) -> None:
        self.tokenizer = tokenizer

    def command(self, task: Task, sample: Path, work: Path, workers: int) -> list[str]:
        recipe = RECIPE.format(tokenizer=self.tokenizer.resolve(), root=sample)
        if task == "duplicates":
            recipe += ONLY_DUPLICATES
        (work / "recipe.toml").write_text(recipe, encoding="utf-8")
        # The package that is imported here, whatever the folder that the command runs in.
        where = f"PYTHONPATH={Path(qingtan.__file__).parents[1]}"
        build = ["env", where, sys.executable, "-m", "qingtan", "corpus", "build", "recipe.toml"]
        return [*build, "--force", "--workers", str(workers)]

    def read(self, work: Path) -> tuple[dict[str, float], int, int | None]:
        steps = json.loads((work / "corpus/timings.json").read_text())
        first = {name: steps.pop(name) for name in ("clean", "duplicates")}
        sources = json.loads((work / "corpus/report.json").read_text())["sources"]
        # The steps are in order: what is left after the last is what the corpus holds.
        documents = sum(list(source["after"].values())[-1]["documents"] for source in sources)
        tokens = sum(source["tokens"] for source in sources)
        return {**first, "encode": sum(steps.values())}, documents, tokens

    def kept(self, work: Path) -> list[int]:
        paths = (work / "corpus/documents").glob("*.jsonl.zst")
        return [int(orjson.loads(line)["id"]) for path in paths for line in read_lines(path)]


class Peer(Side):
    """Another tool, by a script beside this file and an interpreter that has the tool."""

    def __init__(self, name: str, python: str, script: str) -> None:
        self.name = name
        self.python = python
        self.script = PEERS / script

    def command(self, task: Task, sample: Path, work: Path, workers: int) -> list[str]:
        script = [self.python, str(self.script), task, str(sample), str(work)]
        return [*script, "--workers", str(workers)]

    def read(self, work: Path) -> tuple[dict[str, float], int, int | None]:
        result: dict[str, Any] = json.loads((work / "result.json").read_text())
        return result["seconds"], result["documents"], result["tokens"]

    def kept(self, work: Path) -> list[int]:
        return [int(line) for line in (work / "kept.txt").read_text().split()]


def measure(command: list[str], work: Path) -> tuple[float, int]:
    """Run a command in a folder; return its seconds, and its processes' peak of memory in bytes."""
    peak = 0
    start = time.perf_counter()
    with (work / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=work, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            while process.returncode is None:
                peak = max(peak, session_memory(process.pid))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=SAMPLING_SECONDS)
            seconds = time.perf_counter() - start
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
    if process.returncode:
        said = (work / "log.txt").read_text(errors="replace")[-4000:]
        raise RuntimeError(f"{' '.join(command)} failed:\n{said}")
    return seconds, peak


def session_memory(session: int) -> int:
    """Return the memory of all processes of a session, in bytes.

    What processes share counts once (PSS in Linux's smaps_rollup): the sum of their resident
    sizes would count it for each.
    """
    kilobytes = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The sixth field; the second, a name in brackets, may hold spaces.
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                lines = (folder / "smaps_rollup").read_text().splitlines()
                kilobytes += next(int(line.split()[1]) for line in lines if line[:4] == "Pss:")
        except (OSError, StopIteration):
            continue  # it has just ended
    return kilobytes * 1024
