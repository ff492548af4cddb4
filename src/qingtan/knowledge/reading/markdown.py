"""Markdown, by markdown-it-py: CommonMark with tables, and the front matter of a file."""

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from qingtan.knowledge.reading.draft import Draft
from qingtan.knowledge.reading.grid import looks_like_header
from qingtan.knowledge.reading.html import Walk, parse_page
from qingtan.knowledge.reading.text import clean, decode, join

# Between two lines of three hyphens at the beginning; the first line is a key, for three hyphens
# may also be a rule.
_FRONT_MATTER = re.compile(
    r"\A---[ \t]*\n(?=[^\s:][^:\n]*:)((?:(?!---|\.\.\.).*\n)+)(?:---|\.\.\.)[ \t]*(?:\n|\Z)"
)
_FACTS = ("author", "description", "keywords", "topic", "tags", "category")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<!--.*?-->", re.DOTALL)
_DEEPEST = 100


def read_markdown(data: bytes, draft: Draft) -> None:
    """Read a Markdown file."""
    text = clean(decode(data))
    front = _FRONT_MATTER.match(text)
    if front:
        _read_front_matter(front[1], draft)
        text = text[front.end() :]
    parser = MarkdownIt("commonmark", {"maxNesting": _DEEPEST}).enable(["table", "strikethrough"])
    _Reader(parser.parse(text), draft).read()


def _read_front_matter(text: str, draft: Draft) -> None:
    for line in text.split("\n"):
        key, colon, value = line.partition(":")
        value = value.strip().strip("'\"")
        if not colon or not value:
            continue
        if key == "title":
            draft.title = value
        elif key == "date":
            draft.date = value
        elif key in _FACTS:
            draft.facts[key] = value


class _Reader:
    def __init__(self, tokens: list[Token], draft: Draft) -> None:
        self._tokens = tokens
        self._draft = draft
        self._next = 0

    def read(self) -> None:
        while self._next < len(self._tokens):
            token = self._take()
            if token.type == "heading_open":
                self._draft.heading(self._text("heading_close"), int(token.tag[1:]))
            elif token.type in ("bullet_list_open", "ordered_list_open"):
                self._draft.items(self._list(token))
            elif token.type == "table_open":
                self._table()
            else:
                self._other(token)

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _other(self, token: Token) -> None:
        if token.type == "inline":
            self._draft.paragraph(inline_text(token))
        elif token.type in ("fence", "code_block"):
            self._draft.code(token.content)
        elif token.type == "html_block":
            tree = parse_page(token.content)
            if tree is not None:
                Walk(self._draft).block(tree)

    def _text(self, end: str) -> str:
        pieces: list[str] = []
        while (token := self._take()).type != end:
            pieces.append(inline_text(token))
        return " ".join(filter(None, pieces))

    def _list(self, opening: Token) -> list[str]:
        """Return the lines of a list; those of lists inside it follow with spaces before them."""
        lines: list[str] = []
        counters = [_first_number(opening)]
        sign = ""
        while counters:
            token = self._take()
            indent = "  " * (len(counters) - 1)
            if token.type in ("bullet_list_open", "ordered_list_open"):
                counters.append(_first_number(token))
            elif token.type in ("bullet_list_close", "ordered_list_close"):
                counters.pop()
            elif token.type == "list_item_open" and counters[-1] is not None:
                number = counters[-1]
                sign, counters[-1] = f"{number}. ", number + 1
            elif token.type == "inline" or token.content:
                content = inline_text(token) if token.type == "inline" else _raw(token)
                for line in content.split("\n"):
                    lines.append(indent + sign + line)
                    sign = ""
        return lines

    def _table(self) -> None:
        rows: list[list[str]] = []
        while (token := self._take()).type != "table_close":
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(inline_text(token).replace("\n", " "))
        header = any(rows[0]) or looks_like_header(rows) if rows else False
        self._draft.table(rows, 1 if header else 0)


def _first_number(token: Token) -> int | None:
    if token.type != "ordered_list_open":
        return None
    return int(token.attrs.get("start", 1))


def _raw(token: Token) -> str:
    return _TAG.sub(" ", token.content) if token.type == "html_block" else token.content


def inline_text(token: Token) -> str:
    """Return the words of a token: of links and pictures their text, of a hard break a new line."""
    lines: list[list[str]] = [[""]]
    for child in token.children or ():
        if child.type == "softbreak":
            lines[-1].append("")
        elif child.type == "hardbreak" or (
            child.type == "html_inline" and re.match(r"<br\b", child.content, re.IGNORECASE)
        ):
            lines.append([""])
        elif child.type != "html_inline":
            lines[-1][-1] += child.content
    return "\n".join(join(line) for line in lines)
