"""Lines that are page furniture."""

import pytest

from .steps import clean

FURNITURE = [
    "© 2024 Example Inc.",
    "Copyright © 2003-2024 example.com. All Rights Reserved.",
    "All rights reserved.",
    "版权所有 © 某某网 未经许可不得转载",
    "版权所有：某某新闻网",
    "京ICP备12345678号-1",
    "沪公网安备 31010102001234号",
    "增值电信业务经营许可证：京B2-20090059",
    "责任编辑：张三",
    "（责任编辑：李四）",
    "【责编: 王五】",
    "上一篇：春晓",
    "下一章",
    "上一页 1 2 3 下一页",
    "上一章 | 目录 | 下一章",
    "返回顶部",
    "返回首页 >>",
    "点击查看更多",
    "阅读全文 >",
    "Read more »",
    "扫一扫，关注微信公众号",
    "长按二维码关注我们！",
    "关注我们",
    "欢迎关注我们的微信公众号：某某",
    "分享到： 微信 微博 QQ空间",
    "Share on Twitter",
    "We use cookies to improve your experience.",
    "Accept all cookies",
    "本网站使用Cookie来改善您的体验",
    "Edit this page",
    "EDIT ON GITHUB",
    "编辑此页",
    "Back to top",
    "Was this page helpful? Yes No",
    "Last updated on May 3, 2021",
    "首页 > 新闻 > 正文",
    "您现在的位置：首页 > 国内",
    "当前位置: 网站首页 >> 公告",
    "登录 | 注册",
    "广告",
    "Advertisement",
]

TEXT = [
    "版权所有",
    "版权所有人应当在合同中写明使用的期限。",
    "本作品版权所有，未经许可不得转载，作者保留追究责任的权利。",
    "Copyright (c) 2019 Jane Doe",
    "Copyright is a right that authors have.",
    "Permission is hereby granted. All rights reserved by others stay theirs.",
    "责任编辑是一种职务，负责稿件的审读。",
    "上一篇文章里我们讲过注意力。",
    "下一页按钮在右下角，点击它翻页。",
    "返回值是一个整数。",
    "回家的路上下起了雨",
    "点击“保存”按钮。",
    "查看日志，找到错误的原因",
    "关注民生，关注教育。",
    "扫描二维码，登录控制台",
    "分享到的文件会出现在列表里。",
    "Share the results with your team.",
    "We use a cache to make it faster.",
    "Cookies are small files.",
    "Edit this page's title in the settings of the page.",
    "编辑此页面。",
    "首页的设计很简洁，上面有三张图。",
    "Home is where the heart is",
    "京剧是中国的国粹。",
    "广告是一种传播方式",
    "登录后注册设备。",
    "您好：请问首页在哪里",
]


@pytest.mark.parametrize("line", FURNITURE)
def test_furniture_is_dropped(line: str) -> None:
    assert clean(f"第一段。\n\n{line}\n\n第二段。", "boilerplate") == "第一段。\n\n第二段。"
    assert clean(f"{line}\n正文\n  {line} ", "boilerplate") == "正文"


@pytest.mark.parametrize("line", TEXT)
def test_text_stays(line: str) -> None:
    assert clean(line, "boilerplate") == line


def test_long_lines_and_code_stay() -> None:
    line = "© 2024 Example Inc."
    code = f"```\n{line}\n```\n正文"
    assert clean(f"{code}\n{line}", "boilerplate") == code
    assert clean(line, "boilerplate", boilerplate_characters=len(line) - 1) == line
    assert clean("一\n\n\n二", "boilerplate") == "一\n\n\n二"


def test_a_recipes_patterns_match_whole_lines() -> None:
    patterns = (r"本文由.{1,10}整理", r"(?i)page \d+")
    text = "本文由小编整理\n正文说本文由小编整理。\n  PAGE 12\n\nSee page 12"
    expected = "正文说本文由小编整理。\n\nSee page 12"
    assert clean(text, "boilerplate", boilerplate_patterns=patterns) == expected


def test_empty_lines_are_never_furniture() -> None:
    assert clean("一\n\n二", "boilerplate", boilerplate_patterns=(r"\s*",)) == "一\n\n二"
