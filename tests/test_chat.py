import gc
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qingtan import ChatGLM
from qingtan.engine.engine import Engine
from qingtan.engine.events import ContextExceeded, EngineClosed
from qingtan.errors import UserError
from qingtan.glm.conversation import ToolCall
from qingtan.glm.tokenizer import GLMTokenizer
from scripted import NextToken, ScriptedRunner, answers, says

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]
CALL = '```python\ntool_call(city="北京", days=2)\n```'


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Iterator[ChatGLM]:
    with ChatGLM.from_pretrained(tiny_checkpoint) as model:
        yield model


def script(tokenizer: GLMTokenizer, next_token: NextToken) -> ChatGLM:
    return ChatGLM(Engine(ScriptedRunner(next_token), tokenizer))


def test_pieces_make_the_answer(model: ChatGLM) -> None:
    pieces = list(model.stream_chat("你好", seed=3, max_tokens=60))
    assert len(pieces) > 1
    assert "".join(pieces) == model.chat("你好", seed=3, max_tokens=60)
    assert model.chat("你好", seed=4, max_tokens=60) != "".join(pieces)
    text = "".join(model.stream_generate("春眠", seed=3, max_tokens=60))
    assert text == model.generate("春眠", seed=3, max_tokens=60)


def test_a_question_is_a_conversation_of_one_message(model: ChatGLM) -> None:
    options = {"temperature": 0, "max_tokens": 20}
    messages = [{"role": "user", "content": "你好"}]
    assert model.chat("你好", **options) == model.chat(messages, **options)
    longer = [{"role": "system", "content": "你是清谈。"}, *messages]
    assert model.chat("你好", **options) != model.chat(longer, **options)


def test_chinese_and_emoji_come_whole(tiny_tokenizer: GLMTokenizer) -> None:
    said = "你好🙂！\n\n  退一步海阔天空🎉"
    with script(tiny_tokenizer, answers(tiny_tokenizer, said)) as model:
        pieces = list(model.stream_chat("你好"))
    assert "".join(pieces) == said
    assert {"🙂", "🎉", "退"} <= {piece.strip() for piece in pieces}


def test_stop_strings_end_the_content_only(tiny_tokenizer: GLMTokenizer) -> None:
    with script(tiny_tokenizer, answers(tiny_tokenizer, "第一行\n第二行")) as model:
        assert model.chat("你好", stop="\n") == "第一行"
        assert model.chat("你好", stop=["二", "x"]) == "第一行\n第"


def test_a_call_of_a_tool_is_no_text(tiny_tokenizer: GLMTokenizer) -> None:
    with script(tiny_tokenizer, says(tiny_tokenizer, "get_weather\n", CALL)) as model:
        reply = model.reply("北京天气", tools=TOOLS)
        assert reply.tool_calls == (ToolCall("get_weather", {"city": "北京", "days": 2}),)
        assert reply.content == model.chat("北京天气", tools=TOOLS) == ""
        assert list(model.stream_chat("北京天气", tools=TOOLS)) == []


def test_text_goes_on_with_its_space(tiny_tokenizer: GLMTokenizer) -> None:
    [space, *_] = tiny_tokenizer.encode(" a")
    letter = tiny_tokenizer.encode("a")[-1]

    def next_token(tokens: list[int]) -> int:
        return tiny_tokenizer.eos_id if tokens[-1] == space else space

    with script(tiny_tokenizer, next_token) as model:
        assert model.generate("a").startswith(" ")
        assert tokens_of(model, "a")[-1] == letter


def tokens_of(model: ChatGLM, prompt: str) -> list[int]:
    runner = model.engine.runner
    assert isinstance(runner, ScriptedRunner)
    runner.steps.clear()
    model.generate(prompt)
    return runner.steps[0][0].tokens


def test_leaving_a_stream_frees_the_engine(model: ChatGLM) -> None:
    pieces = model.stream_chat("你好", seed=3, temperature=0.9)
    next(pieces)
    assert model.engine.running == 1
    pieces.close()
    assert model.engine.wait_idle(10)


def test_many_threads_talk_at_once(model: ChatGLM) -> None:
    said: dict[int, str] = {}

    def talk(seed: int) -> None:
        said[seed] = model.chat("你好", seed=seed, max_tokens=30)

    threads = [threading.Thread(target=talk, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(said) == 12
    assert said[5] == model.chat("你好", seed=5, max_tokens=30)


def test_defaults_come_from_the_checkpoint(model: ChatGLM, tiny_checkpoint: Path) -> None:
    assert (model.defaults.temperature, model.defaults.top_p) == (0.8, 0.8)
    assert model.sampling(temperature=0.1, top_p=None).temperature == 0.1
    path = tiny_checkpoint / "generation_config.json"
    kept = path.read_text(encoding="utf-8")
    try:
        path.write_text(json.dumps({"temperature": 0.3, "top_p": 0.5}), encoding="utf-8")
        with ChatGLM.from_pretrained(tiny_checkpoint) as other:
            assert (other.defaults.temperature, other.defaults.top_p) == (0.3, 0.5)
        path.write_text('{"top_p": "much"}', encoding="utf-8")
        with pytest.raises(UserError, match="generation_config"):
            ChatGLM.from_pretrained(tiny_checkpoint)
    finally:
        path.write_text(kept, encoding="utf-8")


def test_what_cannot_be_used_is_said(model: ChatGLM, tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="temperature"):
        model.chat("你好", temperature=3)
    with pytest.raises(UserError, match=r"messages\[0\].role"):
        model.chat([{"role": "robot", "content": "x"}])
    with pytest.raises(ContextExceeded, match=r"prompt has \d+ tokens"):
        model.chat("天气" * 1000)
    with pytest.raises(ContextExceeded, match="at least 62500 tokens"):
        model.generate("天" * 1_000_000)
    with pytest.raises(UserError, match="no-such-model"):
        ChatGLM.from_pretrained("no-such-model")
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        ChatGLM.from_pretrained(tmp_path)
    for engine in ("native", "torch"):
        with pytest.raises(UserError, match="int3"):
            ChatGLM.from_pretrained(tiny_checkpoint, engine=engine, dtype="int3")


def test_closing_and_forgetting_end_the_engine(tiny_tokenizer: GLMTokenizer) -> None:
    closed = script(tiny_tokenizer, answers(tiny_tokenizer, "你好"))
    closed.close()
    closed.close()
    with pytest.raises(EngineClosed):
        closed.chat("你好")
    forgotten = script(tiny_tokenizer, answers(tiny_tokenizer, "你好"))
    assert forgotten.chat("你好") == "你好"
    engine = forgotten.engine
    del forgotten
    gc.collect()
    assert engine.closed


def test_importing_needs_no_torch() -> None:
    code = (
        "import sys, qingtan, qingtan.chat, qingtan.server.app, qingtan.cli\n"
        "from qingtan import ChatGLM\n"
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
