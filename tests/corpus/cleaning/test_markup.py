"""Removal of HTML, wiki and Markdown marks."""

import pytest

from .steps import clean

MARKUP = [
    ("<b>粗</b>体<br/>下一行", "粗体\n下一行"),
    ('<p class="a">One</p><p>Two</p>', "\nOne\n\nTwo\n"),
    ("<tr><td>1</td><td>2</td></tr>", "\n 1  2 \n"),
    ('<a href="https://example.org/a?b=1" target=_blank>链接</a>', "链接"),
    ('<img src="a.png" alt="图">', ""),
    ("<INPUT type=checkbox checked>选", "选"),
    ("前<!-- 注释\n<b> -->后", "前后"),
    ("a<script>if (a < b) { alert('</b>') }</script>b<style>p {}</style>", "ab"),
    ("Tom &amp; Jerry &#20013;&#x6587; &nbsp;&hellip;", "Tom & Jerry 中文 \xa0…"),
    ("a &lt; b &gt; c", "a < b > c"),
    ("&amp;amp;", "&"),
    ("北京<ref name=x>来源</ref>是<ref name=y />首都", "北京是首都"),
    ("[[北京市|北京]]与[[上海]]", "北京与上海"),
    ("[[File:A.jpg|thumb|[[故宫]]全景]]正文[[分类:城市]]", "正文"),
    ("人口{{Cite|{{date|2020}}|url=x}}很多", "人口很多"),
]

MARKUP_UNTOUCHED = [
    "a < b and c > d; a <b and c> d",
    "List<int> Map<A> vector<string> std::array<T, 3> #include <stdio.h>",
    "`<b>` and ``<i>`` and `&amp;`",
    "```html\n<p>段落</p>\n{{ x }}\n```",
    "~~~\n<br>\n~~~",
    "write &lt;b&gt; for bold, &lt;a href=&quot;x&quot;&gt;",
    "AT&T; R&D, a && b, &unknown;",
    "[[ -f x ]] && a[[1]",
    "x <- y; i<j; <3",
]

MARKDOWN = [
    ('![图](images/a.png)看[这里](https://example.org/a_(b) "标题")。', "看这里。"),
    ("[![badge](b.svg)](https://ci.example.org)", ""),
    ("[a](#top) [b](../x.md)", "a b"),
    ("f[i](x) 和 [注](见下)", "f[i](x) 和 [注](见下)"),
    ("`[a](b.md)`", "`[a](b.md)`"),
]

VARIANTS = [
    ("-{zh-cn:网络;zh-tw:網路}-", "网络"),
    ("-{zh-tw:網路;zh-hans:网络;}-", "网络"),
    ("-{zh-hant: 職人; zh-hk:工匠}-", "職人"),
    ("在-{后}-面，-{皇后大道中}-", "在后面，皇后大道中"),
    ("-{A|zh-cn:打印机; zh-tw:印表機}-和-{R|乾}-", "打印机和乾"),
    ("-{H|zh-cn:巴士;zh-hk:公車}--{T|标题}-正文", "正文"),
    ("-{zh-cn:甲-{乙}-;zh-tw:丙}-", "甲乙"),
]

VARIANTS_UNTOUCHED = ["{a}-{b}-{c}", "x-{language}-y", "-{}-", "-{  }-", "a-{1,2}-b", "-{A", "}-"]


@pytest.mark.parametrize(("text", "expected"), MARKUP)
def test_markup_is_removed(text: str, expected: str) -> None:
    assert clean(text, "markup") == expected


@pytest.mark.parametrize("text", MARKUP_UNTOUCHED)
def test_code_and_comparisons_stay(text: str) -> None:
    assert clean(text, "markup") == text


@pytest.mark.parametrize(("text", "expected"), MARKDOWN)
def test_markdown_links_keep_their_text(text: str, expected: str) -> None:
    assert clean(text, "markdown_links") == expected


@pytest.mark.parametrize(("text", "expected"), VARIANTS)
def test_the_simplified_variant_is_chosen(text: str, expected: str) -> None:
    assert clean(text, "wiki_variants") == expected


@pytest.mark.parametrize("text", VARIANTS_UNTOUCHED)
def test_braces_between_hyphens_stay(text: str) -> None:
    assert clean(text, "wiki_variants") == text


@pytest.mark.parametrize(
    "part", ["<!--", "<ref>", "<a x='", "[[a", "{{", "&lt;b", "`", "-{zh:", "[a]("]
)
def test_unclosed_marks_take_no_longer_than_a_text(part: str) -> None:
    text = part * 20_000
    assert clean(text, "markup", "markdown_links", "wiki_variants").startswith(part[0])
