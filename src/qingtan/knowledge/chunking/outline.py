"""What stands above what: headings that a document marks, and those that only read like ones.

Laws name their parts (编, 章, 节) and articles (条); papers and official documents number their
headings. Formats without styles, such as plain text, hold all of these as paragraphs.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from qingtan.knowledge.documents import Block
from qingtan.knowledge.numerals import NUMERAL, read_numeral

_N = rf"(?:{NUMERAL}|\d)+"
_GAP = r"[\s\u3000:：、.．]"
_PART = re.compile(rf"第{_N}(?:分?编|[篇部章节])(?={_GAP}|$)")
_PART_LEVELS = {"编": 1, "篇": 1, "部": 1, "章": 2, "节": 3}
_ANNEX = re.compile(rf"(?:附件|附录|附表)(?:{_N}|[A-Z])?(?={_GAP}|$)")
_ARTICLE = re.compile(rf"第({_N})条(之{_N})?")
# 第三条规定 in a running text speaks of an article, and begins none.
_MENTION = re.compile("规定|[的第所和或与及至到、，,。）)]")
_DECIMAL = re.compile(r"(\d{1,2}(?:[.．]\d{1,2}){0,3})[.．、]?[\s\u3000]*(?=[^\W\d])")
_CHINESE = re.compile(rf"({NUMERAL}{{1,3}})、|[（(]({NUMERAL}{{1,3}})[）)]")
_NAMED = frozenset(("摘要", "引言", "结论", "结语", "参考文献", "致谢", "附则"))
_SENTENCE_MARK = re.compile(r"[。！？!?；;，,：:]")
_LONGEST_HEADING = 40
_LEAST_ARTICLES = 2
# Headings that only read like ones stand below all that a document marks.
_UNMARKED = 100


class Heading(NamedTuple):
    """A heading's text, how deep it stands (1 is highest), and its number, which may be empty."""

    text: str
    level: int
    label: str = ""
    is_article: bool = False


def find_headings(blocks: Sequence[Block]) -> dict[int, Heading]:
    """Return the headings by the blocks' places, from 0."""
    headings = {}
    for place, block in enumerate(blocks):
        heading = _marked(block) if block.kind == "heading" else _named(block)
        if heading:
            headings[place] = heading
    return headings | _numbered(blocks, headings)


def find_articles(blocks: Sequence[Block]) -> dict[int, str]:
    """Return the labels of a law's articles, such as 第三条, by the places of their first blocks.

    A document with a single one has none: it speaks of an article, and is no law.
    """
    found: dict[int, str] = {}
    last = 0
    for place, block in enumerate(blocks):
        match = _ARTICLE.match(block.text) if block.kind in ("paragraph", "list") else None
        if not match or _MENTION.match(block.text, match.end()):
            continue
        number = read_numeral(match[1]) or 0
        follows = block.text[match.end() : match.end() + 1]
        # Where no space follows, the count says whether it is one.
        if not follows or re.match(_GAP, follows) or number == last + 1:
            found[place], last = match[0], number
    return found if len(found) >= _LEAST_ARTICLES else {}


def _marked(block: Block) -> Heading | None:
    text = " ".join(block.text.split())
    if not text:
        return None
    article = _ARTICLE.match(text)
    if article and not _MENTION.match(text, article.end()):
        return Heading(text, block.level or 1, article[0], is_article=True)
    return Heading(text, block.level or 1, _label(text))


def _label(text: str) -> str:
    for pattern in (_PART, _ANNEX):
        if match := pattern.match(text):
            return match[0]
    if match := _DECIMAL.match(text):
        return match[1]
    if match := _CHINESE.match(text):
        return match[0].rstrip("、")
    return ""


def _named(block: Block) -> Heading | None:
    """Return a part of a law, an annex or a paper's section without a number."""
    text = block.text.strip()
    if block.kind != "paragraph" or not _is_short(text):
        return None
    if part := _PART.match(text):
        return Heading(" ".join(text.split()), _UNMARKED + _PART_LEVELS[part[0][-1]], part[0])
    if annex := _ANNEX.match(text):
        return Heading(" ".join(text.split()), _UNMARKED + 1, annex[0])
    return Heading(text, _UNMARKED + 3) if text in _NAMED else None


def _is_short(text: str) -> bool:
    single = "\n" not in text
    return single and 0 < len(text) <= _LONGEST_HEADING and not _SENTENCE_MARK.search(text)


def _numbered(blocks: Sequence[Block], known: Iterable[int]) -> dict[int, Heading]:
    """Return paragraphs that are numbered headings: short, counted, and followed by a text.

    Numbered lines that follow one another are the steps of a list.
    """
    candidates = {
        place: heading
        for place, block in enumerate(blocks)
        if block.kind == "paragraph" and (heading := _numbered_heading(block.text.strip()))
    }
    known = set(known)
    following = {
        place
        for place in candidates
        if place + 1 < len(blocks) and _leads(place, candidates, known, blocks)
    }
    return {place: candidates[place] for place in _counted(sorted(following), candidates)}


def _leads(
    place: int, candidates: dict[int, Heading], known: set[int], blocks: Sequence[Block]
) -> bool:
    """Whether a text or a deeper heading comes after a candidate."""
    after = candidates.get(place + 1)
    if after:
        return after.level > candidates[place].level
    return place + 1 not in known and blocks[place + 1].kind != "heading"


def _numbered_heading(text: str) -> Heading | None:
    if not _is_short(text):
        return None
    if match := _DECIMAL.match(text):
        depth = len(re.split("[.．]", match[1]))
        return Heading(text, _UNMARKED + 2 + depth, match[1].replace("．", "."))
    if match := _CHINESE.match(text):
        return Heading(text, _UNMARKED + (3 if match[1] else 4), match[0].rstrip("、"))
    return None


def _counted(places: Iterable[int], candidates: dict[int, Heading]) -> Iterator[int]:
    """Yield the places whose numbers go on as a count does: 1, 1.1, 1.2, 2."""
    last: dict[int, int] = {}
    for place in places:
        heading = candidates[place]
        number = read_numeral(re.split("[.]", heading.label.strip("（）()"))[-1])
        if number == last.get(heading.level, 0) + 1:
            last = {level: n for level, n in last.items() if level < heading.level}
            last[heading.level] = number
            yield place
