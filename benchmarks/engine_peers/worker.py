"""A side in a process of its own: opens a model, then does what each line of its input asks.

PYTHONPATH=benchmarks python -m engine_peers.worker MODULE FOLDER PRECISION THREADS

Neither this nor `side` needs more than Python has, so that a side runs in its own environment.
"""

import contextlib
import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    """Answer each line, a JSON list of a method and its arguments, with a line of JSON."""
    module, folder, precision, threads = sys.argv[1:]
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        opened = importlib.import_module(module).open_side
        side = opened(Path(folder), precision, int(threads))
        print("true", file=answers, flush=True)
        for line in sys.stdin:
            name, arguments = json.loads(line)
            answer = peak_memory() if name == "peak_memory" else getattr(side, name)(*arguments)
            print(json.dumps(answer), file=answers, flush=True)


def peak_memory() -> int:
    """Return the most memory that this process has held, mapped files included, in bytes.

    Not `getrusage`, whose peak a process takes over from the one that started it.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
