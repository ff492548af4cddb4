"""Serving, talking and converting need neither torch nor any package that serve.lock leaves out."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "serve.lock"
# Runs a command of `qingtan` as if only the packages of a lock file were installed.
ALONE = """
import re, sys
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path

lock = Path(sys.argv.pop(1)).read_text()
locked = {"qingtan", "pip", "setuptools", *re.findall(r"^([a-z0-9.-]+)==", lock, re.M)}
names = {
    module: {re.sub(r"[-_.]+", "-", name).lower() for name in distributions}
    for module, distributions in packages_distributions().items()
}
absent = {module for module, distributions in names.items() if not distributions & locked}
assert "torch" in absent and "orjson" in absent and "numpy" not in absent

class Locked(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Locked
from qingtan.cli import main
sys.argv[0] = "qingtan"
main()
"""
OPENED = """
import sys
from qingtan import ChatGLM
from qingtan.server.app import create_app

with ChatGLM.from_pretrained("qingtan", threads=1) as model:
    create_app(model, "qingtan")
    print(len(model.chat("你好", max_tokens=5)), "torch" in sys.modules)
"""


def alone(*arguments: str | Path, asked: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ALONE, LOCK, *arguments]
    return subprocess.run(command, input=asked, capture_output=True, text=True, timeout=120)


def test_opening_a_model_loads_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", OPENED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    length, loaded = done.stdout.split()
    assert int(length) > 0
    assert loaded == "False"


def test_commands_that_talk_run_on_the_packages_of_the_lock(tmp_path: Path) -> None:
    done = alone("chat", "--seed", "1", "--max-tokens", "20", asked="你好\n")
    assert done.stdout.strip(), done.stderr
    folder = tmp_path / "bf16"
    done = alone("convert", "qingtan", folder, "--to", "bf16")
    assert done.returncode == 0, done.stderr
    done = alone("generate", "春天来了，", "--max-tokens", "10", "--seed", "1", "--model", folder)
    assert done.stdout.strip(), done.stderr


def test_the_server_answers_on_the_packages_of_the_lock() -> None:
    command = [sys.executable, "-c", ALONE, LOCK, "serve", "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            found = re.search(r"http://[^\s/]+/", process.stdout.readline())
            assert found
            assert urllib.request.urlopen(f"{found[0]}healthz", timeout=30).status == 200
            question = {"model": "qingtan", "messages": [{"role": "user", "content": "你好"}]}
            request = urllib.request.Request(
                f"{found[0]}v1/chat/completions",
                json.dumps(question | {"max_tokens": 20}).encode(),
                {"Content-Type": "application/json"},
            )
            answer = json.load(urllib.request.urlopen(request, timeout=60))
            assert answer["choices"][0]["message"]["content"]
        finally:
            process.terminate()
            process.wait(30)


def test_the_torch_engine_says_what_it_needs() -> None:
    done = alone("chat", "--engine", "torch")
    assert done.returncode == 2
    assert "needs torch" in done.stderr
