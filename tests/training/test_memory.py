"""What is freed is kept: measured by what a process of its own holds."""

import subprocess
import sys

import pytest

MEASURE = """
import os, torch
from pathlib import Path
from qingtan.training.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
tensors = [torch.ones(1 << 18) for _ in range(200)]
before = held()
del tensors
print(before - held())
"""


def given_back(keep: bool) -> int:
    command = [sys.executable, "-c", MEASURE.format(keep=keep)]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is Linux's")
def test_what_is_freed_is_not_given_back_to_the_kernel() -> None:
    # 200 tensors of 1 MiB.
    assert given_back(keep=False) > 150 << 20
    assert given_back(keep=True) < 20 << 20
