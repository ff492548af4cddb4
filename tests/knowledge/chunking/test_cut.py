import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.making import document, faq, table
from qingtan.errors import UserError
from qingtan.knowledge.chunking import cut
from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.documents import Block, Document

TEXT = st.text("天地玄黄宇宙洪荒abc 0.9。！？；，\n（）”—", min_size=1, max_size=120)
HEADING = st.text("山川湖海日月", min_size=1, max_size=8)


def bare(text: str) -> str:
    return "".join(text.split())


def blocks() -> st.SearchStrategy[Block]:
    return st.one_of(
        st.builds(Block, st.sampled_from(["paragraph", "code", "list"]), TEXT),
        st.builds(lambda text, level: Block("heading", text, level), HEADING, st.integers(1, 4)),
    )


def own_text(chunks: list[Chunk], read: Document) -> str:
    """Return the chunks' text without the lead-ins that are said again."""
    leads = [block.text.strip() for block in read.blocks if block.text.strip().endswith("：")]
    assert not leads
    return bare("".join(chunk.text for chunk in chunks))


@settings(max_examples=100)
@given(st.lists(blocks(), max_size=12), st.integers(16, 60))
def test_no_text_is_lost_or_doubled(read: list[Block], size: int) -> None:
    made = document(*read)
    chunks = cut(made, len, size)
    body = bare("".join(block.text for block in read if block.kind != "heading"))
    # Headings stand above their chunks, or are text themselves; all else stands once, in order.
    left = own_text(chunks, made)
    titles = [bare(block.text) for block in read if block.kind == "heading"]
    seen = {bare(title) for chunk in chunks for title in chunk.headings}
    for character in "山川湖海日月":
        left = left.replace(character, "")
    assert left == body
    assert all(title in seen or title in bare("".join(c.text for c in chunks)) for title in titles)


@settings(max_examples=100)
@given(st.lists(blocks(), max_size=12), st.integers(16, 60))
def test_chunks_keep_to_the_size_and_say_their_length_and_place(
    read: list[Block], size: int
) -> None:
    chunks = cut(document(*read), len, size)
    for chunk in chunks:
        assert 0 < len(chunk.text) <= size
        assert chunk.tokens == len(chunk.text)
        place = range(chunk.first_block - 1, chunk.last_block)
        assert bare(chunk.text) in bare("".join(read[i].text for i in place))
    assert [c.first_block for c in chunks] == sorted(c.first_block for c in chunks)


def test_a_heading_with_nothing_below_it_is_kept_before_another_of_the_same_words() -> None:
    read = document("# 备注", "无。", "# 备注", "# 备注", "无。")
    assert [chunk.text for chunk in cut(read, len, 60)] == ["无。", "备注", "无。"]


def test_a_chunk_never_crosses_a_heading() -> None:
    text = "公司成立于1998年，总部在上海。" * 2
    chunks = cut(document("# 手册", "## 历史", text, "## 地址", text), len, 120)
    assert [chunk.headings for chunk in chunks] == [("手册", "历史"), ("手册", "地址")]
    assert [chunk.text for chunk in chunks] == [text, text]


def test_the_title_stands_above_all_but_is_not_said_twice() -> None:
    (one,) = cut(document("正文。", title="员工手册"), len, 60)
    assert one.headings == ("员工手册",)
    (two,) = cut(document("# 员工手册", "正文。", title="员工手册"), len, 60)
    assert two.headings == ("员工手册",)
    (three,) = cut(document("正文。"), len, 60)
    assert three.headings == ()


def test_tiny_sections_under_one_heading_share_a_chunk_with_their_headings() -> None:
    made = document("# 参数", "## 重量", "3千克。", "## 颜色", "白。", "# 保修", "一年。")
    first, second = cut(made, len, 60)
    assert first.headings == ("参数",)
    assert first.text == "重量\n3千克。\n颜色\n白。"
    assert (first.first_block, first.last_block) == (2, 5)
    assert (second.headings, second.text) == (("保修",), "一年。")


def test_a_heading_above_nothing_is_text_of_its_own() -> None:
    (chunk,) = cut(document("# 手册", "## 待补充"), len, 60)
    assert (chunk.headings, chunk.text) == (("手册",), "待补充")


