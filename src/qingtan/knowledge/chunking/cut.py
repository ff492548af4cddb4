"""From a document to its chunks."""

from collections.abc import Iterable, Iterator, Sequence

from qingtan.errors import UserError
from qingtan.knowledge.chunking.pieces import Measure, Piece, pieces_of
from qingtan.knowledge.chunking.sections import Section, divide
from qingtan.knowledge.chunks import Chunk, ChunkKind
from qingtan.knowledge.documents import Block, Document

# Three passages and an answer fit the context of the smallest model, 1,024 tokens.
DEFAULT_SIZE = 256
_LEAST_SIZE = 16


def cut(document: Document, measure: Measure, size: int = DEFAULT_SIZE) -> list[Chunk]:
    """Cut a document into chunks, at the borders that it has itself.

    No chunk crosses a heading, but for tiny sections under one heading, which share a chunk with
    their headings as lines of its text. An article of a law, a question with its answer and a table
    stand alone; rows of a table follow its header in every chunk, and items of a list the line that
    leads them in. Only a sentence that is longer than a chunk is cut. All else stands in one chunk,
    once; chunks do not overlap.

    Args:
        measure: the length of a text in the model's tokens.
        size: the most tokens of a chunk; what is repeated comes on top. An answer to a frequent
            question stays whole, however long.

    Raises:
        UserError: the size is too small.
    """
    if size < _LEAST_SIZE:
        raise UserError(f"size: {size} is too small; a chunk has at least {_LEAST_SIZE} tokens")
    above = _title(document)
    return [
        chunk
        for section in divide(document, size, measure)
        for chunk in _cut_section(section, above, size, measure)
    ]


def _title(document: Document) -> str:
    """Return the title that stands above all headings; empty where there is none of its own."""
    first = next((block for block in document.blocks if block.kind == "heading"), None)
    title = " ".join(document.title.split())
    if title == document.name or (first and " ".join(first.text.split()) == title):
        return ""
    return title


def _cut_section(section: Section, above: str, size: int, measure: Measure) -> Iterator[Chunk]:
    headings = (above, *section.headings) if above else section.headings
    for kind, blocks in _runs(section.blocks):
        if kind == "faq":
            yield from (_faq(number, block, headings, measure) for number, block in blocks)
            continue
        for pieces in _pack(pieces_of(blocks, size, measure), size, measure):
            yield _chunk(pieces, section, headings, measure)


def _runs(
    blocks: Sequence[tuple[int, Block]],
) -> Iterator[tuple[str, Sequence[tuple[int, Block]]]]:
    """Yield what is read alike: questions, and all else."""
    start = 0
    for end in range(1, len(blocks) + 1):
        alike = end < len(blocks) and (blocks[end][1].kind == "faq") == (
            blocks[start][1].kind == "faq"
        )
        if not alike:
            yield blocks[start][1].kind, blocks[start:end]
            start = end


def _faq(number: int, block: Block, headings: tuple[str, ...], measure: Measure) -> Chunk:
    faq = block.faq
    return Chunk(
        kind="faq",
        text=block.text.strip(),
        headings=headings,
        page=block.page,
        first_block=number,
        last_block=number,
        questions=(faq.question, *faq.similar) if faq else (),
        answer=faq.answer if faq else "",
        topic=faq.topic if faq else "",
        tokens=measure(block.text.strip()),
    )


def _pack(pieces: Iterable[Piece], size: int, measure: Measure) -> Iterator[list[Piece]]:
    """Yield as many pieces as a chunk holds; a table shares none with other blocks."""
    group: list[Piece] = []
    total = 0
    for piece in pieces:
        if group and (total + len(piece.joint) + piece.tokens > size or _parts(group[-1], piece)):
            yield group
            group, total = [], 0
        total += piece.tokens + (len(piece.joint) if group else 0)
        if not group and piece.carried:
            total += measure(piece.carried) + 1
        group.append(piece)
    if group:
        yield group


def _parts(before: Piece, after: Piece) -> bool:
    tables = before.block.kind == "table", after.block.kind == "table"
    return any(tables) and before.block is not after.block


def _chunk(
    pieces: Sequence[Piece], section: Section, headings: tuple[str, ...], measure: Measure
) -> Chunk:
    first, *rest = pieces
    text = first.carried + "\n" if first.carried else ""
    text += first.text + "".join(piece.joint + piece.text for piece in rest)
    text = text.strip("\n")
    return Chunk(
        kind=_kind(pieces, section),
        text=text,
        headings=headings,
        label=section.label,
        page=first.block.page,
        first_block=first.number,
        last_block=pieces[-1].block_number,
        tokens=measure(text),
    )


def _kind(pieces: Sequence[Piece], section: Section) -> ChunkKind:
    kinds = {piece.block.kind for piece in pieces}
    if kinds == {"table"}:
        return "table"
    if section.article:
        return "article"
    return "code" if kinds == {"code"} else "text"
