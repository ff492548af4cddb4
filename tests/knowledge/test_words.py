"""Words: what a query's words are found in."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.knowledge.words import STOP_WORDS, Segmenter, fold, segmenter

PLAIN = segmenter()


def finds(query: str, text: str, cut: Segmenter = PLAIN) -> bool:
    """Whether any term is in the index, as a full-text search decides it."""
    indexed = f" {cut.index(text)} "
    terms = cut.terms(query)
    sought = [*terms.words, *(" ".join(phrase) for phrase in terms.phrases)]
    return any(f" {term} " in indexed for term in sought)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("客服", "人工客服在线"),
        ("客服", "请联系客服务必留言"),  # 客|服务|必 is another cut of it
        ("北京", "北京大学的食堂"),
        ("税", "所得税率"),
        ("靐齉", "一个靐齉的名字"),
        ("怎么", "怎么退货"),
        ("A-100", "网关 a100 的价格"),
        ("a100", "网关 A-100 的价格"),
        ("Ａ－１００", "网关A-100的价格"),
        ("V2.3.1", "升级到v2.3.1版"),
        ("V2.3", "升级到V2.3.1版"),
        ("1000元", "最多1,000元"),
        ("3.14", "π≈3.14"),
        ("C++", "用c++编写"),
        ("iPhone 15", "适用于iPhone15"),
        ("Straße", "STRASSE"),
        ("é", "CAFÉ É"),
        ("客户服务", "ＫＦ客户服务中心"),
        ("ひらがな", "これはひらがなです"),
    ],
)
def test_words_are_found_as_people_type_them(query: str, text: str) -> None:
    assert finds(query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("客服", "客人都服了"),
        ("靐齉", "靐与齉"),
        ("靐齉", "靐a齉"),
        ("A-100", "A 级，共 10 件"),
        ("C++", "维生素C"),
        ("3.14", "314 号"),
        ("客服在吗", "他在家吗"),
    ],
)
def test_other_words_are_not_found(query: str, text: str) -> None:
    assert not finds(query, text)


def test_own_words_are_kept_whole_and_their_parts_are_found_too() -> None:
    own = Segmenter(["云杉纱", "T恤", "云 A-100"])
    assert "云杉纱" in own.terms("云杉纱的价格").words
    assert "云杉纱" not in PLAIN.terms("云杉纱的价格").words
    assert finds("云杉", "买了云杉纱", own)
    assert "t恤" in own.index("纯棉Ｔ恤").split()
    assert "t恤" in own.terms("T恤多少钱").words
    assert "云a-100" in own.terms("云A-100保修吗").words
    assert finds("云 A-100", "关于云a-100网关", own)


def test_own_words_of_letters_are_no_parts_of_others() -> None:
    own = Segmenter(["pump station", "AI", "X 光"])
    assert "pumpstation" in own.index("The Pump  Station.").split()
    assert "pumpstation" not in own.index("the pump stations").split()
    assert "ai" in own.index("用AI写作").split()
    assert "ai" not in own.index("e-mail").split()
    assert "x光" in own.index("拍X光片").split()
    assert "x光" not in own.index("拍MAX光片").split()


def test_one_dictionary_does_not_know_the_words_of_another() -> None:
    Segmenter(["清谈云"])
    assert "清谈云" not in Segmenter(["别的词"]).index("清谈云").split()


def test_stop_words_are_left_out_unless_nothing_else_is_left() -> None:
    assert PLAIN.terms("请问怎么退货的呢？").words == ("退货",)
    assert PLAIN.terms("什么").words == ("什么",)
    assert PLAIN.terms("的").phrases == ("的",)
    assert not PLAIN.terms(" ?!，。")


def test_a_pasted_page_becomes_a_few_terms() -> None:
    words = " ".join(f"code{number}" for number in range(5000))
    assert len(PLAIN.terms(words).words) == 64


def test_places_are_those_of_the_text_as_it_was() -> None:
    text = "请联系ＫＦ客服：Ａ－１００ 或 ﬁ 之后的客服务必"
    marked = [text[first:last] for first, last in PLAIN.places(text, "客服 A100")]
    assert marked == ["客服", "Ａ－１００", "客服"]
    own, text = Segmenter(["T恤"]), "白T恤与Ｔ恤，恤衫"
    assert [text[first:last] for first, last in own.places(text, "t恤")] == ["T恤", "Ｔ恤"]


@given(st.text())
def test_any_text_can_be_indexed_and_asked_for(text: str) -> None:
    indexed = PLAIN.index(text)
    assert indexed == fold(indexed)
    for word in (*PLAIN.terms(text).words, *PLAIN.terms(text).phrases):
        assert word.strip() == word != ""
        assert not re.search(r"[\s\x00\ud800-\udfff]", word)


@given(st.text(), st.text(max_size=20))
def test_places_lie_apart_and_inside(text: str, query: str) -> None:
    last = -1
    for first, end in PLAIN.places(text, query):
        assert last < first < end <= len(text)
        last = end


@given(st.text(alphabet="客户服务必须在线A1-. 的", min_size=1))
def test_a_text_is_found_by_itself(text: str) -> None:
    if PLAIN.terms(text):
        assert finds(text, text)


@given(st.sampled_from(sorted(STOP_WORDS)), st.sampled_from(["退货", "发票"]))
def test_stop_words_beside_a_word_change_nothing(stop: str, word: str) -> None:
    assert PLAIN.terms(f"{stop} {word}") == PLAIN.terms(word)
