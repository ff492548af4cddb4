"""Logprobs: the tokens that are told spell the text, and the numbers are the model's."""

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.engine.answer import Answer, PlainText, Progress, listener
from qingtan.engine.events import Delta, Finished, OnEvent, TokenLogprob, Usage
from qingtan.engine.text import TextStream
from qingtan.glm.checkpoint import load_model
from qingtan.glm.conversation import ReplyStream
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.server.answers import ChatForm, TextForm, Tokens
from scripted import NextToken, answers, says
from server.conftest import Served
from server.test_api import CALL, HELLO, POEM, TOOLS

Start = Callable[[NextToken], Served]
PROMPT = "春眠不觉晓"


def spelt(entries: list[Any]) -> str:
    """Return what a chat's tokens spell."""
    return bytes(byte for entry in entries for byte in entry.bytes or ()).decode()


def test_the_numbers_are_the_models(
    tiny_server: Served, tiny_tokenizer: GLMTokenizer, tiny_checkpoint: Path
) -> None:
    answer = tiny_server.client.completions.create(
        model="tiny", prompt=PROMPT, max_tokens=8, temperature=0, logprobs=3
    )
    told = answer.choices[0].logprobs
    ids = [*tiny_tokenizer.prefix, *tiny_tokenizer.encode(PROMPT)]
    model = load_model(tiny_checkpoint).eval()
    for logprob, top in zip(told.token_logprobs, told.top_logprobs, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1, : tiny_tokenizer.vocab_size]
        likeliest = torch.log_softmax(logits.double(), dim=-1).topk(3)
        assert list(top.values()) == pytest.approx(likeliest.values.tolist(), abs=1e-3)
        assert logprob == next(iter(top.values()))  # it was drawn at temperature 0
        ids.append(int(likeliest.indices[0]))
    assert len(told.tokens) == len(ids) - len(tiny_tokenizer.encode(PROMPT)) - 2 > 0


def test_a_chats_tokens_spell_its_content(tiny_server: Served) -> None:
    request = {"model": "tiny", "messages": HELLO, "max_tokens": 40, "seed": 3, "temperature": 1.2}
    create = tiny_server.client.chat.completions.create
    whole = create(**request, logprobs=True, top_logprobs=3).choices[0]
    entries = whole.logprobs.content
    assert bytes(b for e in entries for b in e.bytes or ()).decode("utf-8", "replace") == (
        whole.message.content
    )
    assert all(len(entry.top_logprobs) == 3 for entry in entries)
    assert all(entry.logprob <= 0 for entry in entries)
    chunks = list(create(**request, logprobs=True, top_logprobs=3, stream=True))
    pieces = [c.choices[0].logprobs.content for c in chunks if c.choices[0].logprobs]
    assert [entry for piece in pieces for entry in piece] == entries


def test_the_formats_own_tokens_are_left_out(
    scripted_server: Start, tiny_tokenizer: GLMTokenizer
) -> None:
    served = scripted_server(answers(tiny_tokenizer, POEM))
    create = served.client.chat.completions.create
    content = create(model="tiny", messages=HELLO, logprobs=True).choices[0].logprobs.content
    assert spelt(content) == POEM
    assert [entry.logprob for entry in content] == [0.0] * len(content)
    # A character that is cut across tokens is written as its bytes.
    moon = [entry.token for entry in content if len(entry.token) == 4 and entry.token[0] == "\\"]
    assert moon == [f"\\x{byte:02x}" for byte in "🌕".encode()]
    # A stop string cuts its tokens.
    cut = create(model="tiny", messages=HELLO, logprobs=True, stop="疑是地上").choices[0]
    assert spelt(cut.logprobs.content) == cut.message.content == "床前明月光，"


def test_calls_have_no_tokens_to_show(scripted_server: Start, tiny_tokenizer: GLMTokenizer) -> None:
    served = scripted_server(says(tiny_tokenizer, "get_weather\n", CALL))
    create = served.client.chat.completions.create
    request = {"model": "tiny", "messages": HELLO, "tools": TOOLS, "logprobs": True}
    assert create(**request).choices[0].logprobs.content == []
    for chunk in create(**request, stream=True):
        assert not chunk.choices[0].logprobs or chunk.choices[0].logprobs.content == []


