"""The page as a strict reader sees it: every element must be closed, in order."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from qingtan.corpus.report import write_report
from qingtan.corpus.statistics import CorpusReport

VOID = {"meta", "link", "input", "br", "hr", "img"}


@dataclass
class Element:
    """An element of the page, with its children: elements and strings."""

    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list["Element | str"] = field(default_factory=list)

    def walk(self) -> Iterator["Element"]:
        """Yield this element and all below it, in the page's order."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag: str, name: str | None = None) -> list["Element"]:
        """Return the elements of a tag, and of a class if one is named."""
        return [e for e in self.walk() if e.tag == tag and (name is None or name in e.classes)]

    def section(self, name: str) -> "Element":
        """Return the section of this id."""
        return next(e for e in self.all("section") if e.attributes.get("id") == name)

    @property
    def classes(self) -> list[str]:
        """Its classes."""
        return (self.attributes.get("class") or "").split()

    def text(self, language: str = "en") -> str:
        """Return what is to be read below this element by those who chose a language."""
        other = {"en": "zh", "zh": "en"}[language]
        return "".join(
            child if isinstance(child, str) else child.text(language)
            for child in self.children
            if isinstance(child, str) or other not in child.classes
        )


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("")
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> names an attribute twice"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(html: str) -> Element:
    """Parse a page; an element left open, or closed out of order, is an AssertionError."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == [reader.root], f"<{reader.open[-1].tag}> is not closed"
    return reader.root


def page_of(report: CorpusReport, folder: Path, title: str = "corpus") -> Element:
    """Write a report, and return its page."""
    write_report(report, folder, title)
    return read_page((folder / "report.html").read_text(encoding="utf-8"))


def words_of(element: Element, language: str = "en") -> str:
    """Return the words of an element, one space between them."""
    return " ".join(element.text(language).split())


def rows_of(element: Element, language: str = "en") -> list[list[str]]:
    """Return the cells of all tables below an element, the first column's included."""
    rows = [row.all("td") for row in element.all("tr")]
    return [[words_of(cell, language) for cell in row] for row in rows if row]
