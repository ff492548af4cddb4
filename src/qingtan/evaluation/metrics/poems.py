"""Poems: whether they have their form, whether they rhyme, and whether they are new."""

import hashlib
import re
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pypinyin import Style, pinyin
from pypinyin.contrib.tone_convert import to_finals, to_initials

from qingtan.corpus.reading.streams import Chunks
from qingtan.errors import UserError
from qingtan.evaluation.metrics.metric import Answer, Item, MeanMetric
from qingtan.i18n import tr

Form = Callable[[Item], str | None]

# Lines of a poem, None where there may be any number from two; and characters of each line.
_FORMS: dict[str, tuple[int | None, int]] = {
    "五言绝句": (4, 5),
    "七言绝句": (4, 7),
    "五言律诗": (8, 5),
    "七言律诗": (8, 7),
    "五言古诗": (None, 5),
    "七言古诗": (None, 7),
    "四言诗": (None, 4),
}
# 中华新韵（十四韵）, 中华诗词学会 2005: which finals of standard Chinese rhyme. -i is that of zhi
# and zi; what it writes ui, iu and un are uei, iou and uen; ueng and ê go with eng and ie.
_RHYMES = {
    "麻": "a ia ua",
    "波": "o e uo",
    "皆": "ie üe ê",
    "开": "ai uai",
    "微": "ei uei",
    "豪": "ao iao",
    "尤": "ou iou",
    "寒": "an ian uan üan",
    "文": "en in uen ün",
    "唐": "ang iang uang",
    "庚": "eng ing ong iong ueng",
    "齐": "i er ü",
    "支": "-i",
    "姑": "u",
}
_GROUPS = {final: group for group, finals in _RHYMES.items() for final in finals.split()}
_BUZZING = frozenset({"zh", "ch", "sh", "r", "z", "c", "s"})  # their i is -i

_MARKS = re.compile(r"[，。！？；、,.!?;\n]+")
# Neither letters nor the square of a lost character, nor a mark that ends a line.
_NOISE = re.compile(r"（[^（）]*）|\([^()]*\)|[^\w□，。！？；、,.!?;\n]|_")
_TITLE = re.compile(r"\s*(?:《[^》]*》[^，。！？；]*|【.*】|#.*|\*\*.*\*\*)\s*")
_AUTHOR = re.compile(r"\s*[^\s，。！？；、]{1,8}\s*[·・•．]\s*[^\s，。！？；、]{1,12}\s*")
_PREFACE = re.compile(r".*[：:]\s*")

# A copied line is at least so long: four characters are often a phrase that everyone uses.
_COPIED = 5
_HASH_BYTES = 8
_CHUNK_BYTES = 1 << 20


def read_lines(text: str) -> list[str]:
    """Return a poem's verse lines, of letters alone, as they end at ，。！？；、 or a new line.

    What stands above them is dropped: 《题》, 宋·作者, a row that ends in a colon. So are notes in
    round brackets.
    """
    rows = text.strip().split("\n")
    start = 0
    while start < len(rows) and _is_heading(rows[start]):
        start += 1
    return _split("\n".join(rows[start:]))


class RightForm(MeanMetric):
    """Share of poems with as many lines, and as many characters in each, as their form has.

    Old-style verse may have any number of lines from two. Forms without a fixed length (词, 曲, and
    古诗 of mixed lines) are left out. Tones are not looked at.

    Args:
        form: an item's form.
    """

    name, english, chinese = "right_form", "lines as the form has them", "句数字数合格"

    def __init__(self, form: Form) -> None:
        self.form = form

    def score(self, item: Item, answer: Answer) -> float | None:
        """Return 1 or 0."""
        form = _FORMS.get(self.form(item) or "")
        if form is None:
            return None
        count, length = form
        lines = read_lines(answer.text)
        right = len(lines) == count if count else len(lines) >= 2
        return float(right and all(len(line) == length for line in lines))


class Rhyme(MeanMetric):
    """Share of poems whose even lines all end in one rhyme, of those forms that RightForm knows.

    Rhymes are those of 中华新韵, of today's standard Chinese, in any tone and any reading of a
    character. Poets of Tang and Song wrote by rhymes that have drifted since (回 and 来, 诗 and
    疑), and old-style verse may change its rhyme. So of real poems, of the evaluation's references,
    87% of 绝句, 74% of 律诗, 49% of 五言古诗 and 23% of 七言古诗 pass; of lines drawn at random 3%.
    A model trained on old poems is to be compared with these, not with 100%. Whether a rhyme is
    level or oblique, which the regulated forms ask for, is not seen.

    Args:
        form: an item's form.
    """

    name, english, chinese = "rhyme", "even lines rhyme", "偶句押韵"

    def __init__(self, form: Form) -> None:
        self.form = form

    def score(self, item: Item, answer: Answer) -> float | None:
        """Return 1 or 0; fewer than two even lines do not rhyme."""
        if self.form(item) not in _FORMS:
            return None
        return float(do_rhyme([line[-1] for line in read_lines(answer.text)[1::2]]))


