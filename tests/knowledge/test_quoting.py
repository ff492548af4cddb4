import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.knowledge.quoting import quote
from qingtan.knowledge.sufficiency import LEAST_EVIDENCE, evidence

STORY = "李四在上海出生。他于1998年创立了公司，公司生产手机。因为资金不足，工厂在2005年停产。"
OTHER = "公司的产品获得了奖项。公司有很多员工。"


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("公司是哪一年创立的？", "他于1998年创立了公司，公司生产手机。"),
        ("李四出生在哪里？", "李四在上海出生。"),
        ("工厂为什么停产？", "因为资金不足，工厂在2005年停产。"),
    ],
)
def test_the_sentence_with_the_answer(question: str, sentence: str) -> None:
    found = quote(question, [OTHER, STORY])
    assert found is not None
    assert (found.text, found.passage) == (sentence, 2)


def test_the_words_of_headings_count_for_what_stands_below_them() -> None:
    texts = ["价格为300元，保修一年。", "价格为500元，保修两年。"]
    found = quote("B-200的价格是多少？", texts, ["A-100", "B-200"])
    assert found is not None
    assert found.text == texts[1]


def test_a_title_that_repeats_the_question_is_no_answer() -> None:
    text = "退货\n七天内可以退货。\n客服\n客服电话为400-820-8820。"
    found = quote("客服？", [text])
    assert found is not None
    assert found.text == "客服电话为400-820-8820。"
    assert quote("客服？", ["客服"]) is None


def test_a_question_without_words_has_no_quote() -> None:
    assert quote("？", [STORY]) is None
    assert quote("天气怎么样？", []) is None


def test_evidence_is_the_share_of_the_question_that_a_passage_holds() -> None:
    assert evidence("李四创立了什么公司？", [OTHER, STORY]) > LEAST_EVIDENCE
    assert evidence("太阳到地球有多远？", [OTHER, STORY]) < LEAST_EVIDENCE
    assert evidence("太阳到地球有多远？", []) == 0
    asked = "公司1998年在哪里创立？"
    assert evidence(asked, [STORY]) > evidence(asked.replace("1998", "1997"), [STORY])


@given(st.text(max_size=40), st.lists(st.text(max_size=60), max_size=3))
def test_any_question_and_passages(question: str, passages: list[str]) -> None:
    assert 0 <= evidence(question, passages) <= 1
    found = quote(question, passages)
    assert found is None or found.text in passages[found.passage - 1]


def test_models_of_a_series_are_told_apart() -> None:
    text = "A-100 净水器整机保修两年，滤芯不在保修范围内。A-200 净水器整机保修三年。"
    for model, years in (("A-100", "两年"), ("A-200", "三年")):
        found = quote(f"{model}保修多久？", [text])
        assert found is not None
        assert years in found.text


def test_a_number_in_the_question_counts() -> None:
    text = "A-100 净水器整机保修两年，滤芯不在保修范围内。A-200 净水器整机保修三年。"
    found = quote("保修三年的是哪个型号？", [text])
    assert found is not None
    assert found.text.startswith("A-200")
