"""The tokenizer: what goes in comes out, piece by piece too, and no text is a special token."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.glm.tokenizer import SPECIAL_TOKENS, GLMTokenizer, StreamDecoder, train_tokenizer

from .samples import GOLDEN, needs_golden

# Any text, with much of what goes wrong: spaces, line ends, control characters, emoji of several
# code points, special tokens, byte pieces' names.
TEXTS = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.sampled_from(
            [
                *(" ", "   ", "\n", "\r\n", "\t", "\x00", "\x7f", "\ufeff", "\u3000", "e\u0301"),
                *("👨‍👩‍👧", "<0x41>", "<s>", "</s>", "<unk>", "明月", "def add(", *SPECIAL_TOKENS),
            ]
        ),
    ),
    max_size=8,
).map("".join)
quick = settings(max_examples=80)


def check_round_trip(tokenizer: GLMTokenizer, text: str) -> None:
    # SentencePiece writes a space as U+2581, so it cannot tell the two apart.
    assert tokenizer.decode(tokenizer.encode(text)) == text.replace("\u2581", " ")


@quick
@given(text=TEXTS)
@example("")
@example("\u2581a \u2581")
@example("  two before, two after  ")
def test_any_text_comes_back(tiny_tokenizer: GLMTokenizer, text: str) -> None:
    check_round_trip(tiny_tokenizer, text)


@needs_golden
@quick
@given(text=TEXTS)
def test_any_text_comes_back_from_chatglm3s_vocabulary(chatglm3: GLMTokenizer, text: str) -> None:
    check_round_trip(chatglm3, text)


@pytest.fixture(scope="module")
def chatglm3() -> GLMTokenizer:
    return GLMTokenizer.from_file(GOLDEN / "chatglm3_tokenizer.model")


@quick
@given(text=TEXTS)
def test_no_text_becomes_a_special_token(tiny_tokenizer: GLMTokenizer, text: str) -> None:
    first_special = tiny_tokenizer.special_id(SPECIAL_TOKENS[0])
    controls = {tiny_tokenizer.pad_id, tiny_tokenizer.bos_id, tiny_tokenizer.eos_id}
    ids = tiny_tokenizer.encode(text)
    assert all(token < first_special and token not in controls for token in ids)


@quick
@given(texts=st.lists(TEXTS, max_size=5))
def test_a_batch_is_encoded_as_its_texts_are(
    tiny_tokenizer: GLMTokenizer, texts: list[str]
) -> None:
    assert tiny_tokenizer.encode_batch(texts) == [tiny_tokenizer.encode(text) for text in texts]


def test_half_a_surrogate_pair_becomes_a_question_mark(tiny_tokenizer: GLMTokenizer) -> None:
    ids = tiny_tokenizer.encode("明\ud800月")
    assert tiny_tokenizer.decode(ids) == "明?月"
    assert tiny_tokenizer.encode_batch(["明\ud800月"]) == [ids]


# Two tokens of three are bytes, so that characters are cut and broken.
IDS = st.lists(st.one_of(st.integers(3, 258), st.integers(3, 258), st.integers(-2, 520)))


@quick
@given(ids=IDS)
@example([373, 373])
def test_pieces_join_to_the_decoded_text(tiny_tokenizer: GLMTokenizer, ids: list[int]) -> None:
    stream = StreamDecoder(tiny_tokenizer)
    pieces = [stream.feed(token) for token in ids]
    assert "".join(pieces) + stream.finish() == tiny_tokenizer.decode(ids)


@quick
@given(text=TEXTS)
def test_pieces_show_no_broken_character(tiny_tokenizer: GLMTokenizer, text: str) -> None:
    stream = StreamDecoder(tiny_tokenizer)
    shown = ""
    for token in tiny_tokenizer.encode(text):
        shown += stream.feed(token)
        assert text.replace("\u2581", " ").startswith(shown)
    assert stream.finish() == ""


def test_bytes_are_decoded_as_utf8(tiny_tokenizer: GLMTokenizer) -> None:
    def of_bytes(data: bytes) -> list[int]:
        return [3 + byte for byte in data]  # after the three controls

    assert tiny_tokenizer.decode(of_bytes("鸟".encode())) == "鸟"
    broken = of_bytes("鸟".encode()[:2] + b"a\xff")
    assert tiny_tokenizer.decode(broken) == "\ufffda\ufffd"
    special = tiny_tokenizer.special_id("<|user|>")
    assert tiny_tokenizer.decode([1, special, *of_bytes(b"a"), 2, 10_000, -1]) == "a"


def test_tokens_have_names(tiny_tokenizer: GLMTokenizer) -> None:
    names = {0: "<unk>", 1: "<s>", 2: "</s>", 3: "<0x00>", 258: "<0xFF>"}
    assert {token: tiny_tokenizer.token_name(token) for token in names} == names
    for token in SPECIAL_TOKENS:
        assert tiny_tokenizer.token_name(tiny_tokenizer.special_id(token)) == token
    assert tiny_tokenizer.token_name(tiny_tokenizer.vocab_size) == "<padding 509>"
    with pytest.raises(KeyError):
        tiny_tokenizer.special_id("明")


def test_training_gives_chatglms_kind_of_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tokenizer.model"
    texts = ["2024年12月31日，电话 10086 10086。明月光，明月夜。"] * 50
    train_tokenizer(texts, 283, path, threads=1)
    tokenizer = GLMTokenizer.from_file(path)
    assert tokenizer.vocab_size == 283 + len(SPECIAL_TOKENS)
    assert tokenizer.prefix == [284, 286]
    names = [tokenizer.token_name(token) for token in range(283)]
    assert names[3:259] == [f"<0x{byte:02X}>" for byte in range(256)]
    assert not [n for n in names[259:] if len(n) > 1 and any(c.isdigit() for c in n)]
    digits = [tokenizer.token_name(token) for token in tokenizer.encode("10086")]
    assert digits == ["▁", "1", "0", "0", "8", "6"]
    # What it never saw stands as its bytes.
    unseen = [tokenizer.token_name(token) for token in tokenizer.encode("鸟")]
    assert unseen == ["▁", "<0xE9>", "<0xB8>", "<0x9F>"]
    # The same texts give the same file, and a file that was loaded is saved as it was.
    train_tokenizer(texts, 283, tmp_path / "b", threads=1)
    assert path.read_bytes() == (tmp_path / "b").read_bytes()
    tokenizer.save(tmp_path)
    assert (tmp_path / "tokenizer.model").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("vocab_size", [5, 100_000])
def test_training_that_fails_leaves_nothing(tmp_path: Path, vocab_size: int) -> None:
    with pytest.raises(UserError, match=r"new\.model: the tokenizer could not be trained"):
        train_tokenizer(["明月光"], vocab_size, tmp_path / "new.model", threads=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0, 1, 1000, -1])
def test_a_damaged_file_is_named(tiny_tokenizer: GLMTokenizer, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(tiny_tokenizer.model[:keep])
    with pytest.raises(UserError, match=r"tokenizer\.model: not a SentencePiece model"):
        GLMTokenizer.from_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such tokenizer file"):
        GLMTokenizer.from_file(tmp_path / "nowhere")
    with pytest.raises(UserError, match="not a SentencePiece model"):
        GLMTokenizer.from_file(tmp_path)