class CopiedLines(MeanMetric):
    """Share of poems with a line of five characters or more that stands in known text.

    Args:
        known: lines as `read_lines` gives them, such as KnownLines.
        given: the line that the item asked to begin with, which is no copy; None where it did not.
    """

    name, english, chinese = "copied_lines", "poems with a copied line", "含抄袭诗句的作品"
    higher_is_better = False

    def __init__(
        self, known: Container[str], given: Callable[[Item], str | None] = lambda item: None
    ) -> None:
        self.known = known
        self.given = given

    def score(self, item: Item, answer: Answer) -> float | None:
        """Return 1 or 0; None for an answer without a line of that length."""
        given = set(_split(self.given(item) or ""))
        lines = [line for line in read_lines(answer.text) if len(line) >= _COPIED]
        own = [line for line in lines if line not in given]
        return float(any(line in self.known for line in own)) if own else None


@cache
def rhymes_of(character: str) -> frozenset[str]:
    """Return the rhymes of a character, one for each way to read it; none if it is no Chinese."""
    readings = pinyin(character, style=Style.NORMAL, heteronym=True, errors="ignore")
    syllables = readings[0] if readings else []
    groups = (_GROUPS.get(_final(syllable)) for syllable in syllables)
    return frozenset(group for group in groups if group)


def do_rhyme(characters: Sequence[str]) -> bool:
    """Whether two characters or more can be read so that all are of one rhyme.

    All the same character does not rhyme.
    """
    if len(set(characters)) < 2:
        return False
    return bool(frozenset.intersection(*map(rhymes_of, characters)))


class KnownLines(Container[str]):
    """A set of lines, kept as hashes of 8 bytes: 8 MB a million, and no false hit to speak of."""

    def __init__(self, lines: Iterable[str]) -> None:
        hashes = array("Q", map(_hash, lines))
        self._hashes = np.unique(np.frombuffer(hashes, np.uint64))

    def __len__(self) -> int:
        return len(self._hashes)

    def __contains__(self, line: object) -> bool:
        if not isinstance(line, str) or not len(self):
            return False
        wanted = np.uint64(_hash(line))
        place = int(np.searchsorted(self._hashes, wanted))
        return place < len(self) and bool(self._hashes[place] == wanted)


def read_known(paths: Iterable[str | Path]) -> KnownLines:
    """Read the lines of five characters or more of corpora, plain, .gz or .zst JSON Lines.

    Of a document they are those of its "text", of a conversation those of the assistant's
    "messages".

    Raises:
        UserError: a file is missing or damaged, or a line of it is of neither kind; the message
            names the file and the line.
    """
    texts = (text for path in paths for text in _read_texts(Path(path)))
    return KnownLines(line for text in texts for line in read_lines(text) if len(line) >= _COPIED)


def _is_heading(row: str) -> bool:
    if not row.strip() or _TITLE.fullmatch(row):
        return True
    return bool(_AUTHOR.fullmatch(row) or _PREFACE.fullmatch(row))


def _split(text: str) -> list[str]:
    return [line for line in _MARKS.split(_NOISE.sub("", text)) if line]


def _final(syllable: str) -> str:
    final: str = to_finals(syllable, strict=True, v_to_u=True)
    return "-i" if final == "i" and to_initials(syllable) in _BUZZING else final


def _hash(line: str) -> int:
    data = line.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=_HASH_BYTES).digest(), "little")


def _read_texts(path: Path) -> Iterator[str]:
    for number, line in enumerate(_read_rows(path), start=1):
        try:
            texts = _texts_of(orjson.loads(line)) if line.strip() else []
        except (ValueError, TypeError, KeyError):
            raise UserError(
                tr(
                    f"{path}, line {number}: neither a document with a text nor a conversation",
                    f"{path} 第 {number} 行：既不是带 text 的文档，也不是带 messages 的对话",
                )
            ) from None
        yield from texts


def _texts_of(record: Any) -> list[str]:
    if "messages" not in record:
        return [_check_text(record["text"])]
    turns = record["messages"]
    return [_check_text(turn["content"]) for turn in turns if turn["role"] == "assistant"]


def _check_text(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError
    return text


def _read_rows(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, of which only a piece is ever in memory."""
    rest = b""
    try:
        for chunk in Chunks(path, _CHUNK_BYTES):
            *rows, rest = (rest + chunk).split(b"\n")
            yield from rows
    except OSError as error:
        raise UserError(
            tr(f"{path}: cannot be read: {error}", f"{path}：无法读取：{error}")
        ) from None
    yield rest
