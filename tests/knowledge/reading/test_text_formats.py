"""HTML, Markdown, plain text, CSV and JSON Lines."""

import codecs
import csv
import io
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.knowledge.documents import Document, Faq
from qingtan.knowledge.reading import Unreadable
from qingtan.knowledge.reading.draft import iso_date
from qingtan.knowledge.reading.headings import numbered
from qingtan.knowledge.reading.text import clean, join

from .files import parse, shown

PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8"><title>退货说明</title>
<meta property="article:published_time" content="2024-03-05T10:00:00+08:00">
<meta name="author" content="客服部"><style>p{color:red}</style></head><body>
<nav><a href="/">首页</a></nav><h1>退货说明</h1>
<p>商品自签收之日起<b>七天</b>内
可以退货，<br>定制商品除外。 See our <a href="x">return
policy</a>.</p>
<ul><li>一般商品<ul><li>电器</li></ul></li><li>食品</li></ul>
<ol start="3"><li>填表</li><li>寄回</li></ol>
<h2>费用</h2><script>alert(1)</script><div>先说明<p>再细说</p>最后</div>
<table><caption>费用表</caption><thead><tr><th rowspan=2>地区<th colspan=2>费用</tr>
<tr><th>首重<th>续重</tr></thead><tr><td>北京<td>10<td>2</tr></table>
<pre><code>a = 1
  b = 2</code></pre><p hidden>看不见</p><p style="display: none">也看不见</p></body></html>"""


def test_a_page_keeps_what_a_visitor_reads() -> None:
    document = parse("退货.html", PAGE.encode())
    assert document.title == "退货说明"
    assert document.date == "2024-03-05"
    assert document.facts == {"author": "客服部"}
    assert shown(document) == [
        ("h1", "退货说明"),
        (
            "paragraph",
            "商品自签收之日起七天内可以退货，\n定制商品除外。 See our return policy.",
        ),
        ("list", "一般商品\n  电器\n食品"),
        ("list", "3. 填表\n4. 寄回"),
        ("h2", "费用"),
        ("paragraph", "先说明"),
        ("paragraph", "再细说"),
        ("paragraph", "最后"),
        ("paragraph", "费用表"),
        ("table", "地区 | 费用 | 费用\n地区 | 首重 | 续重\n北京 | 10 | 2"),
        ("code", "a = 1\n  b = 2"),
    ]
    assert document.blocks[9].header_rows == 2


@pytest.mark.parametrize(
    ("declared", "encoding"), [("gb2312", "gb18030"), ("gbk", "gb18030"), ("utf-8", "gb18030")]
)
def test_pages_in_old_encodings_are_read_whatever_they_declare(
    declared: str, encoding: str
) -> None:
    page = f'<html><meta charset="{declared}"><body><p>朱镕基先生</p></body></html>'
    assert shown(parse("a.htm", page.encode(encoding))) == [("paragraph", "朱镕基先生")]


def test_a_table_that_only_lays_out_a_page_is_no_table() -> None:
    page = "<table><tr><td><h2>左</h2><p>一</p></td><td><p>二</p></td></tr></table>"
    assert shown(parse("a.html", page.encode())) == [
        ("h2", "左"),
        ("paragraph", "一"),
        ("paragraph", "二"),
    ]


def test_spans_of_any_size_cost_only_what_is_there() -> None:
    page = "<table><tr><td colspan=1000 rowspan=65534>题<td>a</tr><tr><td>b</tr></table>"
    (block,) = parse("a.html", page.encode()).blocks
    assert block.rows == (("题", "a"), ("题", "b"))


@pytest.mark.security
def test_deeply_nested_elements_are_refused_or_read_but_never_crash() -> None:
    for tag in ("div", "b", "ul><li", "table><tr><td", "blockquote", "span"):
        page = f"<{tag}>" * 3000 + "字"
        with suppress(Unreadable):
            assert "字" in parse("深.html", page.encode()).blocks[-1].text


MARKDOWN = """---
title: 手册
date: 2024-01-31
author: 张三
---
# 第一部分

