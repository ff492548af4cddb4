"""A document as sections: what stands under one heading, or is one article."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from qingtan.knowledge.chunking.outline import Heading, find_articles, find_headings
from qingtan.knowledge.documents import Block, Document

Measure = Callable[[str], int]
# Sections of at most this share of a chunk's size are joined with their like.
_TINY = 1 / 6
_JOINED_KINDS = ("paragraph", "list")


@dataclass(slots=True)
class Section:
    """Blocks with their numbers, from 1, under a path of headings.

    Attributes:
        own: the heading itself with its number, where the section has one of its own.
        article: it is one of a law's, or a part of one.
    """

    path: tuple[Heading, ...]
    label: str = ""
    article: bool = False
    own: tuple[int, Block] | None = None
    blocks: list[tuple[int, Block]] = field(default_factory=list)

    @property
    def headings(self) -> tuple[str, ...]:
        """The titles above it."""
        return tuple(heading.text for heading in self.path)


def divide(document: Document, size: int, measure: Measure) -> list[Section]:
    """Return a document's sections in order; tiny neighbours under one heading are joined.

    A heading with nothing below it is a section whose text it is.
    """
    sections = list(_with_text(_walk(document.blocks)))
    return list(_join_tiny(sections, size, measure))


def _walk(blocks: Sequence[Block]) -> Iterator[Section]:
    headings, articles = find_headings(blocks), find_articles(blocks)
    path: tuple[Heading, ...] = ()
    section = Section(path)
    for place, block in enumerate(blocks):
        if heading := headings.get(place):
            yield section
            path = (*(each for each in path if each.level < heading.level), heading)
            own = (place + 1, block)
            section = Section(path, heading.label, heading.is_article, own)
        elif place in articles:
            yield section
            section = Section(path, articles[place], article=True)
            section.blocks.append((place + 1, block))
        elif block.text.strip():
            section.blocks.append((place + 1, block))
    yield section


def _with_text(sections: Iterator[Section]) -> Iterator[Section]:
    """Drop sections without blocks whose heading stands above others; keep the rest's headings."""
    kept = list(sections)
    for section, following in zip(kept, [*kept[1:], None], strict=True):
        if not section.blocks and section.own:
            # The very heading, not one of the same words beside it.
            if following and any(heading is section.path[-1] for heading in following.path):
                continue
            section.blocks.append(section.own)
            section.path, section.own = section.path[:-1], None
        if section.blocks:
            yield section


def _join_tiny(sections: list[Section], size: int, measure: Measure) -> Iterator[Section]:
    def kin(section: Section) -> tuple[object, ...]:
        if section.own and not section.article and _is_tiny(section, size, measure):
            return (section.path[:-1], section.path[-1].level)
        return (id(section),)

    for _, group in groupby(sections, kin):
        yield from _joined(list(group), size, measure)


def _is_tiny(section: Section, size: int, measure: Measure) -> bool:
    if any(block.kind not in _JOINED_KINDS for _, block in section.blocks):
        return False
    text = "\n".join(block.text for _, block in section.blocks)
    # A token is rarely more than a few characters, so that long texts need no measuring.
    return len(text) < 4 * size and measure(text) <= size * _TINY


def _joined(group: list[Section], size: int, measure: Measure) -> Iterator[Section]:
    """Yield one section for as many as a chunk holds; their headings are then lines of its text."""
    if len(group) == 1:
        yield group[0]
        return
    current, total = Section(group[0].path[:-1]), 0
    for section in group:
        blocks = [*([section.own] if section.own else []), *section.blocks]
        tokens = sum(measure(block.text) + 1 for _, block in blocks)
        if current.blocks and total + tokens > size:
            yield current
            current, total = Section(section.path[:-1]), 0
        current.blocks += blocks
        total += tokens
    yield current
