"""`qingtan evaluate`, as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ENVIRONMENT = os.environ | {"COLUMNS": "100", "OMP_NUM_THREADS": "1"}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "qingtan", "evaluate", *map(str, arguments)]


def run(*arguments: str | Path, language: str = "en") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        env=ENVIRONMENT | {"QINGTAN_LANG": language, "PYTHONIOENCODING": "utf-8"},
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    with (folder / "translation.jsonl").open("w", encoding="utf-8") as file:
        for i in range(10):
            item = {"id": f"t{i}", "task": "translate", "source": "own"}
            texts = {"en": f"Hello {i}", "zh": f"你好{i}"}
            file.write(json.dumps({**item, **texts}, ensure_ascii=False) + "\n")
    return folder


def test_stopped_it_goes_on(data: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    options = ("--data", data, "--tasks", "to-english, to-chinese", "--slots", "2")
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    answers = stopped / "answers" / "to-chinese.jsonl"
    with subprocess.Popen(
        command(tiny_checkpoint, *options, "--output", stopped),
        env=ENVIRONMENT | {"QINGTAN_LANG": "en"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        deadline = time.monotonic() + 300
        while not (answers.exists() and answers.read_bytes().count(b"\n") >= 1):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in complaints
    assert not (stopped / "results.json").exists()
    begun = answers.read_bytes()
    assert begun.count(b"\n") < 10

    again = run(tiny_checkpoint, *options, "--output", stopped)
    assert again.returncode == 0, again.stderr
    assert answers.read_bytes().startswith(begun)
    assert "Task 2 of 2, to-english: 10 of 10 items" in again.stderr
    chinese = run(tiny_checkpoint, *options, "--output", whole, language="zh")
    assert chinese.returncode == 0, chinese.stderr
    assert "任务 2/2" in chinese.stderr
    assert "评测已写入" in chinese.stdout

    tasks = [json.loads((f / "results.json").read_bytes())["tasks"] for f in (stopped, whole)]
    assert tasks[0] == tasks[1]
    rows = {line.split()[0]: line for line in again.stdout.splitlines()}
    for task in tasks[0]:
        headline = task["figures"][0]
        assert f"{headline['model']['value']:.2f}" in rows[task["name"]]
        assert f"{headline['baseline']['value']:.2f}" in rows[task["name"]]
        assert headline["english"] in rows[task["name"]]
    assert str(stopped / "report.html") in again.stdout


def test_mistakes_are_said(data: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    unknown = run(tiny_checkpoint, "--data", data, "--tasks", "riddles", "--output", tmp_path / "x")
    assert unknown.returncode == 2
    assert "riddles" in unknown.stderr
    assert "to-english" in unknown.stderr
    missing = run("no-such-model", "--data", data)
    assert missing.returncode == 2
    assert "no-such-model" in missing.stderr
    assert not (tmp_path / "x").exists()