def test_a_long_paragraph_is_cut_between_sentences_into_like_parts() -> None:
    sentences = [f"这是第{i}个句子，说明一件事情。" for i in range(1, 9)]
    chunks = cut(document("".join(sentences)), len, 80)
    assert "".join(chunk.text for chunk in chunks) == "".join(sentences)
    assert all(chunk.text.endswith("。") for chunk in chunks)
    assert max(map(len, (c.text for c in chunks))) < 2 * min(map(len, (c.text for c in chunks)))


def test_only_a_sentence_longer_than_a_chunk_is_cut_and_then_after_a_clause() -> None:
    sentence = "，".join(["我们在山里走了很久"] * 6) + "。"
    chunks = cut(document(sentence), len, 30)
    assert "".join(chunk.text for chunk in chunks) == sentence
    assert all(chunk.text[-1] in "，。" for chunk in chunks)


def test_every_chunk_of_a_table_has_its_caption_and_header_and_every_row_stands_once() -> None:
    rows = [(f"型号{i}", f"{i}00元") for i in range(1, 21)]
    made = document("# 价目", "表1 各型号的价格", table(("型号", "价格"), *rows))
    chunks = cut(made, len, 60)
    assert len(chunks) > 2
    lines = [chunk.text.split("\n") for chunk in chunks]
    assert all(each[:2] == ["表1 各型号的价格", "型号 | 价格"] for each in lines)
    assert [line for each in lines for line in each[2:]] == [" | ".join(row) for row in rows]
    assert {chunk.kind for chunk in chunks} == {"table"}


def test_a_row_longer_than_a_chunk_is_cut_under_the_header() -> None:
    long = "".join(f"说明第{i}句话。" for i in range(12))
    chunks = cut(document(table(("名称", "说明"), ("甲", long), ("乙", "短"))), len, 40)
    assert all(chunk.text.startswith("名称 | 说明\n") for chunk in chunks)
    rest = "".join(chunk.text.removeprefix("名称 | 说明\n").replace("\n", "") for chunk in chunks)
    assert rest == f"甲 | {long}乙 | 短"


def test_a_table_stands_apart_from_text_and_other_tables() -> None:
    made = document("前文在此。", table(("甲",), ("1",)), table(("乙",), ("2",)), "后文在此。")
    assert [(c.kind, c.text) for c in cut(made, len, 60)] == [
        ("text", "前文在此。"),
        ("table", "甲\n1"),
        ("table", "乙\n2"),
        ("text", "后文在此。"),
    ]


def test_a_list_keeps_the_line_that_leads_it_in() -> None:
    items = [f"（{i}）提交第{i}份材料" for i in range(1, 9)]
    made = document("概述一句。" * 3, "申请时应当：", Block("list", "\n".join(items)))
    chunks = cut(made, len, 40)
    first, *rest = [chunk.text.split("\n") for chunk in chunks]
    assert first[0] == "概述一句。" * 3
    lists = [first[1:], *rest]
    assert len(lists) > 2
    assert all(lines[0] == "申请时应当：" for lines in lists)
    assert [line for lines in lists for line in lines[1:]] == items


def test_code_stays_whole_where_it_fits() -> None:
    code = "def f():\n    return 1\n\ndef g():\n    return 2"
    made = document("一个很长的段落说明它。" * 3, Block("code", code))
    assert cut(made, len, 50)[-1].text == code
    assert cut(made, len, 50)[-1].kind == "code"
    parts = cut(document(Block("code", code)), len, 24)
    assert [part.text for part in parts] == ["def f():\n    return 1", "def g():\n    return 2"]


def test_each_frequent_question_is_a_chunk() -> None:
    made = document(
        faq("怎么退款？", "七天内可退。", "能退钱吗", topic="售后"), faq("营业时间？", "九点。")
    )
    first, second = cut(made, len, 60)
    assert (first.kind, first.text) == ("faq", "怎么退款？\n七天内可退。")
    assert first.questions == ("怎么退款？", "能退钱吗")
    assert (first.answer, first.topic) == ("七天内可退。", "售后")
    assert second.first_block == second.last_block == 2


def test_a_size_that_holds_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="size: 3 is too small"):
        cut(document("文。"), len, 3)
