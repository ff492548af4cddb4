"""Adapters through the Python face of a model, and through the command."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters import ADAPTERS, save_adapters
from qingtan import ChatGLM
from qingtan.errors import UserError
from test_cli import qingtan

GREEDY = {"temperature": 0, "max_tokens": 16}


@pytest.fixture(scope="module")
def folders(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_adapters(tiny_checkpoint, tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path, folders: dict[str, Path]) -> Iterator[ChatGLM]:
    with ChatGLM.from_pretrained(tiny_checkpoint, adapters=folders) as model:
        yield model


def with_one(checkpoint: Path, folder: Path, ask: Callable[[ChatGLM, str], str]) -> str:
    """Return what a model says that has this adapter only."""
    with ChatGLM.from_pretrained(checkpoint, adapters={"only": str(folder)}) as model:
        return ask(model, "only")


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_way_to_ask_takes_the_adapter(
    model: ChatGLM, name: str, tiny_checkpoint: Path, folders: dict[str, Path]
) -> None:
    def chat(model: ChatGLM, adapter: str | None) -> str:
        return model.chat("你好", adapter=adapter, **GREEDY)

    def generate(model: ChatGLM, adapter: str | None) -> str:
        return model.generate("春眠", adapter=adapter, **GREEDY)

    for ask in (chat, generate):
        assert ask(model, name) == with_one(tiny_checkpoint, folders[name], ask)
        assert ask(model, name) != ask(model, None)
    streamed = model.stream_chat("你好", adapter=name, **GREEDY)
    assert "".join(streamed) == chat(model, name)
    streamed = model.stream_generate("春眠", adapter=name, **GREEDY)
    assert "".join(streamed) == generate(model, name)
    assert model.reply("你好", adapter=name, **GREEDY).content == chat(model, name)


def test_without_an_adapter_the_base_answers(model: ChatGLM, tiny_checkpoint: Path) -> None:
    with ChatGLM.from_pretrained(tiny_checkpoint) as base:
        assert model.chat("你好", **GREEDY) == base.chat("你好", **GREEDY)
        with pytest.raises(UserError, match=r"'law'.*without adapters"):
            base.chat("你好", adapter="law")
    with pytest.raises(UserError, match=r"'none'.*'law', 'poems-1.5', 'prefix'"):
        model.generate("你好", adapter="none")


def test_the_command_takes_an_adapter_and_a_blank(
    model: ChatGLM, tiny_checkpoint: Path, folders: dict[str, Path]
) -> None:
    options = ("--model", str(tiny_checkpoint), "--temperature", "0", "--max-tokens", "16")
    law, prefix = (("--adapter", str(folders[name])) for name in ("law", "prefix"))
    filled = qingtan("generate", "春眠", "--suffix", "晓", *options, *law)
    assert filled.returncode == 0, filled.stderr
    assert filled.stdout == model.generate("春眠", suffix="晓", adapter="law", **GREEDY) + "\n"
    said = qingtan("chat", *options, *prefix, given="你好\n")
    assert said.stdout == model.chat("你好", adapter="prefix", **GREEDY) + "\n"


@pytest.mark.parametrize(
    ("given", "message"), [(["law"], "NAME=FOLDER"), (["a=x", "a=y"], "two named a")]
)
def test_adapters_to_serve_have_names_of_their_own(given: list[str], message: str) -> None:
    run = qingtan("serve", "--port", "0", *(f"--adapter={adapter}" for adapter in given))
    assert run.returncode == 2
    assert message in run.stderr
