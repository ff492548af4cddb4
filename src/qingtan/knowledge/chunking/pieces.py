"""Blocks as pieces: what a chunk holds whole."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from qingtan.knowledge.documents import Block
from qingtan.knowledge.sentences import split_sentences

Measure = Callable[[str], int]
# Where a sentence that is longer than a chunk is cut: after clauses, else between words.
_CUTS = (re.compile(r"(?<=[，,；;、：:])"), re.compile(r"(?<=\s)"))
_ITEM = re.compile(r"[（(](?:[一二三四五六七八九十]{1,3}|\d{1,2})[）)]|[-*•·]|\d{1,2}[.、．]")
_LEAD_END = ("：", ":")
_CAPTION = re.compile(r"(?:表|附表)\s*[\d一二三四五六七八九十]")
_SENTENCE_END = re.compile(r"[。！？!?；;]\s*$")
_LONGEST_CAPTION = 40
# A lead-in line that is said again before the rest of its list takes at most this share of a chunk.
_LEAD_SHARE = 1 / 4


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a block.

    Attributes:
        number: of the block that it begins in, from 1; its lead-in's where it has one.
        block: where its text ends.
        block_number: that block's number.
        tokens: of the text.
        joint: what stands between it and the piece before.
        carried: said again before it where it begins a chunk: a table's header, a lead-in.
    """

    text: str
    number: int
    block: Block
    block_number: int
    tokens: int
    joint: str = "\n"
    carried: str = ""


def pieces_of(blocks: Sequence[tuple[int, Block]], size: int, measure: Measure) -> Iterator[Piece]:
    """Yield the pieces of a section's blocks in order; none is longer than a chunk, if it parts."""
    lead: Piece | None = None
    for (number, block), after in zip(blocks, [*blocks[1:], None], strict=True):
        if after and _leads(block, after[1]):
            if lead:
                yield lead
            lead = _piece(block.text.strip(), number, block, measure)
            continue
        pieces = list(_split(number, block, size, measure))
        if lead:
            pieces = _with_lead(lead, pieces, size)
        lead = None
        yield from pieces


def _piece(text: str, number: int, block: Block, measure: Measure, joint: str = "\n") -> Piece:
    return Piece(text, number, block, number, measure(text), joint)


def _leads(block: Block, after: Block) -> bool:
    """Whether a block says what the list, table or code after it is."""
    text = block.text.strip()
    if block.kind != "paragraph" or after.kind not in ("list", "table", "code"):
        return False
    if text.endswith(_LEAD_END):
        return len(split_sentences(text)) == 1
    if after.kind != "table" or len(text) > _LONGEST_CAPTION:
        return False
    return bool(_CAPTION.match(text)) or not _SENTENCE_END.search(text)


def _with_lead(lead: Piece, pieces: list[Piece], size: int) -> list[Piece]:
    """Put a lead-in into the first piece, and before the others where they begin a chunk."""
    first, *rest = pieces
    first = replace(
        first,
        text=lead.text + "\n" + first.text,
        tokens=lead.tokens + 1 + first.tokens,
        number=lead.number,
    )
    if lead.tokens > size * _LEAD_SHARE or first.block.kind == "code":
        return [first, *rest]
    carried = [
        replace(each, carried=lead.text + ("\n" + each.carried if each.carried else ""))
        for each in rest
    ]
    return [first, *carried]


def _split(number: int, block: Block, size: int, measure: Measure) -> Iterator[Piece]:
    if block.kind == "table" and block.rows:
        yield from _rows(number, block, size, measure)
        return
    text = block.text.strip("\n") if block.kind == "code" else block.text.strip()
    whole = _piece(text, number, block, measure)
    if block.kind == "list":
        yield from _items(whole, size, measure)
    elif whole.tokens <= size:
        yield whole
    elif block.kind == "code":
        yield from _lines(whole, size, measure)
    else:
        yield from _paragraph(whole, size, measure)


