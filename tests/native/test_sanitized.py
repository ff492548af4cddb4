"""The native tests: under the sanitizers of addresses and undefined behaviour, and on emulated Arm.

What is built stays in build/, so that the next run compiles only what has changed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Without optimisation the tests would take minutes; -O1 still tells an error's line.
OPTIONS = [
    "-DQINGTAN_MODULE=OFF",
    "-DQINGTAN_TESTS=ON",
    "-DCMAKE_BUILD_TYPE=Debug",
    "-DCMAKE_CXX_FLAGS_DEBUG=-O1",
]
KERNELS = [path.stem for path in (ROOT / "native" / "tests").glob("kernels_*.cpp")]


def need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    reason = f"not installed: {', '.join(missing)}"
    if os.environ.get("QINGTAN_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def run(*command: str | Path, **environment: str) -> str:
    """What the command prints; fails with it where the command does."""
    result = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=900, env=os.environ | environment,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-6000:]
    return result.stdout


def built(folder: Path, *options: str) -> Path:
    """The folder of the tests' programs."""
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run("cmake", "-S", ROOT, "-B", folder, *generator, *OPTIONS, *options)
    run("cmake", "--build", folder)
    return folder / "native"


@pytest.mark.skipif(sys.platform != "linux", reason="looked for on Linux only")
def test_the_sanitizers_find_nothing() -> None:
    need("cmake", "ctest", "c++")
    programs = built(ROOT / "build" / "sanitized", "-DQINGTAN_SANITIZE=address,undefined")
    # An error ends the program: undefined behaviour would otherwise only be reported.
    options = {"UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
    report = run("ctest", "--test-dir", programs, "-V", **options)
    assert report.count("portable done") == len(KERNELS)


@pytest.mark.skipif(sys.platform != "linux", reason="qemu-user is for Linux")
def test_the_kernels_for_arm_pass_in_an_emulator() -> None:
    if shutil.which("aarch64-linux-gnu-g++") is None or shutil.which("qemu-aarch64") is None:
        pytest.skip("g++-aarch64-linux-gnu and qemu-user are not installed")
    need("cmake", "ctest")
    toolchain = ROOT / "native" / "aarch64.cmake"
    programs = built(ROOT / "build" / "aarch64", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}")
    report = run("ctest", "--test-dir", programs, "-R", "^kernels_", "-V")
    assert report.count("neon done") == report.count("portable done") == len(KERNELS)
