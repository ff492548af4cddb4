"""Page furniture: lines that belong to the page around a text, not to the text."""

import re
from collections.abc import Sequence
from itertools import chain

# By name: how such a line begins, words without regard to case, and what may follow, as a regular
# expression. The beginnings are apart so that one search rules out nearly all lines.
_FURNITURE: dict[str, tuple[Sequence[str], str]] = {
    "copyright": (
        ("©", "(c)", "（c）", "copyright", "版权", "版權"),
        r".*(?:all rights reserved|版权所有|版權所有|保留(?:所有|一切)权利).*",
    ),
    # Without the sign it is a statement of a licence, which belongs to a text.
    "sign": (("©",), r"\s*(?:19|20)\d\d[^。；]{0,60}"),
    "rights": (("版权所有", "版權所有"), r"(?![人者权權])[^。；]{1,60}。?"),
    "rights-reserved": (("all rights reserved", "保留所有权利", "保留一切权利"), r"[\s.。!]*"),
    "registration": (
        tuple("京津沪渝冀晋蒙辽吉黑苏浙皖闽赣鲁豫鄂湘粤桂琼川蜀贵黔云滇藏陕秦甘陇青宁新"),
        r"\s*(?:ICP[备证]|公网安备).{0,80}",
    ),
    "permit": (
        (
            "备案号",
            "icp备案",
            "增值电信业务",
            "互联网新闻信息服务",
            "网络文化经营",
            "信息网络传播视听",
        ),
        r".{0,20}[：:\s].*\d{4}.*",
    ),
    "editor": (
        [
            a + b
            for a in ("", "（", "(", "[", "【")
            for b in ("责任编辑", "責任編輯", "责编", "值班编辑", "网络编辑")
        ],
        r"\s*[：:].{0,20}",
    ),
    "neighbour": (
        [a + b for a in ("上一", "下一", "前一", "后一") for b in "篇页章条"],
        r"\s*[：:].{0,60}|(?:[\s|/\d·•«»<>]|[上下前后]一[篇页章条]|目录|首页|[尾末]页|返回..)*",
    ),
    "return": (("返回", "回到", "回"), r"(?:目录|首页|顶部|列表|主页|上一页|上级页面)[\s>»↑]*"),
    "more": (
        ("点击", "查看", "阅读", "展开", "加载", "显示"),
        r"(?:查看|阅读|加载|展开)?(?:更多|全文|原文|剩余)(?:内容|详情|精彩|文章|全文)*[\s>》»›….↓]*",
    ),
    "read-more": (("read more", "load more", "show more", "continue reading"), r"[\s>»›….→]*"),
    "scan": (
        ("扫一扫", "扫码", "扫描", "长按", "微信扫", "打开微信", "用微信扫", "使用微信扫"),
        r"[^。]{0,30}(?:关注|分享|公众号|订阅|手机阅读|看更多)[^。]{0,20}[。！!~]?",
    ),
    "follow": (
        ("关注", "请关注", "欢迎关注", "敬请关注", "更多精彩"),
        r"(?:[^。]{0,20}(?:公众号|官方微信|官方微博)[^。]{0,30}|我们)[。！!~]?",
    ),
    "share": (
        ("分享到", "分享至", "转发到", "分享本文", "分享：", "分享:"),
        r"(?:[：:、,/|\s+]|微信|微博|新浪|腾讯|QQ|空间|朋友圈|好友|豆瓣|Facebook|Twitter)*",
    ),
    "share-this": (
        ("share",),
        r" (?:this(?: (?:article|page|post|story))?|on (?:facebook|twitter|linkedin|reddit))[.:!]?",
    ),
    "cookies": (
        ("we use", "this site uses", "this website uses", "our site uses", "our website uses"),
        r" (?:\w+ ){0,3}cookies\b.*",
    ),
    "accept-cookies": (
        ("accept", "manage", "reject", "cookie"),
        r" (?:all )?(?:cookies|settings|preferences|policy)",
    ),
    "uses-cookies": (
        ("本网站使用", "本站使用", "我们使用", "此网站使用", "本网站会使用"),
        r"\s*cookies?.*|[^。]{0,10}\s*cookies?(?:来|以)(?:改善|提升|确保|提供).*",
    ),
    "edit": (
        ("edit this page", "edit on github", "edit page", "improve this page", "suggest edits"),
        r"(?: on github)?[.!]?",
    ),
    "page-tools": (
        ("view page source", "back to top", "skip to content", "skip to main content"),
        r"[\s↑.]*",
    ),
    "edit-zh": (("编辑此页", "编辑本页", "在 github 上编辑"), r"面?(?:内容)?"),
    "helpful": (
        ("was this page helpful", "was this helpful", "was this article helpful", "此页面有帮助吗"),
        r"[?？]?(?:\s*(?:yes|no|是|否|/))*",
    ),
    "updated": (("last updated", "last modified"), r"(?: on| at)?\s*[:：]?[^.]{0,15}\d{4}.{0,15}"),
    "place": (
        ("您", "你", "当前位置", "现在的位置", "所在位置"),
        r"(?:的?(?:当前|现在)?的?(?:所在)?的?位置)?(?:是|在)?\s*[：:]\s*(?:首页|主页|网站首页).*",
    ),
    "path": (
        ("首页", "网站首页", "主页", "home"),
        r"(?:\s*[>›»＞→/|]+\s*[^>›»＞→/|。，]{1,20}){2,8}|\s*[>›»＞→]+\s*正文",
    ),
    "sign-in": (("登录", "登陆", "登入"), r"\s*[|/]?\s*(?:注册|免费注册)(?:[\s|/].{0,30})?"),
    "advertisement": (("advertisement", "sponsored", "广告"), r"\s*"),
}

