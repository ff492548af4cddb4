import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qingtan.native import Pool, usable_processors

NATIVE = Path(__file__).parents[2] / "native"


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("parts", [0, 1, 2, 50])
def test_every_part_runs_once(threads: int, parts: int) -> None:
    pool = Pool(threads)
    seen: list[tuple[int, int]] = []
    for _ in range(5):
        seen.clear()
        pool.run(parts, lambda part, thread: seen.append((part, thread)))
        assert sorted(part for part, _ in seen) == list(range(parts))
        assert {thread for _, thread in seen} <= set(range(threads))
    assert pool.threads == threads


def test_parts_run_at_the_same_time() -> None:
    """Both parts wait for each other: one thread alone would never end."""
    both = threading.Barrier(2, timeout=20)
    Pool(2).run(2, lambda part, thread: both.wait())


def test_the_first_error_comes_out_and_the_pool_goes_on() -> None:
    pool = Pool(2)
    ran: list[int] = []

    def fail(part: int, thread: int) -> None:
        ran.append(part)
        raise KeyError(part)

    with pytest.raises(KeyError):
        pool.run(1000, fail)
    assert len(ran) <= pool.threads
    ran.clear()
    pool.run(4, lambda part, thread: ran.append(part))
    assert sorted(ran) == [0, 1, 2, 3]


def test_a_call_from_within_a_part_is_refused() -> None:
    pool = Pool(2)
    with pytest.raises(RuntimeError, match="within a part"):
        pool.run(2, lambda part, thread: pool.run(1, print))


@pytest.mark.parametrize(
    ("threads", "spin", "message"),
    [
        (0, 30, "threads must be at least 1"),
        (-1, 30, "threads must be at least 1"),
        (1, -1, "spin_microseconds not negative"),
    ],
)
def test_impossible_pools_are_refused(threads: int, spin: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pool(threads, spin_microseconds=spin)


def test_a_negative_number_of_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="parts: must lie"):
        Pool(1).run(-1, print)


def test_idle_threads_sleep() -> None:
    pool = Pool(4)
    pool.run(4, lambda part, thread: None)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1
    assert pool.threads == 4


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_processors_are_those_of_this_process_and_pinning_leaves_the_caller_alone() -> None:
    allowed = os.sched_getaffinity(0)
    assert usable_processors() == len(allowed)
    both = threading.Barrier(2, timeout=20)
    seen: dict[int, set[int]] = {}

    def look(part: int, thread: int) -> None:
        seen[thread] = os.sched_getaffinity(0)
        both.wait()

    Pool(2, pin=True).run(2, look)
    assert seen[0] == allowed
    assert len(seen[1]) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="looked for on Linux only")
def test_the_thread_sanitizer_finds_nothing(tmp_path: Path) -> None:
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        pytest.skip("no C++ compiler")
    empty = tmp_path / "empty.cpp"
    empty.write_text("int main() {}\n", encoding="utf-8")
    flags = ["-std=c++20", "-O1", "-g", "-fsanitize=thread", "-pthread", "-I", str(NATIVE)]
    program = tmp_path / "program"
    if subprocess.run([compiler, *flags, empty, "-o", program], check=False).returncode != 0:
        pytest.skip("the compiler has no -fsanitize=thread")
    sources = [NATIVE / "pool.cpp", NATIVE / "tests" / "pool.cpp"]
    subprocess.run([compiler, *flags, *sources, "-o", program], check=True, timeout=120)
    result = subprocess.run([program], check=False, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout) == (0, "ok\n"), result.stderr
