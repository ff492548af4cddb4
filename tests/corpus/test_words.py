"""Words as features: what is cut, what is left out, and that nothing is made up."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qingtan.corpus.words import Segmenter, WordsTable
from qingtan.errors import UserError

DEFAULT = Segmenter(WordsTable())
EVERYTHING = Segmenter(WordsTable(stop_words="none"))
NO_NUMBERS = Segmenter(WordsTable(stop_words="none", keep_numbers=False, min_characters=2))
FUNCTION_WORDS = {"的", "了", "我们", "這個", "在", "和", "the", "of", "it", "is", "and"}
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(sorted(FUNCTION_WORDS)),
        st.sampled_from(["人工智能", "清谈", "C++", "node.js", "3.14", "B超", "GPU", "e-mail"]),
        st.sampled_from([*" ，。.-_%#'\n", "--", "50%", "２０", "😀"]),
        st.text(max_size=5),
    ),
    max_size=12,
).map("".join)


def test_words_are_cut_lower_cased_and_bare_of_punctuation() -> None:
    words = EVERYTHING.words("我们用 C++ 和 Node.js，研究人工智能；--help 占 50%。")
    assert words == ["我们", "用", "c++", "和", "node.js", "研究", "人工智能", "help", "占", "50"]


def test_stop_words_of_both_languages_are_left_out() -> None:
    assert DEFAULT.words("我们的目标是研究人工智能。") == ["目标", "研究", "人工智能"]
    assert DEFAULT.words("It is the Goal of this work.") == ["goal", "work"]
    assert DEFAULT.words("不是很好 not good") == EVERYTHING.words("不是很好 not good")


def test_short_words_and_numbers_are_left_out_on_demand() -> None:
    assert NO_NUMBERS.words("2023年 3.14 x264 猫 北京 ２０") == ["x264", "北京"]


@given(TEXTS)
def test_every_word_stands_in_the_text_in_order(text: str) -> None:
    for segmenter in (DEFAULT, EVERYTHING, NO_NUMBERS):
        lower, place = "".join(c.lower() for c in text), 0
        for word in segmenter.words(text):
            place = lower.index(word, place) + len(word)


@given(TEXTS)
def test_no_stop_word_no_punctuation_and_nothing_too_short(text: str) -> None:
    for word in DEFAULT.words(text):
        assert word not in FUNCTION_WORDS
        assert word[0].isalnum()
        assert not any(c.isspace() for c in word)
    for word in NO_NUMBERS.words(text):
        assert len(word) >= 2
        assert any(c.isalpha() for c in word)


@given(TEXTS)
def test_letters_and_digits_are_all_in_some_word_where_nothing_is_left_out(text: str) -> None:
    words = "".join(c for c in "".join(EVERYTHING.words(text)) if c.isalnum())
    assert words == "".join(c for c in "".join(c.lower() for c in text) if c.isalnum())


def test_half_a_surrogate_pair_parts_words() -> None:
    assert EVERYTHING.words("北京\ud83d上海") == ["北京", "上海"]


def test_a_file_of_stop_words(tmp_path: Path) -> None:
    path = tmp_path / "stop.txt"
    path.write_text("\ufeff# ours\n研究 Goal # both\n", encoding="utf-8")
    words = Segmenter(WordsTable(stop_words=path)).words("研究人工智能 goal of work")
    assert words == ["人工智能", "of", "work"]


def test_a_dictionary_of_ones_own(tmp_path: Path) -> None:
    text = "奇坦平台很好用"
    assert "奇坦平台" not in EVERYTHING.words(text)
    path = tmp_path / "words.txt"
    path.write_text("奇坦平台\n\n好用 1000000 n\n", encoding="utf-8")
    with_dictionary = Segmenter(WordsTable(stop_words="none", dictionary=path))
    assert with_dictionary.words(text) == ["奇坦平台", "很", "好用"]
    assert "奇坦平台" not in EVERYTHING.words(text)  # it is the segmenter's own


def test_bad_files_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.txt"
    for table in (WordsTable(stop_words=missing), WordsTable(dictionary=missing)):
        with pytest.raises(UserError, match=r"missing\.txt"):
            Segmenter(table)
    path = tmp_path / "words.txt"
    path.write_bytes("词".encode("gb18030"))
    with pytest.raises(UserError, match=r"words\.txt: not UTF-8"):
        Segmenter(WordsTable(dictionary=path))
    path.write_text("清谈\n两个 词\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"words\.txt, line 2: after '两个'"):
        Segmenter(WordsTable(dictionary=path))


def test_the_table_is_checked() -> None:
    with pytest.raises(ValidationError):
        WordsTable(min_characters=0)
    assert WordsTable.model_validate({"stop_words": "mine.txt"}).stop_words == Path("mine.txt")
    assert WordsTable.model_validate({"stop_words": "none"}).stop_words == "none"
