"""Several choices of one request, whole and streamed, and for whom they are computed."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from openai import InternalServerError

from qingtan.chat import ChatGLM
from qingtan.engine.engine import Engine
from qingtan.glm.tokenizer import GLMTokenizer
from scripted import NextToken, ScriptedRunner, answers
from server.conftest import Served, serve
from server.test_api import HELLO, POEM, wait_until

Start = Callable[[NextToken], Served]
CHAT = {"model": "tiny", "messages": HELLO, "max_tokens": 24}
TEXT = {"model": "tiny", "prompt": "春眠不觉晓", "max_tokens": 24}


def texts_of(chunks: Sequence[Any]) -> dict[int, str]:
    """Return each choice's text in a chat's stream."""
    said: dict[int, str] = {}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        said[choice.index] = said.get(choice.index, "") + (choice.delta.content or "")
    return said


def test_each_choice_has_its_own_seed(tiny_server: Served) -> None:
    create = tiny_server.client.chat.completions.create
    several = create(**CHAT, n=3, seed=7, temperature=1.5, top_p=1)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    alone = [create(**CHAT, seed=7 + i, temperature=1.5, top_p=1).choices[0] for i in range(3)]
    said = [choice.message.content for choice in several.choices]
    assert said == [choice.message.content for choice in alone]
    assert len(set(said)) == 3
    ends = [choice.finish_reason for choice in several.choices]
    assert ends == [choice.finish_reason for choice in alone]


def test_choices_of_a_stream_interleave(tiny_server: Served) -> None:
    create = tiny_server.client.chat.completions.create
    request = CHAT | {"n": 3, "seed": 7, "temperature": 1.5}
    whole = create(**request)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(create(**request, **options))
    assert texts_of(chunks) == {choice.index: choice.message.content for choice in whole.choices}
    told = [chunk.choices[0].index for chunk in chunks[:-1]]
    changes = sum(a != b for a, b in pairwise(told))
    assert changes > 5  # and not one choice after the other
    ends = {
        chunk.choices[0].index: chunk.choices[0].finish_reason
        for chunk in chunks[:-1]
        if chunk.choices[0].finish_reason
    }
    assert ends == {choice.index: choice.finish_reason for choice in whole.choices}
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_texts_have_choices_too(tiny_server: Served) -> None:
    create = tiny_server.client.completions.create
    request = TEXT | {"n": 16, "seed": 1, "temperature": 1.5}
    whole = create(**request)
    assert [choice.index for choice in whole.choices] == list(range(16))
    said = dict.fromkeys(range(16), "")
    for chunk in create(**request, stream=True):
        said[chunk.choices[0].index] += chunk.choices[0].text
    assert said == {choice.index: choice.text for choice in whole.choices}


def test_the_prompt_counts_once(scripted_server: Start, tiny_tokenizer: GLMTokenizer) -> None:
    served = scripted_server(answers(tiny_tokenizer, POEM))
    one = served.client.chat.completions.create(model="tiny", messages=HELLO)
    four = served.client.chat.completions.create(model="tiny", messages=HELLO, n=4)
    assert [choice.message.content for choice in four.choices] == [POEM] * 4
    assert four.usage.prompt_tokens == one.usage.prompt_tokens
    assert four.usage.completion_tokens == 4 * one.usage.completion_tokens
    assert four.usage.total_tokens == four.usage.prompt_tokens + four.usage.completion_tokens
    # What the cache held of the prompt: nothing at first, then its whole blocks of 4 tokens.
    assert one.usage.prompt_tokens_details.cached_tokens == 0
    cached = four.usage.prompt_tokens_details.cached_tokens
    assert cached == (four.usage.prompt_tokens - 1) // 4 * 4 > 0


@pytest.mark.parametrize("stream", [True, False])
def test_hanging_up_ends_all_choices(
    scripted_server: Start, tiny_tokenizer: GLMTokenizer, stream: bool
) -> None:
    word = tiny_tokenizer.encode("天")[-1]

    def slowly(tokens: list[int]) -> int:
        time.sleep(0.005)  # 3 times 400 of them would take 6 seconds
        return word

    served = scripted_server(slowly)
    body = {"model": "tiny", "messages": HELLO, "stream": stream, "n": 3}
    connection = http.client.HTTPConnection(served.url.split("/")[2])
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    engine = served.model.engine
    wait_until(lambda: (engine.running, engine.waiting) == (2, 1))
    if stream:
        assert connection.getresponse().readline().startswith(b"data: ")
    connection.close()
    begun = time.monotonic()
    assert engine.wait_idle(5)
    assert time.monotonic() - begun < 2


def test_a_failure_of_the_prompt_fails_all(scripted_server: Start) -> None:
    def fail(tokens: list[int]) -> int:
        raise RuntimeError("secret")

    served = scripted_server(fail)
    with pytest.raises(InternalServerError) as failed:
        served.client.chat.completions.create(model="tiny", messages=HELLO, n=3)
    assert failed.value.response.json()["error"]["code"] == "internal_error"
    assert served.model.engine.wait_idle(5)


def test_a_bias_decides(tiny_server: Served, tiny_tokenizer: GLMTokenizer) -> None:
    token = tiny_tokenizer.encode("天")[-1]
    request = TEXT | {"max_tokens": 4, "seed": 1}
    create = tiny_server.client.completions.create
    assert create(**request, logit_bias={str(token): 100}).choices[0].text == "天天天天"
    assert "天" not in create(**request, logit_bias={str(token): -100}).choices[0].text


def test_min_p_leaves_the_likeliest(tiny_server: Served) -> None:
    create = tiny_server.client.completions.create
    likeliest = create(**TEXT, temperature=0).choices[0].text
    filtered = create(**TEXT, temperature=2, top_p=1, seed=3, extra_body={"min_p": 1.0})
    assert filtered.choices[0].text == likeliest
    assert create(**TEXT, temperature=2, top_p=1, seed=3).choices[0].text != likeliest


def test_users_and_priorities_order_the_queue(tiny_tokenizer: GLMTokenizer) -> None:
    runner = ScriptedRunner(answers(tiny_tokenizer, "好"))
    runner.gate.clear()
    model = ChatGLM(Engine(runner, tiny_tokenizer, max_running=1))
    asked = [("春", "anna", 0), ("眠", "anna", 0), ("晓", "boris", 0), ("鸟", "anna", -1)]
    with serve(model) as served:

        def ask(content: str, user: str, priority: int) -> None:
            if content == "眠":  # a vector is work as any other
                served.client.embeddings.create(model="tiny", input=content, user=user)
                return
            served.client.chat.completions.create(
                model="tiny",
                messages=[{"role": "user", "content": content}],
                user=user,
                extra_body={"priority": priority},
            )

        threads = [threading.Thread(target=ask, args=each) for each in asked]
        for i, thread in enumerate(threads):
            thread.start()
            wait_until(lambda i=i: model.engine.running + model.engine.waiting == i + 1)
        runner.gate.set()
        for thread in threads:
            thread.join(30)
    # The first was alone; then the lower priority, and then who had been served less.
    tokens = {tiny_tokenizer.encode(content)[-1]: content for content, _, _ in asked}
    computed = [token for step in runner.steps for chunk in step for token in chunk.tokens]
    # Some come twice: once they were said, they are guessed to follow again.
    assert "".join(dict.fromkeys(tokens.get(token, "") for token in computed)) == "春鸟晓眠"
