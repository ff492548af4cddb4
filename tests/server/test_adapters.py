"""Adapters and blanks as OpenAI's own client meets them."""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openai import NotFoundError

from adapters import ADAPTERS, save_adapters
from qingtan.chat import ChatGLM
from qingtan.engine.engine import Engine
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.server.app import create_app
from scripted import NextToken, ScriptedRunner
from server.conftest import Served, serve
from test_cli import serving

HELLO = [{"role": "user", "content": "你好"}]
MODELS = ["tiny", *ADAPTERS]
OPTIONS = {"temperature": 0, "max_tokens": 16}


@pytest.fixture(scope="module")
def folders(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_adapters(tiny_checkpoint, tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def served(tiny_checkpoint: Path, folders: dict[str, Path]) -> Iterator[Served]:
    with serve(ChatGLM.from_pretrained(tiny_checkpoint, adapters=folders)) as served:
        yield served


def test_each_adapter_is_a_model_of_its_own(served: Served) -> None:
    models = served.client.models
    assert [model.id for model in models.list()] == MODELS
    assert [model.to_dict().get("parent") for model in models.list()] == [None, *["tiny"] * 3]
    assert models.retrieve("poems-1.5").id == "poems-1.5"


def test_models_answer_side_by_side_as_they_do_alone(served: Served) -> None:
    said: dict[int, object] = {}

    def ask(i: int) -> None:
        model = MODELS[i % len(MODELS)]
        if i < len(MODELS):
            request = {"model": model, "messages": HELLO, **OPTIONS}
            said[i] = served.client.chat.completions.create(**request)
        else:
            request = {"model": model, "prompt": "春眠", **OPTIONS}
            said[i] = served.client.completions.create(**request)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(2 * len(MODELS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for i, name in enumerate(MODELS):
        adapter = None if name == "tiny" else name
        chat, text = said[i], said[i + len(MODELS)]
        assert chat.model == text.model == name
        assert chat.choices[0].message.content == served.model.chat(
            "你好", adapter=adapter, **OPTIONS
        )
        assert text.choices[0].text == served.model.generate("春眠", adapter=adapter, **OPTIONS)


def test_a_stream_names_its_adapter(served: Served) -> None:
    request = {"model": "law", "messages": HELLO, **OPTIONS}
    chunks = list(served.client.chat.completions.create(**request, stream=True))
    assert {chunk.model for chunk in chunks} == {"law"}
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == served.model.chat("你好", adapter="law", **OPTIONS)


def test_an_unknown_model_is_told_what_there_is(served: Served) -> None:
    for ask in (
        lambda: served.client.chat.completions.create(model="lore", messages=HELLO),
        lambda: served.client.completions.create(model="lore", prompt="春眠"),
        lambda: served.client.models.retrieve("lore"),
    ):
        with pytest.raises(NotFoundError, match=r"'lore'.*'tiny', 'law'") as raised:
            ask()
        assert raised.value.code == "model_not_found"
        assert raised.value.param == "model"


def test_an_adapter_with_the_models_name_is_refused(tiny_tokenizer: GLMTokenizer) -> None:
    engine = Engine(ScriptedRunner(lambda tokens: 5, adapters=("tiny",)), tiny_tokenizer)
    with ChatGLM(engine) as model, pytest.raises(UserError, match="both named 'tiny'"):
        create_app(model, "tiny")


def test_the_command_serves_adapters(tiny_checkpoint: Path, folders: dict[str, Path]) -> None:
    given = [f"--adapter={name}={folders[name]}" for name in ("law", "prefix")]
    with (
        serving("--model", str(tiny_checkpoint), *given) as (_, url),
        urllib.request.urlopen(url + "v1/models", timeout=10) as response,
    ):
        listed = [card["id"] for card in json.load(response)["data"]]
    assert listed == ["tiny", "law", "prefix"]


def test_a_blank_is_filled(
    scripted_server: Callable[[NextToken], Served], tiny_tokenizer: GLMTokenizer
) -> None:
    fill = [*tiny_tokenizer.encode("好")[-1:], tiny_tokenizer.special_id("eop")]

    def next_token(seen: list[int]) -> int:
        return fill[seen[::-1].index(tiny_tokenizer.sop_id)]

    served = scripted_server(next_token)
    request = {"model": "tiny", "prompt": "天气很", "suffix": "。"}
    answer = served.client.completions.create(**request)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("好", "stop")
    [chunk] = served.runner.steps[0]
    assert tiny_tokenizer.special_id("[MASK]") in chunk.tokens
    assert answer.usage.prompt_tokens == len(chunk.tokens)
    chunks = served.client.completions.create(**request, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "好"
    wrong = served.post("v1/completions", request | {"suffix": ["。"]})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "suffix"
