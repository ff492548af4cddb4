"""HTML pages, all written for these tests."""

import time
from pathlib import Path

import pytest

from qingtan.corpus.reading import Rejected

from .reading import read, texts, values, write

HEAD = '<!DOCTYPE html><html lang="zh"><head><meta charset="utf-8"><title>\n 龙舟节 —\n青潭</title>'
PAGE = (
    HEAD
    + """<style>.a{color:red}</style><script>var ad = "立即下载";</script></head><body>
<header><nav><ul><li><a href="/1">首页</a></li><li><a href="/2">财经</a></li></ul></nav></header>
<main><article><h1>第三届龙舟节</h1>
<p>10日上午，<a href="/x">东河</a>和<a href="/y">柳林</a>的船到了<b>江</b>边，锣鼓声此起彼伏。</p>
<p>每条船都配备了<em>救生衣</em>&nbsp;共&lt;36&gt;件，比去年增加了一&#20493;。<!-- 注释 --></p>
<h2>名</h2>
<table><tr><th>名次</th><th>村</th></tr><tr><td>1</td><td>东河</td></tr></table>
<h2>下届安排</h2>
<ul><li>赛道延长到八百米</li><li>增设青少年组<ul><li>网上报名</li></ul></li></ul>
<ol><li>先报名</li><li>再抽签</li></ol>
<pre><code>for i in range(3):
    print(i)

print("完 &amp; 毕")
</code></pre>
<p>床前明月光，<br>疑是地上霜。</p><div>第一块</div><div>第二块</div>
<i class="icon">&#xe600;</i><h2>附<a class="headerlink" href="#f">¶</a></h2>
</article>
<aside><h3>热门文章</h3><ul><li><a href="/a">今日油价</a></li></ul></aside>
<div class="ad">限时优惠，立即购买！</div></main>
<footer><p>版权所有 2024 青潭新闻网</p><a href="/about">关于我们</a></footer></body></html>"""
)
MAIN = """第三届龙舟节
10日上午，东河和柳林的船到了江边，锣鼓声此起彼伏。
每条船都配备了救生衣 共<36>件，比去年增加了一倍。
名
名次 村
1 东河
下届安排
赛道延长到八百米
增设青少年组
网上报名
先报名
再抽签
for i in range(3):
print(i)
print("完 & 毕")
床前明月光，
疑是地上霜。
第一块
第二块
附"""


def lines_of(text: str) -> list[str]:
    """Return the lines with text, white space within and around them made one."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["a.html", "a.htm", "a.html.gz", "a.htm.zst"])
def test_the_main_text_is_all_there_and_alone(tmp_path: Path, name: str) -> None:
    (value,) = values(write(tmp_path, name, PAGE))
    assert value["title"] == "龙舟节 — 青潭"
    assert lines_of(value["text"]) == MAIN.splitlines()


def test_code_keeps_its_layout(tmp_path: Path) -> None:
    (text,) = texts(write(tmp_path, "a.html", PAGE))
    assert 'for i in range(3):\n    print(i)\n\nprint("完 & 毕")\n' in text


def test_all_visible_text(tmp_path: Path) -> None:
    (text,) = texts(write(tmp_path, "a.html", PAGE), html="all")
    found = lines_of(text)
    for line in [*MAIN.splitlines()[:-1], "首页", "今日油价", "限时优惠，立即购买！", "关于我们"]:
        assert line in found
    for hidden in ("立即下载", "color", "注释", "龙舟节 —"):
        assert hidden not in text


def test_menus_are_left_out_and_plain_lists_are_not(tmp_path: Path) -> None:
    page = (
        "<body><ul><li><a href=1>首页</a></li><li><a href=2>书库</a></li></ul>"
        "<ul><li>坛子要洗净晾干</li><li>盐</li></ul><p>半个月就可以吃。</p></body>"
    )
    (value,) = values(write(tmp_path, "a.html", page))
    assert lines_of(value["text"]) == ["坛子要洗净晾干", "盐", "半个月就可以吃。"]
    assert "title" not in value


@pytest.mark.parametrize("character", ["江", "&#27743;", "&#x6c5f;", "，", "가"])
def test_no_single_character_is_lost(tmp_path: Path, character: str) -> None:
    page = f"<p>船到<b> {character} </b>边，<span>{character}</span><!---->水<i>{character}</i></p>"
    (text,) = texts(write(tmp_path, "a.html", page))
    plain = {"&#27743;": "江", "&#x6c5f;": "江"}.get(character, character)
    assert "".join(text.split()) == f"船到{plain}边，{plain}水{plain}"


@pytest.mark.parametrize("declared", ["gb2312", "GBK", "gb18030"])
def test_the_page_declares_its_encoding(tmp_path: Path, declared: str) -> None:
    page = f'<html><head><meta charset="{declared}"></head><body><p>朱镕基与玥</p></body>'
    assert texts(write(tmp_path, "a.html", page.encode("gb18030"))) == ["朱镕基与玥"]


def test_other_declarations(tmp_path: Path) -> None:
    form = '<meta http-equiv="Content-Type" content="text/html; charset={}"><p>水調歌頭</p>'
    for declared, actual in [
        ("big5", "big5"),
        ("gb2312", "utf-8-sig"),
        ("utf-8", "gb18030"),
        ("utf-16", "utf-8"),
        ("nonsense", "utf-8"),
        ("utf-8", "utf-16"),
    ]:
        path = write(tmp_path, "a.html", form.format(declared).encode(actual))
        assert texts(path) == ["水調歌頭"], (declared, actual)


def test_pages_without_text_or_that_cannot_be_decoded_are_rejected(tmp_path: Path) -> None:
    for page in (b"<html><body><script>run()</script></body></html>", b"<p>\xe4\xb8 \xff\xff</p>"):
        (found,) = read(write(tmp_path, "a.html", page))
        assert isinstance(found, Rejected)


@pytest.mark.parametrize("page", ["<div>" * 200_000 + "文", "<b>" * 200_000, "<ul><li>" * 100_000])
def test_nesting_without_end_is_rejected_at_once(tmp_path: Path, page: str) -> None:
    started = time.process_time()
    (found,) = read(write(tmp_path, "a.html", page))
    assert isinstance(found, Rejected)
    assert "nested deeper than 512" in found.reason
    assert time.process_time() - started < 5


def test_nul_bytes_and_unclosed_tags_are_read(tmp_path: Path) -> None:
    page = "<p>甲\0乙<p>丙<table><td>丁<b"
    assert lines_of(texts(write(tmp_path, "a.html", page))[0]) == ["甲乙", "丙", "丁"]


def test_menus_and_footers_of_chinese_sites_are_left_out(tmp_path: Path) -> None:
    body = "<p>入汛以来，我镇降雨偏多，现将有关事项通知如下。</p>"
    asides = "".join(
        f'<div {attribute}="{name}">杂项</div>'
        for name in ("guanggao", "foot", "share", "crumbs", "bdsharebuttonbox", "copyright")
        for attribute in ("class", "id")
    )
    path = write(tmp_path, "a.html", f"<body><div>{asides}{body}</div>{asides}</body>")
    assert texts(path) == ["入汛以来，我镇降雨偏多，现将有关事项通知如下。"]
    assert texts(path, html="all")[0].count("杂项") == 24