一段**重要**的话，
接着写 `code`，见[链接](http://x.example)。

- 甲
  1. 乙
  2. 丙
- 丁

> 引用

| 名 | 值 |
|---|--:|
| a | 1 |

```python
print("你好")
```

标题二
------
<div>网页<b>片段</b></div>
"""


def test_markdown_is_read_as_it_is_shown() -> None:
    document = parse("手册.md", MARKDOWN.encode())
    assert (document.title, document.date, document.facts) == (
        "手册",
        "2024-01-31",
        {"author": "张三"},
    )
    assert shown(document) == [
        ("h1", "第一部分"),
        ("paragraph", "一段重要的话，接着写 code，见链接。"),
        ("list", "甲\n  1. 乙\n  2. 丙\n丁"),
        ("paragraph", "引用"),
        ("table", "名 | 值\na | 1"),
        ("code", 'print("你好")'),
        ("h2", "标题二"),
        ("paragraph", "网页片段"),
    ]
    assert document.blocks[4].header_rows == 1


LAW = """中华人民共和国测试法

第一章　总则

第一条　为了测试，制定本法。
第二条　本法适用于测试。
（一）单元测试；
（二）集成测试。

第二章　附则
第三条　本法自公布之日起施行。
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_a_law_has_chapters_as_titles_and_articles_as_paragraphs(encoding: str) -> None:
    document = parse("法.txt", LAW.encode(encoding))
    assert document.title == "中华人民共和国测试法"
    assert shown(document) == [
        ("h1", "中华人民共和国测试法"),
        ("h2", "第一章 总则"),
        ("paragraph", "第一条 为了测试，制定本法。"),
        ("paragraph", "第二条 本法适用于测试。"),
        ("paragraph", "（一）单元测试；"),
        ("paragraph", "（二）集成测试。"),
        ("h2", "第二章 附则"),
        ("paragraph", "第三条 本法自公布之日起施行。"),
    ]


def test_lines_that_a_width_has_broken_are_joined_and_verses_are_not() -> None:
    chinese = (
        "这一段文字按照固定的宽度折行，所以每一行都几乎一样长，读的时候应当\n" * 3 + "接起来。"
    )
    english = "This text was broken at a fixed width, as mail and licences are, and\n" * 3 + "ends."
    verses = "床前明月光\n疑是地上霜\n举头望明月\n低头思故乡"
    document = parse("a.txt", "\n\n".join((chinese, english, verses)).encode())
    texts = [text for _, text in shown(document)]
    assert texts[0] == chinese.replace("\n", "")
    assert texts[1] == english.replace("\n", " ")
    assert texts[2:] == verses.split("\n")


def test_underlined_and_numbered_titles_of_a_text() -> None:
    text = "概述\n====\n第一段。\n\n一、背景\n正文。\n\n（一）起因\n正文二。\n\n细节\n----\n完。"
    assert shown(parse("a.txt", text.encode())) == [
        ("h1", "概述"),
        ("paragraph", "第一段。"),
        ("h3", "一、背景"),
        ("paragraph", "正文。"),
        ("h4", "（一）起因"),
        ("paragraph", "正文二。"),
        ("h2", "细节"),
        ("paragraph", "完。"),
    ]


def test_titles_with_signs_in_a_plain_text() -> None:
    text = "# 条例\n\n## 第一章 总则\n\n第一条 为了测试。\n\n# 注释\nx = 1"
    assert shown(parse("a.txt", text.encode())) == [
        ("h1", "条例"),
        ("h2", "第一章 总则"),
        ("paragraph", "第一条 为了测试。"),
        ("paragraph", "# 注释"),
        ("paragraph", "x = 1"),
    ]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("第一章 总则", "chapter"),
        ("第十二节　合同的订立", "section"),
        ("第三编 物权", "part"),
        ("一、工作目标", "one"),
        ("（三）组织机构", "bracket"),
        ("3.2 实验结果", "decimal2"),
        ("附则", "closing"),
        ("第一条　为了规范，制定本法。", ""),
        ("第一章讲述了他的童年，第二章则写到了战争。", ""),
        ("一、请各单位于五日内上报。", ""),
        ("第二章 合同……………12", ""),
        ("3.14 是圆周率的近似值，常用于计算。", ""),
        ("一心一意", ""),
    ],
)
def test_numbered_titles_are_told_from_sentences(line: str, kind: str) -> None:
    assert numbered(line) == kind