_FENCE = re.compile(r"\n[ \t]*(?:```|~~~)")
_ANY_LINE = re.compile(r"\n[^\n]+")
_BLANK_LINES = re.compile(r"\n{3,}")


class Boilerplate:
    """Drops lines that are page furniture, outside fenced code.

    Args:
        patterns: regular expressions for further lines, matched against a whole line without the
            spaces around it.
        max_characters: longer lines are never furniture.
    """

    def __init__(self, patterns: Sequence[str], max_characters: int) -> None:
        self._patterns = [_FURNITURE_LINE, *map(re.compile, patterns)]
        self._max_characters = max_characters
        # What a recipe's pattern begins with is not known, so every line has to be looked at.
        self._candidates = _ANY_LINE if patterns else _CANDIDATE

    def remove(self, text: str) -> str:
        """Return the text without its furniture, and without the gaps that would leave."""
        text = "\n" + text  # so that the first line begins like the others
        kept = []
        end = 0
        for line in self._candidates.finditer(text):
            if self._is_furniture(line[0].strip()) and not _in_code(text, line.start()):
                kept.append(text[end : line.start()])
                end = line.end()
        if not kept:
            return text[1:]
        kept.append(text[end:])
        return _BLANK_LINES.sub("\n\n", "".join(kept)).strip("\n")

    def _is_furniture(self, line: str) -> bool:
        if not line or len(line) > self._max_characters:
            return False
        return any(pattern.fullmatch(line) for pattern in self._patterns)


def _in_code(text: str, position: int) -> bool:
    return len(_FENCE.findall(text, 0, position)) % 2 == 1


def _furniture_line() -> re.Pattern[str]:
    """Return one pattern for a whole line of any kind of furniture."""
    kinds = (
        f"(?:{'|'.join(map(re.escape, starts))})(?:{rest})" for starts, rest in _FURNITURE.values()
    )
    return re.compile("|".join(kinds), re.IGNORECASE)


def _candidate() -> re.Pattern[str]:
    """Return a pattern for a line, and the break before it, that begins like furniture.

    It is made to turn nearly every line away at its first letter.
    """
    rests: dict[str, set[str]] = {}
    for start in chain.from_iterable(starts for starts, _ in _FURNITURE.values()):
        for spelling in (start, start.capitalize(), start.title(), start.upper()):
            rests.setdefault(spelling[0], set()).add(re.escape(spelling[1:]))
    firsts = re.escape("".join(sorted(rests)))
    words = (f"{re.escape(first)}(?:{'|'.join(sorted(rests[first]))})" for first in sorted(rests))
    return re.compile(rf"\n[ \t]*+(?=[{firsts}])(?:{'|'.join(words)})[^\n]*")


_FURNITURE_LINE = _furniture_line()
_CANDIDATE = _candidate()
