"""A text with a blank, as the model reads it, and what comes back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan import ChatGLM
from qingtan.engine.blank import encode_blank
from qingtan.engine.engine import Engine
from qingtan.engine.events import ContextExceeded
from qingtan.glm.tokenizer import GLMTokenizer
from scripted import NextToken, ScriptedRunner
from texts import TEXT

CHARACTERS = sorted(set(TEXT) | set("🙂\t\0 é"))
TEXTS = st.text(st.sampled_from(CHARACTERS), max_size=30) | st.sampled_from(TEXT.splitlines())


def fills(tokenizer: GLMTokenizer, tokens: list[int], end: str) -> NextToken:
    """Put these tokens into a blank, and after them a special token."""
    script = [*tokens, tokenizer.special_id(end)]

    def next_token(seen: list[int]) -> int:
        return script[seen[::-1].index(tokenizer.sop_id)]

    return next_token


def script(tokenizer: GLMTokenizer, next_token: NextToken) -> tuple[ChatGLM, ScriptedRunner]:
    runner = ScriptedRunner(next_token)
    return ChatGLM(Engine(runner, tokenizer)), runner


def pieces(tokenizer: GLMTokenizer, text: str) -> list[tuple[int, ...]]:
    """Return the tokens of a text, those of one character that is written in bytes together."""
    groups: list[tuple[int, ...]] = []
    waiting: tuple[int, ...] = ()
    for token in tokenizer.encode(text):
        waiting = (*waiting, token)
        try:
            b"".join(map(tokenizer.token_bytes, waiting)).decode()
        except UnicodeDecodeError:
            continue
        groups.append(waiting)
        waiting = ()
    assert not waiting
    return groups


def joined(groups: list[tuple[int, ...]]) -> list[int]:
    return [token for group in groups for token in group]


@settings(max_examples=200)
@given(data=st.data(), text=TEXTS)
def test_the_tokens_are_those_of_the_text_with_some_masked(
    tiny_tokenizer: GLMTokenizer, data: st.DataObject, text: str
) -> None:
    """What training cuts out of a text's tokens is what the two halves encode to."""
    groups = pieces(tiny_tokenizer, text)
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(groups))] * 2)))
    before = tiny_tokenizer.decode(joined(groups[:start]))
    if not before:  # then the space that the encoder puts before the text is masked too
        start, end = 0, max(end, 1)
    left, right = groups[:start], groups[end:]
    after = text[len(tiny_tokenizer.decode(joined(groups[:end]))) :]
    got = [*tiny_tokenizer.encode(before), *encode_blank(tiny_tokenizer, after)]
    mask = tiny_tokenizer.special_id("[MASK]")
    assert got == [*joined(left), mask, *joined(right), tiny_tokenizer.sop_id]


def test_a_blank_is_read_with_both_sides_and_filled_up_to_eop(
    tiny_tokenizer: GLMTokenizer,
) -> None:
    whole = tiny_tokenizer.encode("春眠不觉晓，处处闻啼鸟。")
    cut = len(tiny_tokenizer.encode("春眠"))
    fill = tiny_tokenizer.encode("春眠不觉晓")[cut:]
    model, runner = script(tiny_tokenizer, fills(tiny_tokenizer, fill, "eop"))
    with model:
        assert model.generate("春眠", suffix="，处处闻啼鸟。") == "不觉晓"
        [chunk] = runner.steps[0]
        mask, sop = tiny_tokenizer.special_id("[MASK]"), tiny_tokenizer.sop_id
        rest = whole[cut + len(fill) :]
        assert chunk.tokens == [*tiny_tokenizer.prefix, *whole[:cut], mask, *rest, sop]
        assert len(runner.steps) == len(fill) + 1
        assert "".join(model.stream_generate("春眠", suffix="，")) == "不觉晓"


@pytest.mark.parametrize("end", ["eop", "<|user|>"])
def test_whatever_ends_an_answer_ends_what_fills_a_blank(
    tiny_tokenizer: GLMTokenizer, end: str
) -> None:
    model, _ = script(tiny_tokenizer, fills(tiny_tokenizer, tiny_tokenizer.encode("好"), end))
    with model:
        assert model.generate("", suffix="。") == "好"


def test_a_space_inside_a_text_is_kept_and_one_that_begins_it_is_not(
    tiny_tokenizer: GLMTokenizer,
) -> None:
    word = tiny_tokenizer.encode("world")
    assert tiny_tokenizer.token_bytes(word[0]).startswith(b" ")
    model, _ = script(tiny_tokenizer, fills(tiny_tokenizer, word, "eop"))
    with model:
        assert model.generate("Hello", suffix="!") == " world"
        assert model.generate("", suffix="!") == "world"


def test_without_a_suffix_there_is_no_blank(tiny_tokenizer: GLMTokenizer) -> None:
    """And `eop`, which means nothing there, ends nothing."""
    eop = tiny_tokenizer.special_id("eop")
    tokens = [eop, *tiny_tokenizer.encode("好")]
    for suffix in ("", None):
        model, runner = script(tiny_tokenizer, lambda seen: tokens[min(len(seen) - 2, 2)])
        with model:
            assert model.generate("", suffix=suffix, max_tokens=3).strip() == "好"
            assert runner.steps[0][0].tokens == tiny_tokenizer.prefix


def test_a_suffix_takes_its_part_of_the_context(tiny_tokenizer: GLMTokenizer) -> None:
    model, _ = script(tiny_tokenizer, fills(tiny_tokenizer, [], "eop"))
    with model:
        with pytest.raises(ContextExceeded, match=r"prompt has \d+ tokens"):
            model.generate("天", suffix="天气" * 1000)
        with pytest.raises(ContextExceeded, match="at least 62500 tokens"):
            model.generate("天", suffix="天" * 1_000_000)