def test_special_tokens_are_named(scripted_server: Start, tiny_tokenizer: GLMTokenizer) -> None:
    served = scripted_server(answers(tiny_tokenizer, "天"))
    answer = served.client.chat.completions.create(
        model="tiny", messages=HELLO, logprobs=True, top_logprobs=20
    )
    [entry] = answer.choices[0].logprobs.content
    assert entry.top_logprobs[0].model_dump() == entry.model_dump(exclude={"top_logprobs"})
    # The other tokens are all as unlikely, so those of the lowest ids come first.
    others = {top.token: top.bytes for top in entry.top_logprobs[1:]}
    controls = [tiny_tokenizer.token_name(i) for i in range(3)]
    assert [others[name] for name in controls] == [None] * 3
    assert all(top.logprob == -200 for top in entry.top_logprobs[1:])


def test_offsets_are_of_the_text(scripted_server: Start, tiny_tokenizer: GLMTokenizer) -> None:
    script = tiny_tokenizer.encode("春眠 不觉晓")
    prefix = len(tiny_tokenizer.prefix)
    served = scripted_server(lambda tokens: script[len(tokens) - prefix])
    answer = served.client.completions.create(
        model="tiny", prompt="", max_tokens=len(script), logprobs=0
    )
    told, text = answer.choices[0].logprobs, answer.choices[0].text
    assert "".join(told.tokens) == text == "春眠 不觉晓"
    ends = list(accumulate(map(len, told.tokens)))
    assert told.text_offset == [0, *ends[:-1]]
    assert [list(top) for top in told.top_logprobs] == [[token] for token in told.tokens]


def stream(
    tokenizer: GLMTokenizer, ids: list[int], before: int, stop: list[str], splitter: Any
) -> list[Progress]:
    """Return what a listener hears of these tokens, one after the other."""
    told: list[Progress] = []
    on_event: OnEvent = listener(splitter, told.append)
    text = TextStream(tokenizer, [before], stop, isinstance(splitter, PlainText))
    for token in ids:
        on_event(Delta(text.feed(token), (token,), (TokenLogprob(token, -1.0),)))
        if text.stopped:
            break
    rest = text.finish()
    if rest:
        on_event(Delta(rest))
    on_event(Finished("stop", Usage(1, len(ids))))
    return told


TEXTS = st.text(st.sampled_from("春眠 \n\u3000🌕。a<b"), max_size=12)


@settings(max_examples=150)
@given(st.lists(TEXTS, max_size=4), st.lists(TEXTS.filter(bool), max_size=2), st.booleans())
def test_the_bytes_are_the_text_however_it_is_cut(
    tiny_tokenizer: GLMTokenizer, texts: list[str], stop: list[str], is_chat: bool
) -> None:
    ids = [token for text in texts for token in tiny_tokenizer.encode(text)]
    if is_chat:
        before = tiny_tokenizer.special_id("<|assistant|>")
        told = stream(tiny_tokenizer, ids, before, stop, ReplyStream(expect_calls=False))
        make: Any = lambda: ChatForm("tiny", Tokens(tiny_tokenizer, 1))  # noqa: E731
    else:
        told = stream(tiny_tokenizer, ids, tiny_tokenizer.sop_id, stop, PlainText())
        start = lambda text: text.removeprefix(" ")  # noqa: E731
        make = lambda: TextForm("tiny", Tokens(tiny_tokenizer, 1, start))  # noqa: E731
    end = told[-1]
    assert isinstance(end, Answer)
    whole, form = make().whole([end])["choices"][0]["logprobs"], make()
    deltas = [each for each in told if isinstance(each, Delta)]
    chunks = [chunk for each in deltas for chunk in form.piece(0, each)] + form.closing(0, end)
    pieces = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    if is_chat:
        streamed = [entry for piece in pieces for entry in piece["content"]]
        assert streamed == whole["content"]
        assert bytes(b for e in streamed for b in e["bytes"]).decode() == end.reply.content
    else:
        assert [o for piece in pieces for o in piece["text_offset"]] == whole["text_offset"]
        assert [t for piece in pieces for t in piece["tokens"]] == whole["tokens"]
        written = "".join(whole["tokens"]).replace("\\xf0\\x9f\\x8c\\x95", "🌕")
        assert written.replace("\\xe3\\x80\\x80", "\u3000") == end.reply.content
