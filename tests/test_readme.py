"""The READMEs' commands and code run as they stand, and both say the same."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.tokenizer import load_tokenizer
from serving import serve

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.zh-CN.md")
# What stands in the README for the folder that a user has downloaded, and for the address.
CHATGLM3 = "path/to/chatglm3-6b"
ADDRESS = "http://127.0.0.1:8000"


def blocks(readme: str, language: str) -> list[str]:
    text = (ROOT / readme).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(readme: str) -> list[str]:
    return [line for block in blocks(readme, "bash") for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with serve("qingtan") as address:
        yield address


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A folder with what the commands read, and a model in ChatGLM3's own layout."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    model, tokenizer = load_model(tiny_checkpoint), load_tokenizer(tiny_checkpoint)
    save_model(model, tokenizer, folder / CHATGLM3, layout="chatglm")
    return folder


def test_both_readmes_have_the_same_commands_and_code() -> None:
    first, second = READMES
    assert commands(first) == commands(second)
    assert blocks(first, "python") == blocks(second, "python")


@pytest.mark.parametrize("code", blocks(READMES[0], "python"))
def test_python(code: str, clone: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=clone, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_commands(clone: Path, served: str) -> None:
    """In their order, since later ones read what earlier ones wrote."""
    for command in commands(READMES[0]):
        if command.startswith("make "):
            assert_target_exists(command)
        elif command.startswith("qingtan serve"):
            assert_serves(command, clone)
        else:
            done = run(command.replace(ADDRESS + "/", served), clone)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            assert done.stdout.strip(), command
            assert '"error"' not in done.stdout, done.stdout


def test_what_needs_more_than_serving_stands_behind_what_brings_it() -> None:
    every = commands(READMES[0])
    needs = re.compile("qingtan (corpus|train|evaluate|distill|licence)|--calibrate|torchrun")
    assert every.index("make tools") < min(i for i, each in enumerate(every) if needs.search(each))


def test_files_that_are_linked_exist() -> None:
    for readme in READMES:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / readme).read_text("utf-8")):
            assert (ROOT / link).exists(), f"{readme}: {link}"


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        input="你好\n",  # for the command that asks what to talk about
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_target_exists(command: str) -> None:
    done = subprocess.run(["make", "-n", *command.split()[1:]], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr


def assert_serves(command: str, folder: Path) -> None:
    options = command.removeprefix("qingtan serve").split()
    model = options.pop(options.index("--model") + 1)
    options.remove("--model")
    with serve(folder / model, *options) as address:
        assert address.startswith("http://127.0.0.1:")
