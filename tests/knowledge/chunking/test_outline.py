import pytest

from knowledge.making import document
from qingtan.knowledge.chunking import cut
from qingtan.knowledge.documents import Block

LAW = (
    "城市公园条例",
    "第一章　总则",
    "第一条　为了加强公园管理，制定本条例。",
    "第二条　本条例适用于市区。",
    "第二章　游园",
    "第一节　门票",
    "第三条　公园免费开放。",
    "第三条规定的免费，不包括游船。",
    "第三条之一　老人凭证乘船免费。",
    "第四条　有下列情形之一的，不得入园：",
    "（一）携带宠物的；",
    "（二）醉酒的。",
    "附件一",
    "开放时间为六时至二十二时。",
)


def test_a_law_is_cut_into_its_articles_under_parts_and_chapters() -> None:
    chunks = cut(document(*LAW), len, 200)
    found = [(chunk.kind, chunk.label, chunk.headings) for chunk in chunks]
    assert found == [
        ("text", "", ()),
        ("article", "第一条", ("第一章 总则",)),
        ("article", "第二条", ("第一章 总则",)),
        ("article", "第三条", ("第二章 游园", "第一节 门票")),
        ("article", "第三条之一", ("第二章 游园", "第一节 门票")),
        ("article", "第四条", ("第二章 游园", "第一节 门票")),
        ("text", "附件一", ("附件一",)),
    ]
    assert chunks[3].text == "第三条　公园免费开放。\n第三条规定的免费，不包括游船。"
    assert chunks[5].text.endswith("（二）醉酒的。")


def test_an_article_may_begin_with_any_word_after_a_space() -> None:
    made = document("第一条　和解应当自愿。", "第二条 规定的为三日。", "第二条规定的可以延长。")
    first, second = cut(made, len, 100)
    assert (first.label, second.label) == ("第一条", "第二条")
    assert second.text.endswith("第二条规定的可以延长。")


def test_a_long_article_is_cut_at_its_items_and_keeps_its_label() -> None:
    items = [f"（{n}）擅自占用公园绿地、拒不改正的；" for n in "一二三四五六"]
    made = document("第一条　总则如下。", "\n".join(["第二条　有下列情形的，处以罚款：", *items]))
    _, *parts = cut(made, len, 60)
    assert len(parts) > 1
    assert {part.label for part in parts} == {"第二条"}
    assert all(part.text.startswith(("第二条", "（")) for part in parts)


def test_articles_without_a_space_are_known_by_their_count() -> None:
    made = document(
        "第一条为了规范管理，制定本办法。", "第二条本办法适用于全市。", "第二条所称全市，含郊区。"
    )
    assert [chunk.label for chunk in cut(made, len, 100)] == ["第一条", "第二条"]


def test_articles_that_a_document_marks_as_headings_are_articles() -> None:
    made = document("# 合同", "## 第一条 标的", "甲方购买设备。", "## 第二条 价款", "共三百元。")
    first, second = cut(made, len, 30)
    assert (first.kind, first.label, first.headings) == (
        "article",
        "第一条",
        ("合同", "第一条 标的"),
    )
    assert second.label == "第二条"


def test_a_text_that_speaks_of_one_article_is_no_law() -> None:
    made = document("第三条 是怎么来的，众说纷纭。", "我们来看一看它的历史。")
    (chunk,) = cut(made, len, 100)
    assert (chunk.kind, chunk.label) == ("text", "")


def test_sections_of_a_paper_are_known_by_their_numbers() -> None:
    text = "本文研究检索的方法，并给出实验的结果与分析。"
    made = document("摘要", text, "1 引言", text, "2 方法", "2.1 数据", text, "2.2 模型", text)
    found = [(chunk.label, chunk.headings) for chunk in cut(made, len, 60)]
    assert found == [
        ("", ("摘要",)),
        ("1", ("1 引言",)),
        ("2.1", ("2 方法", "2.1 数据")),
        ("2.2", ("2 方法", "2.2 模型")),
    ]


def test_steps_that_follow_one_another_are_no_headings() -> None:
    made = document("操作如下。", "1. 打开电源", "2. 按下按钮", "3. 等待片刻", "完成以后即可使用。")
    (chunk,) = cut(made, len, 100)
    assert chunk.headings == ()


def test_a_number_out_of_its_count_is_no_heading() -> None:
    made = document("2024 年度报告", "去年的收入增加了。", "3 月份的情况", "三月的收入减少了。")
    assert {chunk.headings for chunk in cut(made, len, 20)} == {()}


@pytest.mark.parametrize("sign", ["一、", "（一）"])
def test_headings_of_official_documents(sign: str) -> None:
    made = document(f"{sign}总体要求", "坚持以人民为中心的发展思想，推进各项工作。")
    (chunk,) = cut(made, len, 60)
    assert chunk.headings == (f"{sign}总体要求",)
    assert chunk.label == sign.rstrip("、")


def test_a_place_of_contents_loses_nothing() -> None:
    lines = ["第一章　总则", "第二章　分则"]
    made = document("目录", *lines, *lines[:1], "第一条　甲。", *lines[1:], "第二条　乙。")
    chunks = cut(made, len, 60)
    assert [chunk.label for chunk in chunks if chunk.kind == "article"] == ["第一条", "第二条"]
    text = "".join(chunk.text for chunk in chunks if chunk.kind == "text")
    assert "总则" in text
    assert "分则" in text


def test_blocks_of_other_kinds_are_no_headings() -> None:
    made = document(Block("code", "第一章 代码"), Block("list", "第二章 列表"))
    assert {chunk.headings for chunk in cut(made, len, 60)} == {()}
