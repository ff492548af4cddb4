"""Citations and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.evaluation.metrics.citations import (
    RightCitation,
    RightRefusal,
    WrongRefusal,
    is_refusal,
    read_citations,
    strip_citations,
)
from qingtan.evaluation.metrics.metric import Answer, Metric


@pytest.mark.parametrize(
    ("text", "cited", "answer"),
    [
        ("踢爆[2]", {2}, "踢爆"),
        ("踢爆 [2]。", {2}, "踢爆。"),
        ("2股。\n依据：[2] 原文有2股[7]。", {2}, "2股。"),
        ("2股。依据：［2］原文。", {2}, "2股。"),
        ("2股。\n依据：\n[1] 原文[9]。\n[3] 又一段。", {1, 3}, "2股。"),
        ("甲[1][3]", {1, 3}, "甲"),
        ("甲［1、3］", {1, 3}, "甲"),
        ("甲【1，3】。", {1, 3}, "甲。"),
        ("甲[1,3]", {1, 3}, "甲"),
        ("甲[1-3]", {1, 2, 3}, "甲"),
        ("甲［１２］", {12}, "甲"),
        ("甲[1]，乙[2]。", {1, 2}, "甲，乙。"),
        ("用 `a[1]` 取值。[4]", {4}, "用 `a[1]` 取值。"),
        (
            "作为行政行为合法的依据：\n（一）证据。[2]",
            {2},
            "作为行政行为合法的依据：\n（一）证据。",
        ),
        ("没有引用[草稿]", set(), "没有引用[草稿]"),
        ("生于[2018]年", set(), "生于[2018]年"),
        ("", set(), ""),
    ],
)
def test_citations(text: str, cited: set[int], answer: str) -> None:
    assert read_citations(text) == cited
    assert strip_citations(text) == answer


@given(
    st.text(st.characters(categories=["L", "Nd"]), min_size=1),
    st.sets(st.integers(1, 999), min_size=1, max_size=5),
    st.sampled_from(["[]", "［］", "【】"]),
    st.sampled_from(["、", ",", "，", ", "]),
)
def test_citations_come_off_as_they_were_put_on(
    answer: str, numbers: set[int], brackets: str, comma: str
) -> None:
    text = f"{answer}{brackets[0]}{comma.join(map(str, sorted(numbers)))}{brackets[1]}"
    assert read_citations(text) == numbers
    assert strip_citations(text) == answer


@given(st.text(st.sampled_from("甲1[]［］、依据：\n `。")))
def test_nothing_is_cited_when_citations_are_off(text: str) -> None:
    rest = strip_citations(text)
    assert len(rest) <= len(text)
    assert read_citations(text) or "依据" in text or rest == text.strip()


REFUSALS = [
    "提供的资料中没有找到与该问题相关的信息，无法回答。",
    "抱歉，给出的资料没有提到这个问题的答案。",
    "资料中没有相关内容，暂时无法回答这个问题。",
    "抱歉，现有资料没有提供这项信息，建议您直接联系商家确认。",
    "很抱歉，目前的资料里没有这项信息，建议您致电010-62959800咨询。",
    "文中并未说明该书的作者是谁。",
    "上文未提及出版年份。",
    "根据所给文档，无法确定他的出生地。",
    "无法从材料中得知答案。",
    "未在文档中找到相关说明。",
    "对不起，我不清楚这家店的营业时间。",
    "这个问题无法回答。",
    "我不知道。",
    "The passage does not mention the author.",
    "I cannot answer this question from the given context.",
    "资料[1]中没有提到票价。",
]
ANSWERS = [
    "1987年",
    "哥德式。[2]",
    "汉庭酒店(北京五道口清华园店)的联系电话是010-62959800。",
    "不确定性",
    "没收违法所得意见书应当包括以下内容：犯罪事实和相关的证据材料。",
    "根据《未成年人保护法》第九十八条，国家建立违法犯罪人员信息查询系统。[3]",
    "门票是36元，需提前预约。资料说明周一闭馆。开放时间为九点。资料中没有提到是否有优惠。",
    "抱歉，没有符合您要求的餐馆，推荐您去故宫餐厅用餐。",
    "Yes, the passage says so.",
    "",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_recognized(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_answers_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)


PARTS = (
    ["", "抱歉，", "很抱歉，", "对不起，"],
    ["资料", "给出的资料", "现有的文档", "所提供的材料", "文章", "以上内容"],
    ["中", "里", ""],
    ["没有", "并没有", "并未", "未", "没"],
    ["提到", "提及", "说明", "提供", "给出", "记载"],
    ["这一点", "该问题的答案", "门票价格", "他的生日", "相关信息"],
    ["。", "，无法回答。", "，建议您致电010-62959800咨询。", ""],
)


@given(st.tuples(*map(st.sampled_from, PARTS)))
def test_refusals_are_recognized_however_they_are_worded(parts: tuple[str, ...]) -> None:
    assert is_refusal("".join(parts))


@given(st.text(st.characters(categories=["Nd", "Lu", "P", "Z"]), max_size=60))
def test_numbers_and_marks_are_no_refusal(text: str) -> None:
    assert not is_refusal(text)


def figure(metric: Metric, rows: list[tuple[dict[str, object], str]]) -> float:
    return metric.combine(np.sum([metric.measure(i, Answer(text)) for i, text in rows], axis=0))


def test_right_citations() -> None:
    metric = RightCitation(lambda item: item["cite"])
    rows: list[tuple[dict[str, object], str]] = [
        ({"cite": [2]}, "踢爆[2]"),
        ({"cite": [2]}, "踢爆[2][3]"),
        ({"cite": [2]}, "踢爆"),
        ({"cite": [2, 3]}, "踢爆[3]"),
    ]
    assert figure(metric, rows) == 0.5
    assert figure(metric, [*rows, ({"cite": []}, "踢爆[1]")]) == 0.5


def test_refusals_count_where_they_belong() -> None:
    rows: list[tuple[dict[str, object], str]] = [
        ({"has": False}, "资料中没有提到。"),
        ({"has": False}, "1987年"),
        ({"has": True}, "1987年"),
        ({"has": True}, "1988年"),
        ({"has": True}, "1989年"),
        ({"has": True}, "资料中没有提到。"),
    ]
    assert figure(RightRefusal(lambda item: not item["has"]), rows) == 1 / 2
    assert figure(WrongRefusal(lambda item: bool(item["has"])), rows) == 1 / 4
    assert figure(RightRefusal(), rows) == figure(WrongRefusal(), rows) == 1 / 3
    assert RightRefusal().higher_is_better
    assert not WrongRefusal().higher_is_better
