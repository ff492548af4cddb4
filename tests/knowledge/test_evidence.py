import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.knowledge.evidence import check

SHOP = "小店手册\n会员七天内可以退款，押金除外。店内禁止携带宠物入内。A-100型售价300元，重1.2千克。"
HISTORY = "公司简介\n公司由李四于1998年3月在上海创立。2005年，总部迁到北京。"
PASSAGES = (SHOP, HISTORY)


@pytest.mark.parametrize(
    ("answer", "passage"),
    [
        ("A-100型的售价是300元。", 1),
        ("A-100型售价三百元。", 1),
        ("根据资料，A-100型重1200克。", 1),
        ("公司由李四于1998年3月在上海创立。", 2),
        ("会员可以在七天内退款。", 1),
        ("店内不可以携带宠物。", 1),
        ("2005年，公司总部迁到了北京。", 2),
    ],
)
def test_what_a_passage_says_is_supported_by_it(answer: str, passage: int) -> None:
    checked = check(answer, PASSAGES)
    assert checked.text == f"{answer}[{passage}]"
    (sentence,) = checked.sentences
    assert (sentence.passage, sentence.conflicts) == (passage, ())


@pytest.mark.parametrize(
    "answer",
    [
        "A-100型的售价是3000元。",
        "A-100型的售价是300美元。",
        "A-200型的售价是300元。",
        "A-100型重300千克。",
        "公司由王五于1998年3月在上海创立。",
        "公司由李四于1998年5月在上海创立。",
        "公司由李四于1998年3月在广州创立。",
        "会员七天内不可以退款。",
        "店内可以携带宠物入内。",
        "2005年，总部没有迁到北京。",
        "店里每天早上九点开门，晚上十点关门。",
        "公司由李四于2005年在上海创立。",
    ],
)
def test_another_number_unit_name_or_a_turned_negation_is_not(answer: str) -> None:
    checked = check(answer, PASSAGES)
    assert checked.text == ""
    assert not checked.sentences[0].supported


@pytest.mark.parametrize(
    ("question", "answer", "supported"),
    [
        ("会员七天内可以退款吗？", "可以。", True),
        ("会员七天内可以退款吗？", "不可以。", False),
        ("店内可以携带宠物吗？", "不可以。", True),
        ("店内可以携带宠物吗？", "可以。", False),
        ("店内能否携带宠物？", "否", True),
        ("店内能否携带宠物？", "是", False),
        ("公司是哪一年创立的？", "1998年", True),
        ("公司是哪一年创立的？", "1997年", False),
        ("A-100售价多少？", "300元", True),
        ("谁创立了公司？", "李四", True),
        ("谁登上了月球？", "李四", False),
    ],
)
def test_short_answers_are_checked_as_answers_to_the_question(
    question: str, answer: str, supported: bool
) -> None:
    assert bool(check(answer, PASSAGES, question=question).text) == supported


def test_only_what_is_supported_is_kept() -> None:
    checked = check("A-100型售价300元。本店还卖手机壳和耳机。公司由李四创立。", PASSAGES)
    assert checked.text == "A-100型售价300元。[1]公司由李四创立。[2]"
    assert [each.supported for each in checked.sentences] == [True, False, True]


def test_a_citation_of_the_wrong_passage_is_put_right() -> None:
    checked = check("公司由李四创立[1]。\nA-100型售价300元。[7]", PASSAGES)
    assert checked.text == "公司由李四创立。[2]\nA-100型售价300元。[1]"
    assert [each.cited for each in checked.sentences] == [(1,), ()]


def test_of_two_passages_that_support_it_the_cited_one_is_kept() -> None:
    assert check("公司由李四创立。[2]", (HISTORY, HISTORY)).text == "公司由李四创立。[2]"
    assert check("公司由李四创立。【1】", (HISTORY, HISTORY)).text == "公司由李四创立。[1]"


def test_a_number_of_the_next_sentence_is_not_borrowed() -> None:
    passage = "甲型号的手机售价是300元。乙型号的手机售价是500元。"
    assert check("甲型号的手机售价是500元。", [passage]).text == ""


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=3), st.text(max_size=20))
def test_any_answer_can_be_checked(answer: str, passages: list[str], question: str) -> None:
    checked = check(answer, passages, question=question)
    for sentence in checked.sentences:
        assert 0 <= sentence.support <= 1
        assert sentence.passage is None or 1 <= sentence.passage <= len(passages)
        assert not (sentence.supported and sentence.conflicts)


def test_without_passages_nothing_is_supported() -> None:
    assert check("公司由李四创立。", ()).text == ""
