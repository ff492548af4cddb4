"""The API as OpenAI's own client meets it."""

import http.client
import json
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from openai import InternalServerError, RateLimitError

from qingtan.glm.tokenizer import GLMTokenizer
from scripted import NextToken, answers, says
from server.conftest import Served

Start = Callable[[NextToken], Served]
HELLO = [{"role": "user", "content": "你好"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]
CALL = '```python\ntool_call(city="北京", days=2)\n```'
POEM = "床前明月光，疑是地上霜。\n举头望明月🌕，低头思故乡。"


def streamed(chunks: object) -> str:
    """Return the text of a chat's stream."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_a_stream_is_the_whole_answer_in_pieces(tiny_server: Served) -> None:
    request = {"model": "tiny", "messages": HELLO, "max_tokens": 60, "seed": 5}
    whole = tiny_server.client.chat.completions.create(**request)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(tiny_server.client.chat.completions.create(**request, **options))
    assert len(chunks) > 5
    assert streamed(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_text_is_continued(tiny_server: Served) -> None:
    request = {"model": "tiny", "prompt": "春眠不觉晓", "max_tokens": 40, "temperature": 0}
    whole = tiny_server.client.completions.create(**request)
    chunks = list(tiny_server.client.completions.create(**request, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert 1 <= whole.usage.completion_tokens <= 40


def test_models_are_listed(tiny_server: Served) -> None:
    assert [model.id for model in tiny_server.client.models.list()] == ["tiny"]
    assert tiny_server.client.models.retrieve("tiny").id == "tiny"


def test_chinese_and_emoji_arrive_whole(
    scripted_server: Start, tiny_tokenizer: GLMTokenizer
) -> None:
    served = scripted_server(answers(tiny_tokenizer, POEM))
    body = {"model": "tiny", "messages": HELLO, "stream": True}
    with httpx.stream("POST", served.url + "v1/chat/completions", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        raw = response.read().decode("utf-8", "strict")
    assert "明月🌕" not in raw.splitlines()[0]
    assert "🌕" in raw  # and not \\ud83c\\udf15
    events = [json.loads(line[6:]) for line in raw.split("\n\n") if line and "[DONE]" not in line]
    pieces = [event["choices"][0]["delta"].get("content", "") for event in events]
    assert "".join(pieces) == POEM
    assert raw.endswith("data: [DONE]\n\n")


def test_stop_strings_are_left_out(scripted_server: Start, tiny_tokenizer: GLMTokenizer) -> None:
    served = scripted_server(answers(tiny_tokenizer, POEM))
    for stop in ("疑是", ["霜", "，疑"], "\n"):
        answer = served.client.chat.completions.create(model="tiny", messages=HELLO, stop=stop)
        first = min(POEM.index(s) for s in ([stop] if isinstance(stop, str) else stop))
        assert answer.choices[0].message.content == POEM[:first]
        assert answer.choices[0].finish_reason == "stop"


def test_tools_are_called_in_openais_form(
    scripted_server: Start, tiny_tokenizer: GLMTokenizer
) -> None:
    served = scripted_server(says(tiny_tokenizer, "get_weather\n", CALL))
    chat = served.client.chat.completions
    answer = chat.create(model="tiny", messages=HELLO, tools=TOOLS)
    [call] = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "北京", "days": 2}

    chunks = list(chat.create(model="tiny", messages=HELLO, tools=TOOLS, stream=True))
    [delta] = [c.choices[0].delta for c in chunks if c.choices[0].delta.tool_calls]
    assert delta.tool_calls[0].function.model_dump() == call.function.model_dump()
    assert streamed(chunks) == ""
    assert chunks[-1].choices[0].finish_reason == "tool_calls"

    # The answer goes back as the client has it, with the tool's result.
    result = {"role": "tool", "tool_call_id": call.id, "content": "晴"}
    asked = [*HELLO, answer.choices[0].message.model_dump(), result]
    again = chat.create(model="tiny", messages=asked, tools=TOOLS, tool_choice="none")
    assert "tool_call" in again.choices[0].message.content


def test_two_conversations_take_turns(scripted_server: Start, tiny_tokenizer: GLMTokenizer) -> None:
    served = scripted_server(answers(tiny_tokenizer, POEM))
    served.runner.gate.clear()
    said: list[str] = []

    def talk() -> None:
        said.append(
            streamed(
                served.client.chat.completions.create(model="tiny", messages=HELLO, stream=True)
            )
        )

    threads = [threading.Thread(target=talk) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: served.model.engine.running + served.model.engine.waiting == 2)
    served.runner.gate.set()
    for thread in threads:
        thread.join(30)
    assert said == [POEM, POEM]
    assert sum(len(step) == 2 for step in served.runner.steps) > 20


@pytest.mark.parametrize("stream", [True, False])
def test_hanging_up_frees_the_slot(
    scripted_server: Start, tiny_tokenizer: GLMTokenizer, stream: bool
) -> None:
    word = tiny_tokenizer.encode("天")[-1]

    def slowly(tokens: list[int]) -> int:
        time.sleep(0.02)  # 400 of them would take 8 seconds
        return word

    served = scripted_server(slowly)
    body = {"model": "tiny", "messages": HELLO, "stream": stream}
    connection = http.client.HTTPConnection(served.url.split("/")[2])
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    wait_until(lambda: served.model.engine.running == 1)
    if stream:
        assert connection.getresponse().readline().startswith(b"data: ")
    connection.close()
    begun = time.monotonic()
    assert served.model.engine.wait_idle(5)
    assert time.monotonic() - begun < 2
    assert served.model.engine.running == 0


def test_a_full_queue_asks_to_come_back(
    scripted_server: Start, tiny_tokenizer: GLMTokenizer
) -> None:
    served = scripted_server(answers(tiny_tokenizer, POEM))
    served.runner.gate.clear()
    create = served.client.chat.completions.create
    # Two slots and one place in the queue.
    streams = [create(model="tiny", messages=HELLO, stream=True) for _ in range(3)]
    with pytest.raises(RateLimitError) as refused:
        create(model="tiny", messages=HELLO)
    assert refused.value.code == "queue_full"
    assert int(refused.value.response.headers["retry-after"]) >= 1
    served.runner.gate.set()
    assert [streamed(stream) for stream in streams] == [POEM] * 3


def test_a_failure_tells_nothing_of_its_insides(
    scripted_server: Start, tiny_tokenizer: GLMTokenizer
) -> None:
    def fail(tokens: list[int]) -> int:
        raise RuntimeError("secret")

    served = scripted_server(fail)
    with pytest.raises(InternalServerError) as failed:
        served.client.chat.completions.create(model="tiny", messages=HELLO)
    assert "secret" not in failed.value.response.text
    assert failed.value.response.json()["error"]["code"] == "internal_error"
    assert "default-src 'self'" in failed.value.response.headers["content-security-policy"]
    raw = served.post(
        "v1/chat/completions", {"model": "tiny", "messages": HELLO, "stream": True}
    ).text
    assert "secret" not in raw
    assert '"code":"internal_error"' in raw
    assert "[DONE]" not in raw


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
