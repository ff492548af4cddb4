"""A side in a process of its own, which does what each line of its input asks.

PYTHONPATH=benchmarks python -m retrieval_peers.worker MODULE SIZE
"""

import contextlib
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from retrieval_peers.side import Side


def main() -> None:
    """Answer each line, a JSON list of a method and its arguments, with a line of JSON."""
    module, size = sys.argv[1:]
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        try:
            side: Side = importlib.import_module(module).open_side(int(size))
        except ModuleNotFoundError as error:
            print(json.dumps({"missing": error.name}), file=answers, flush=True)
            return
        print(json.dumps({"missing": None}), file=answers, flush=True)
        for line in sys.stdin:
            name, *arguments = json.loads(line)
            answer = _METHODS[name](side, *arguments)
            print(json.dumps(answer), file=answers, flush=True)


def index(side: Side, documents: str, chunks: str) -> float:
    """Return the seconds that indexing takes."""
    begun = time.perf_counter()
    side.index(Path(documents), Path(chunks))
    return time.perf_counter() - begun


def find(side: Side, questions: list[str], limit: int) -> list[list[Any]]:
    """Return for each question the documents found and the seconds."""
    found = []
    for question in questions:
        begun = time.perf_counter()
        names = side.find(question, limit)
        found.append([names, time.perf_counter() - begun])
    return found


def memory(side: Side) -> int:
    """Return the most memory that this process has held, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


_METHODS = {"index": index, "find": find, "memory": memory}

if __name__ == "__main__":
    main()
