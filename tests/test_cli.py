"""The command, as a user runs it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "qingtan"]
ENVIRONMENT = os.environ | {"QINGTAN_LANG": "en", "COLUMNS": "100"}


def qingtan(
    *arguments: str, given: str | bytes = "", language: str = "en"
) -> subprocess.CompletedProcess[str]:
    run = subprocess.run(
        [*COMMAND, *arguments],
        input=given if isinstance(given, bytes) else given.encode(),
        capture_output=True,
        timeout=60,
        env=ENVIRONMENT | {"QINGTAN_LANG": language},
    )
    out, err = run.stdout.decode(), run.stderr.decode()
    return subprocess.CompletedProcess(run.args, run.returncode, out, err)


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `qingtan serve` on a free port; yield the process and the address that it prints."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stdout.read()
        yield process, found[0]
    finally:
        process.kill()
        process.wait()


def test_the_help_comes_at_once_and_lists_the_commands() -> None:
    begun = time.monotonic()
    run = qingtan("--help")
    # Half a second on an idle machine; the tests may run on a busy one.
    assert time.monotonic() - begun < 3
    assert run.returncode == 0
    for name in ("serve", "chat", "generate", "corpus", "licence", "train"):
        assert name in run.stdout
    assert "Talk to a model" in qingtan("chat", "--help").stdout


def test_starting_imports_nothing_heavy() -> None:
    code = "import sys, qingtan.cli; print({'torch', 'fastapi', 'numpy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_a_text_is_continued(tiny_checkpoint: Path) -> None:
    run = qingtan(
        "generate", "春眠", "--model", str(tiny_checkpoint), "--max-tokens", "20", "--seed", "1"
    )
    assert run.returncode == 0, run.stderr
    assert len(run.stdout) > 10


def test_lines_from_a_pipe_are_answered(tiny_checkpoint: Path) -> None:
    arguments = ("chat", "--model", str(tiny_checkpoint), "--temperature", "0", "--max-tokens", "9")
    one = qingtan(*arguments, given="你好\n")
    assert one.returncode == 0, one.stderr
    assert one.stdout.strip()
    assert "You:" not in one.stdout
    # A cleared conversation begins as a new one does, another question goes on with it, bytes
    # that are no text do no harm, and nothing is answered after /exit.
    given = "你好\n\n/clear\n你好\n".encode() + b"\xff\xfe\n/exit\n/clear\n"
    several = qingtan(*arguments, given=given)
    assert several.returncode == 0, several.stderr
    assert several.stdout.startswith(one.stdout * 2)
    rest = several.stdout.removeprefix(one.stdout * 2)
    assert rest.strip()
    assert rest != one.stdout


@pytest.mark.parametrize(("language", "prefix"), [("en", "Error: "), ("zh", "错误：")])
def test_what_the_user_got_wrong_is_said_without_a_traceback(language: str, prefix: str) -> None:
    run = qingtan("chat", "--model", "no-such-model", language=language)
    assert run.returncode == 2
    assert run.stderr.startswith(prefix)
    assert "no-such-model" in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_recipes_are_found_wanting(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    for command in (("corpus", "build"), ("train",)):
        assert "no such recipe" in qingtan(*command, str(recipe) + "x").stderr
        recipe.write_text("nonsense = 1", encoding="utf-8")
        run = qingtan(*command, str(recipe), "output=x")
        assert run.returncode == 2
        assert "nonsense" in run.stderr


def test_a_build_is_stopped_and_goes_on(tmp_path: Path) -> None:
    with (tmp_path / "long.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(
            f'{{"text": "{i}：{"今天我们在公园散步。" * 100}"}}\n' for i in range(20_000)
        )
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'output = "{tmp_path}/corpus"\ntokenizer = "models/qingtan/tokenizer.model"\n'
        "[quality]\nkinds = []\n[near_duplicates]\nkinds = []\n"
        f'[[source]]\nname = "long"\npath = "{tmp_path}/long.jsonl"\n'
    )
    command = [*COMMAND, "corpus", "build", str(recipe), "--workers", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A group of its own, for Ctrl-C reaches all processes of a terminal.
    with subprocess.Popen(command, env=ENVIRONMENT, start_new_session=True, **pipes) as build:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".corpus.partial/cleaned/*.json")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(build.pid, signal.SIGINT)
        said, complaints = build.communicate(timeout=30)
    assert build.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in complaints
    assert not (tmp_path / "corpus").exists()
    assert "20,000 documents" in qingtan("corpus", "build", str(recipe)).stdout


def test_licences_are_checked_and_listed(tmp_path: Path) -> None:
    allowed = qingtan("licence", "check", "models/qingtan", "--use", "commercial")
    assert allowed.returncode == 0
    assert "The code, Qingtan" in allowed.stdout
    credits = qingtan("licence", "check", "models/qingtan", "--attribution")
    assert "JackeyGao" in credits.stdout
    (tmp_path / "provenance.json").write_text(
        '{"sources": [{"name": "news", "licence": "CC-BY-NC-4.0"}], "steps": []}'
    )
    for use, status in (("commercial", 1), ("research", 0)):
        run = qingtan("licence", "check", str(tmp_path), "--use", use)
        assert run.returncode == status
        assert "news" in run.stdout
        assert "CC-BY-NC-4.0" in run.stdout
    output = tmp_path / "bom.json"
    qingtan("licence", "report", str(tmp_path), "--output", str(output))
    printed = qingtan("licence", "report", str(tmp_path)).stdout
    assert json.loads(output.read_text(encoding="utf-8")) == json.loads(printed)
    assert json.loads(printed)["bomFormat"] == "CycloneDX"
    missing = qingtan("licence", "check", str(tmp_path / "none"))
    assert missing.returncode == 2
    assert "none" in missing.stderr


def test_a_server_answers_and_ends_at_once(tiny_checkpoint: Path) -> None:
    with serving("--model", str(tiny_checkpoint)) as (process, url):
        with urllib.request.urlopen(url + "v1/models", timeout=10) as response:
            assert json.load(response)["data"][0]["id"] == "tiny"
        # One conversation is running, and one connection idles.
        body = {"model": "tiny", "messages": [{"role": "user", "content": "你好"}], "stream": True}
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(
            url + "v1/chat/completions", json.dumps(body).encode(), headers
        )
        with (
            socket.create_connection(("127.0.0.1", int(url.split(":")[2].strip("/")))),
            urllib.request.urlopen(request, timeout=10) as stream,
        ):
            assert stream.readline().startswith(b"data: ")
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            assert time.monotonic() - begun < 5
        assert process.stdout is not None
        assert process.stdout.read() == "Ended.\n"


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = qingtan("serve", "--port", str(taken.getsockname()[1]))
    assert run.returncode == 2
    assert "--port" in run.stderr
