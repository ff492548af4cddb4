"""`qingtan serve` as its user runs it: a process of its own, on a free port."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serve(model: str | Path, *options: str) -> Iterator[str]:
    """Yield the address of a server once it says that it answers, and stop it at the end."""
    command = [sys.executable, "-m", "qingtan", "serve", "--model", str(model), "--port", "0"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = ""
            while not (found := re.search(r"http://[^\s/]+/", said)):
                line = process.stdout.readline()
                assert line, f"the server ended before it was ready: {said}"
                said += line
            yield found[0]
        finally:
            process.terminate()
            process.wait(30)
