import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.engine.text import TextStream
from qingtan.glm.tokenizer import GLMTokenizer

# Few letters, so that stop strings are met and nearly met often; some take several tokens each.
LETTERS = "ab你🙂é \n"


def stream(tokens: list[int], text: TextStream) -> list[str]:
    """Feed tokens until a stop string is met; return the pieces."""
    pieces = []
    for token in tokens:
        pieces.append(text.feed(token))
        if text.stopped:
            return pieces
    return [*pieces, text.finish()]


@settings(max_examples=300)
@given(
    written=st.text(LETTERS, max_size=30),
    stop=st.lists(st.text(LETTERS, min_size=1, max_size=4), max_size=3),
)
def test_pieces_make_the_text_up_to_the_first_stop(
    tiny_tokenizer: GLMTokenizer, written: str, stop: list[str]
) -> None:
    tokens = tiny_tokenizer.encode(written)
    text = TextStream(tiny_tokenizer, tiny_tokenizer.prefix, stop)
    whole = tiny_tokenizer.decode(tokens)
    # The first stop string that is complete, however the tokens cut the text.
    ends = [(whole.index(s) + len(s), whole.index(s)) for s in stop if s in whole]
    pieces = stream(tokens, text)
    end, start = min(ends, default=(len(whole), len(whole)))
    starts = {at for after, at in ends if after == end} or {start}
    assert len("".join(pieces)) in starts
    assert whole.startswith("".join(pieces))
    assert text.stopped == bool(ends)
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_beginning_of_a_stop_string_waits(tiny_tokenizer: GLMTokenizer) -> None:
    text = TextStream(tiny_tokenizer, tiny_tokenizer.prefix, ["月光"])
    pieces = stream(tiny_tokenizer.encode("明月明月光明"), text)
    assert "".join(pieces) == "明月明"
    assert text.stopped


def test_stop_strings_may_not_count_at_the_start(tiny_tokenizer: GLMTokenizer) -> None:
    tokens = [*tiny_tokenizer.encode("\n"), *tiny_tokenizer.encode("你好\n再见")]
    chat = TextStream(tiny_tokenizer, tiny_tokenizer.prefix, ["\n"], stop_at_start=False)
    assert "".join(stream(tokens, chat)).strip() == "你好"
    plain = TextStream(tiny_tokenizer, tiny_tokenizer.prefix, ["\n"])
    assert "".join(stream(tokens, plain)).strip() == ""


@pytest.mark.parametrize(("prompt", "expected"), [("", "world"), ("Hello", " world")])
def test_a_space_stays_where_it_joins_two_words(
    tiny_tokenizer: GLMTokenizer, prompt: str, expected: str
) -> None:
    before = [*tiny_tokenizer.prefix, *tiny_tokenizer.encode(prompt)]
    text = TextStream(tiny_tokenizer, before)
    assert "".join(stream(tiny_tokenizer.encode("world"), text)) == expected


def test_a_broken_character_is_shown_as_such(tiny_tokenizer: GLMTokenizer) -> None:
    text = TextStream(tiny_tokenizer, tiny_tokenizer.prefix)
    assert "".join(stream(tiny_tokenizer.encode("🙂")[:-1], text)) == "\ufffd"