def _rows(number: int, block: Block, size: int, measure: Measure) -> Iterator[Piece]:
    """Yield a table's rows, the first with the header, the others carrying it."""
    lines = [" | ".join(row) for row in block.rows]
    header, rows = "\n".join(lines[: block.header_rows]), lines[block.header_rows :]
    if not header or not rows:
        header, rows = "", lines
    for place, row in enumerate(rows):
        text = f"{header}\n{row}" if header and not place else row
        piece = replace(_piece(text, number, block, measure), carried=header if place else "")
        if piece.tokens <= size or measure(row) <= size:
            yield piece
            continue
        parts = _parts(split_sentences(row), size, measure)
        for part_place, part in enumerate(parts):
            first = header and not place and not part_place
            text = f"{header}\n{part}" if first else part
            yield replace(
                _piece(text, number, block, measure, "" if part_place else "\n"),
                carried="" if first else header,
            )


def _items(whole: Piece, size: int, measure: Measure) -> Iterator[Piece]:
    for line in whole.text.split("\n"):
        item = _piece(line, whole.number, whole.block, measure)
        if item.tokens <= size:
            yield item
        else:
            yield from _paragraph(item, size, measure)


def _lines(whole: Piece, size: int, measure: Measure) -> Iterator[Piece]:
    """Yield the parts of code, cut at empty lines where these suffice, else at any line."""
    for group in re.split(r"(?<=\n)(?=\n)", whole.text):
        lines = [group]
        if measure(group) > size:
            whole_lines = group.splitlines(keepends=True)
            lines = [part for line in whole_lines for part in _short(line, size, measure)]
        for place, text in enumerate(_fill(lines, size, measure)):
            yield _piece(text, whole.number, whole.block, measure, "" if place else "\n")


def _paragraph(whole: Piece, size: int, measure: Measure) -> Iterator[Piece]:
    """Yield a long paragraph's parts: its own lines and items if it has any, else sentences."""
    lines = whole.text.split("\n")
    if any(_ITEM.match(line) for line in lines):
        for line in lines:
            piece = replace(whole, text=line, tokens=measure(line), joint="\n")
            yield from [piece] if piece.tokens <= size else _sentences(piece, size, measure)
        return
    yield from _sentences(whole, size, measure)


def _sentences(whole: Piece, size: int, measure: Measure) -> Iterator[Piece]:
    for place, part in enumerate(_parts(split_sentences(whole.text), size, measure)):
        yield replace(whole, text=part, tokens=measure(part), joint="" if place else whole.joint)


def _parts(sentences: Sequence[str], size: int, measure: Measure) -> list[str]:
    """Return sentences put together to parts of about equal length, none above the size."""
    short = [part for sentence in sentences for part in _short(sentence, size, measure)]
    total = sum(map(measure, short))
    return _fill(short, math.ceil(total / math.ceil(total / size)), measure, size)


def _fill(
    texts: Sequence[str], target: int, measure: Measure, most: int | None = None
) -> list[str]:
    """Put texts together until a part is at least `target`, and never above `most`, long."""
    most = target if most is None else most
    parts: list[str] = []
    length = target
    for text in texts:
        tokens = measure(text)
        if length >= target or length + tokens > most:
            parts.append(text)
            length = tokens
        else:
            parts[-1] += text
            length += tokens
    return parts


def _short(sentence: str, size: int, measure: Measure) -> list[str]:
    """Return a sentence, or its parts where it is longer than a chunk."""
    if measure(sentence) <= size:
        return [sentence]
    for cut in _CUTS:
        parts = [part for part in cut.split(sentence) if part]
        if len(parts) > 1:
            return [each for part in parts for each in _short(part, size, measure)]
    middle = len(sentence) // 2
    if not middle:
        return [sentence]
    halves = sentence[:middle], sentence[middle:]
    return [each for half in halves for each in _short(half, size, measure)]
