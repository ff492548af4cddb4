"""Markup: HTML, the remnants of wikis, Markdown's images and link targets.

Code is left alone: a fence of backticks or tildes, and a span of backticks. So are escaped tags,
`&lt;b&gt;`, which are text about markup; unescaped they would be markup.
"""

import re
from collections.abc import Callable
from html import unescape

_KEPT = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})[^\n]*\n(?s:.*?)(?:^[ \t]*(?P=fence)[^\n]*$|\Z)"
    r"|(?P<ticks>`+)[^`\n]+(?P=ticks)(?!`)"
    r"|&lt;[A-Za-z/!](?:(?!&lt;|&gt;)[^\n]){0,300}&gt;",
    re.MULTILINE,
)

# A reference to a source, a comment, a script or a style sheet, with what it holds. None of them
# may hold another beginning of its kind, so an unclosed one costs no second search.
_WITH_CONTENT = re.compile(
    r"<!--(?:(?!<!--).)*?-->"
    r"|<(?P<name>ref|script|style)\b[^<>]*(?:/>|>(?:(?!<(?P=name)\b).)*?</(?P=name)\s*>)",
    re.DOTALL | re.IGNORECASE,
)

_LINE_TAGS = (
    "address|article|aside|blockquote|body|br|caption|center|dd|div|dl|dt|fieldset|figcaption"
    "|figure|footer|form|h[1-6]|head|header|hr|html|li|main|nav|ol|option|p|pre|section|select"
    "|table|tbody|tfoot|thead|title|tr|ul"
)
_CELL_TAGS = "td|th"
_INLINE_TAGS = (
    "a|abbr|acronym|audio|b|bdi|bdo|big|blink|button|canvas|cite|code|col|colgroup|del|details|dfn"
    "|em|embed|font|i|iframe|img|input|ins|kbd|label|link|map|mark|meta|noscript|nowiki|object"
    "|picture|poem|q|rp|rt|ruby|s|samp|script|small|source|span|strike|strong|style|sub|summary"
    "|sup|svg|time|tt|u|var|video|wbr"
)


# Attributes have values, or are among those that need none: in "a <b and c> d" there is no tag.
_ATTRIBUTE = (
    r"[\w:@.-]+\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'|[^\s\"'<>=]+)"
    r"|(?:async|autoplay|checked|controls|defer|disabled|hidden|loop|nowrap|open|selected)(?=[\s/>])"
)
_TAG = re.compile(
    rf"</?(?:(?P<line>{_LINE_TAGS})|(?P<cell>{_CELL_TAGS})|{_INLINE_TAGS})"
    rf"(?:\s+(?:{_ATTRIBUTE}))*\s*/?>",
    re.IGNORECASE,
)
# Map<A> and the like: a capital between brackets, directly after a name.
_TYPE_PARAMETER = re.compile(r"(?<=[A-Za-z0-9_])<[A-Z]>")

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_WIKI_LINK = re.compile(r"\[\[(?!\s)([^\[\]\n|]+)(?:\|([^\[\]\n]*))?\]\]")
_WIKI_FILES = re.compile(
    r":?(?:file|image|category|文件|檔案|图像|圖像|分类|分類) *:", re.IGNORECASE
)

_TARGET = r"\((?=[^()\s]*[./#:])(?:[^()\n]|\([^()\n]*\))*\)"
_MARKDOWN_IMAGE = re.compile(rf"!\[[^\[\]\n]*\]{_TARGET}")
_MARKDOWN_LINK = re.compile(rf"\[([^\[\]\n]*)\]{_TARGET}")

_VARIANTS = re.compile(r"-\{((?:(?!-\{|\}-)[^\n])*)\}-")
_VARIANT_FLAGS = re.compile(r"\s*([A-Za-z;-]*)\s*\|")
_VARIANT_RULE = re.compile(r"\s*(?:[^;:]*=>)?\s*(zh(?:-[a-z]+)*)\s*:(.*)", re.DOTALL)
_VARIANT_END = re.compile(r";(?=\s*(?:[^;:]*=>)?\s*zh(?:-[a-z]+)*\s*:|\s*$)")
_IDEOGRAPH = re.compile("[\u3400-\u9fff\U00020000-\U0003ffff]")
_PREFERRED = ("zh-cn", "zh-hans", "zh-sg", "zh-my", "zh")
# Rules that only say how to convert the rest of a page: hidden, of its title, and withdrawn.
_UNSEEN_FLAGS = {"H", "T", "-"}


def remove_markup(text: str) -> str:
    """Return the text without HTML and wiki markup.

    A tag that begins or ends a line or paragraph becomes a line feed, one of a table's cell a
    space. What it unwraps may be markup again; the caller repeats.
    """
    if not ("<" in text or "&" in text or "[[" in text or "{{" in text):
        return text
    return _outside_code(text, _remove_markup)


def remove_markdown_links(text: str) -> str:
    """Return the text without Markdown's images and without its links' targets."""
    if "](" not in text:
        return text
    return _outside_code(
        text, lambda part: _MARKDOWN_LINK.sub(r"\1", _MARKDOWN_IMAGE.sub("", part))
    )


def choose_variants(text: str) -> str:
    """Return the text with `-{zh-cn:…;zh-tw:…}-` replaced by the simplified variant."""
    return _VARIANTS.sub(_choose_variant, text) if "-{" in text else text


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    parts = []
    end = 0
    for kept in _KEPT.finditer(text):
        parts += [change(text[end : kept.start()]), kept[0]]
        end = kept.end()
    parts.append(change(text[end:]))
    return "".join(parts)


def _remove_markup(text: str) -> str:
    text = _WITH_CONTENT.sub("", text)
    text = _TEMPLATE.sub("", text)
    text = _WIKI_LINK.sub(_link_text, text)
    types = {match.start() for match in _TYPE_PARAMETER.finditer(text)}
    text = _TAG.sub(lambda tag: tag[0] if tag.start() in types else _separator(tag), text)
    return _ENTITY.sub(_character, text)


def _separator(tag: re.Match[str]) -> str:
    return "\n" if tag["line"] else " " if tag["cell"] else ""


def _link_text(link: re.Match[str]) -> str:
    if _WIKI_FILES.match(link[1]):
        return ""
    return link[1] if link[2] is None else link[2]


def _character(entity: re.Match[str]) -> str:
    character = unescape(entity[0])
    # Half a tag must not come from an entity: what it would make is text, not markup.
    makes_tag = character == "<" and re.match("[A-Za-z/!]", entity.string[entity.end() :][:1])
    return entity[0] if makes_tag else character


def _choose_variant(match: re.Match[str]) -> str:
    content = match[1]
    flags = _VARIANT_FLAGS.match(content)
    if flags:
        if _UNSEEN_FLAGS & set(flags[1].split(";")):
            return ""
        content = content[flags.end() :]
    rules = [_VARIANT_RULE.fullmatch(rule) for rule in _VARIANT_END.split(content)]
    values = {rule[1]: rule[2].strip() for rule in reversed(rules) if rule}
    if not values:
        # Braces between hyphens are code more often than a wiki's, unless they hold Chinese.
        return content if flags or _IDEOGRAPH.search(content) else match[0]
    first = next(reversed(values.values()))
    return next((values[name] for name in _PREFERRED if name in values), first)