def test_csv_is_a_table_or_questions_by_its_header() -> None:
    (block,) = parse("价.csv", "品名,单价\n苹果,3\n梨,4\n".encode()).blocks
    assert (block.kind, block.rows[1], block.header_rows) == ("table", ("苹果", "3"), 1)
    (block,) = parse("价.csv", "品名;单价\n苹果;3,5\n".encode("gb18030")).blocks
    assert block.rows == (("品名", "单价"), ("苹果", "3,5"))
    document = parse("问.csv", b'question,answer,similar\nHow?,"Like\nthis",why|what\n')
    assert document.blocks[0].faq == Faq("How?", "Like\nthis", ("why", "what"))


def test_records_are_documents_or_questions() -> None:
    lines = [
        {"title": "甲", "text": "第一段。\n\n第二段。", "date": "2024-01-02", "topic": "新闻"},
        {"text": "无题。", "date": "2024/1/2", "topic": "新闻"},
        {"问题": "怎么办？", "答案": "这么办。", "相似问": ["咋办", "怎么弄"], "topic": "新闻"},
    ]
    text = "\n".join(json.dumps(each, ensure_ascii=False) for each in lines) + "\n{坏\n[1]\n"
    document = parse("记录.jsonl", text.encode())
    assert shown(document)[:4] == [
        ("h1", "甲"),
        ("paragraph", "第一段。"),
        ("paragraph", "第二段。"),
        ("paragraph", "无题。"),
    ]
    assert document.blocks[4].faq == Faq("怎么办？", "这么办。", ("咋办", "怎么弄"), "新闻")
    assert "4, 5" in document.warnings[0]


def test_dates_in_all_forms() -> None:
    assert iso_date("发布于2024年3月5日") == "2024-03-05"
    assert iso_date("D:20240305120000+08'00'") == "2024-03-05"
    assert iso_date("2024-13-45") is None
    assert iso_date("no date") is None


def test_what_nobody_sees_is_dropped_and_the_rest_composed() -> None:
    hidden = "ig\u200bno\U000e0041re\u202e\ue000\x00\x07"
    assert clean(f"e\u0301{hidden}\u00a0字\r\n行") == "\u00e9ignore 字\n行"


def test_lines_join_as_their_scripts_do() -> None:
    assert join(["中文在此", "折行"]) == "中文在此折行"
    assert join(["plain", "words"]) == "plain words"
    assert join(["hyphen-", "ated"]) == "hyphenated"
    assert join(["GB-", "18030"]) == "GB- 18030"
    assert join(["한국어", "문장"]) == "한국어 문장"


def test_binary_files_and_unknown_formats_say_what_can_be_read() -> None:
    for name, data in (
        ("a.txt", bytes(range(256))),
        ("a.exe", b"MZ"),
        ("a.png", b"\x89PNG\r\n\x1a\n"),
    ):
        with pytest.raises(Unreadable):
            parse(name, data)


def test_what_a_file_is_its_first_bytes_say() -> None:
    assert parse("没有后缀", b"<!DOCTYPE html><p>a</p>").media_type == "text/html"
    assert parse("https://x.example/a.php", b"<p>a</p>", media_type="text/html").media_type == (
        "text/html"
    )
    assert parse("README", b"words").media_type == "text/plain"


