"""What a file becomes: blocks in their order, each with its place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

BlockKind = Literal["heading", "paragraph", "list", "table", "code", "faq"]
# Left, top, right and bottom as shares of the page's width and height, from its upper left corner.
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Faq:
    """A question with its answer, from a sheet or a file of frequent questions.

    Attributes:
        similar: other wordings of the question.
        topic: what it is about, for filters and for routing; may be empty.
    """

    question: str
    answer: str
    similar: tuple[str, ...] = ()
    topic: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document that belongs together.

    Attributes:
        text: the words, without markup; of a table its rows as lines, cells joined by " | "; of a
            `faq` the question and the answer as two lines.
        level: of a heading, from 1 (highest); 0 for all else.
        page: from 1, where the format has pages, slides or sheets.
        box: where it stands on the page, of a PDF.
        rows: of a table its cells; a merged cell's text stands in each cell that it covers. All
            rows are of one length.
        header_rows: how many of the first rows are the table's header.
        faq: of a `faq` block.
    """

    kind: BlockKind
    text: str
    level: int = 0
    page: int | None = None
    box: Box | None = None
    rows: tuple[tuple[str, ...], ...] = ()
    header_rows: int = 0
    faq: Faq | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file or a page that was read.

    Attributes:
        name: a file's name, with its folders inside an archive or a folder ("手册/第一章.pdf"),
            or an address. It names the document in its base: the same name again is a new version.
        title: for people; the file's own, or its first heading, or else the name.
        media_type: such as "application/pdf".
        blocks: in reading order. A block's number, from 1, is its place for citations.
        pages: how many there are, where the format has pages.
        date: ISO 8601, the document's own where it says so; for filters.
        warnings: what could not be read, for people.
        facts: what else the format tells, such as "author".
    """

    name: str
    title: str
    media_type: str
    blocks: tuple[Block, ...]
    pages: int | None = None
    date: str | None = None
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
