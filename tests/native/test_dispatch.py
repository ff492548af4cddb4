import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from qingtan.native import best, tables

NAMES = [table.name for table in tables()]


def best_with(isa: str) -> subprocess.CompletedProcess[str]:
    """Ask another interpreter, which has QINGTAN_ISA from its start."""
    return subprocess.run(
        [sys.executable, "-c", "from qingtan.native import best; print(best().name)"],
        env={**os.environ, "QINGTAN_ISA": isa},
        check=False,
        capture_output=True,
        text=True,
    )


def test_the_portable_table_is_always_there_and_last() -> None:
    assert NAMES[-1] == "portable"
    assert len(set(NAMES)) == len(NAMES)


def test_the_best_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QINGTAN_ISA", raising=False)
    assert best().name == NAMES[0]
    assert best_with("").stdout.strip() == NAMES[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_environment_chooses_one(name: str) -> None:
    assert best_with(name).stdout.strip() == name


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    result = best_with("sse9")
    assert result.returncode != 0
    assert f"QINGTAN_ISA=sse9: this processor and build have {', '.join(NAMES)}" in result.stderr


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86 only")
def test_the_tables_fit_what_linux_says_of_the_processor() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        pytest.skip("Linux only")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    flags = set(next(line for line in lines if line.startswith("flags")).split(":")[1].split())
    avx2 = {"avx2", "fma", "f16c"}
    avx512 = avx2 | {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"}
    assert ("avx2" in NAMES) == (avx2 <= flags)
    assert ("avxvnni" in NAMES) == (avx2 | {"avx_vnni"} <= flags)
    assert ("avx512" in NAMES) == (avx512 <= flags)