WORDS = st.text(
    "的是我你电话abc 123,.，。<>&\"'`*_#|[]()!-=~\n\t\\/:;\u3000é𠮷\x00\u200b", max_size=60
)


def letters(text: str) -> str:
    return "".join(each for each in clean(text) if each.isalnum())


def read_letters(document: Document) -> str:
    return letters("\n".join(block.text for block in document.blocks))


@given(st.text(max_size=200) | WORDS)
def test_no_letter_of_a_plain_text_is_lost(text: str) -> None:
    try:
        document = parse("a.txt", codecs.BOM_UTF8 + text.encode("utf-8", "replace"))
    except Unreadable:
        assert not letters(text.encode("utf-8", "replace").decode())
        return
    assert read_letters(document) == letters(text.encode("utf-8", "replace").decode())


@given(st.lists(st.lists(WORDS, min_size=2, max_size=4), min_size=1, max_size=5))
def test_no_letter_of_a_csv_file_is_lost(rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([[cell.replace("\x00", "") for cell in row] for row in rows])
    try:
        document = parse("a.csv", codecs.BOM_UTF8 + out.getvalue().encode())
    except Unreadable:
        return
    assert sorted(set(read_letters(document))) == sorted(set(letters(out.getvalue())))


@given(
    st.dictionaries(
        st.sampled_from(["text", "title", "date", "topic", "q", "a"]),
        WORDS | st.none() | st.lists(WORDS, max_size=2),
    ),
    WORDS,
)
def test_any_line_is_a_record_or_none(record: dict[str, object], junk: str) -> None:
    data = (json.dumps(record) + "\n" + junk).encode()
    with suppress(Unreadable):
        parse("a.jsonl", data)


TAGS = st.sampled_from(
    [
        "<p>",
        "</p>",
        "<div>",
        "</div>",
        "<b>",
        "</b>",
        "<ul>",
        "<li>",
        "</ul>",
        "<table>",
        "<tr>",
        "<td>",
        "<th>",
        "</table>",
        "<h1>",
        "</h1>",
        "<br>",
        "<ol start=2>",
        "<pre>",
        "</pre>",
        "<td colspan=3>",
        "<td rowspan=2>",
        "<a>",
        "</a>",
        "<dl>",
        "<dt>",
        "<dd>",
        "<span>",
        "<blockquote>",
        "<section>",
        "<html>",
        "<body>",
        "<caption>",
        "<thead>",
        "</tr>",
        "</li>",
        "<main>",
        "</main>",
    ]
)


@given(st.lists(TAGS | st.text("的是我abc12 \n", max_size=8), max_size=30))
def test_any_soup_of_tags_is_read_without_losing_a_letter(pieces: list[str]) -> None:
    expected = set(letters("".join(piece for piece in pieces if not piece.startswith("<"))))
    try:
        document = parse("a.html", "".join(pieces).encode())
    except Unreadable:
        assert not expected
        return
    if "<main>" not in pieces:  # else what stands around it is left out
        assert expected <= set(read_letters(document))


MARKS = (
    *("# ", "- ", "1. ", "> ", "```\n", "    ", "| a | b |\n", "|-|-|\n", "\n", "\n\n", "**", "`"),
    *("<b>", "[a](b)", "![a](b)", "---\n", "\\"),
)


@given(st.lists(st.sampled_from(MARKS) | st.text("的是我xyz12 \n", max_size=8), max_size=30))
def test_any_markdown_is_read_without_losing_a_letter(pieces: list[str]) -> None:
    text = "".join(pieces)
    plain = "".join(piece for piece in pieces if not piece.startswith(("<", "[", "!", "|", "1")))
    try:
        document = parse("a.md", text.encode())
    except Unreadable:
        assert not letters(plain) or "---" in text
        return
    assert set(letters(plain)) - set("ab1") <= set(read_letters(document))
