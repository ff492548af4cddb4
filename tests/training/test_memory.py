"""What is freed is kept: measured as page faults, in a process of its own."""

import subprocess
import sys

import pytest

MEASURE = """
import resource, torch
from qingtan.training.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
torch.set_num_threads(1)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
halves = torch.zeros(512, 16_064, dtype=torch.bfloat16)
halves.float()
before = faults()
for _ in range(8):
    halves.float()
print(faults() - before)
"""


def faults(keep: bool) -> int:
    command = [sys.executable, "-c", MEASURE.format(keep=keep)]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is Linux's")
def test_what_is_freed_is_not_given_back_to_the_kernel() -> None:
    # 8 times 33 MB are 64,256 pages of 4 kB, or 126 where the kernel takes large ones.
    assert faults(keep=True) < 20
    assert faults(keep=False) > 100
