"""Which words a passage is found by.

A passage is found by every word of the dictionary that stands in it, also inside of longer words
and across the places where another cut would fall: so what finds it does not hang on how its
sentence was cut. A query is cut once, by the likeliest cut. What the dictionary does not know is
found by its characters, side by side. Traditional and simplified characters stay apart: what joins
them is in no standard table of Python, and an index must be the same on every machine.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import rjieba

# Words of questions that say nothing about what is asked for.
_STOP_WORDS = """
的 了 吗 呢 吧 啊 呀 哦 嘛 着 过 地 得 之 么 是 在 有 和 与 及 或 而 且 但 就 都 也 还 又 很
更 最 把 被 对 从 向 到 于 以 为 由 给 让 使 用 要 会 能 可 应 该 请 问 您 你 我 他 她 它 们
这 那 哪 谁 几 个 些 此 其 何 所 什么 怎么 怎样 怎么样 怎么办 如何 为何 为什么 哪些 哪个 哪里
哪儿 多少 几个 是否 是不是 有没有 能否 可不可以 可以 可否 我们 你们 他们 她们 它们
这个 那个 这些 那些 这样 那样 这里 那里 自己 因为 所以 如果 但是 而且 或者 以及 还是 关于
对于 请问 一下 一个 的话 时候 想 知道 告诉 需要 应该
a an the is are was were be been am do does did of to in on at for from by with and or not no
what which who whom whose when where why how can could should would will shall may might must
i you he she it we they me my your his her its our their this that these those there here as
if than then about into
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
_MAX_CHARACTERS = 64  # of a term; no word is longer, and rows of hashes fill the index otherwise
_MAX_QUERY, _MAX_TERMS = 2000, 64  # characters, terms: somebody may paste a whole page

# Written without spaces between words: Han, with the marks 々 and 〇, and Kana.
_UNSPACED = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
# "a-100", "v2.3.1", "1,000", "c++", "node.js"; every other letter counts like Latin.
_LETTERS = rf"(?:(?![{_UNSPACED}_])\w)+"
_PIECE = re.compile(
    rf"(?P<unspaced>[{_UNSPACED}]+)|{_LETTERS}(?:(?:[-_./]|(?<=\d),(?=\d{{3}})){_LETTERS})*(?:\+\+|#)?"
)
# Articles and parts of laws are found whole: 一百 and 七十 stand in most of their numbers.
_NUMBERED = re.compile(
    "第[零〇一二三四五六七八九十百千0-9]{1,9}[编章节条款项](?:之[一二三四五六七八九十])?"
)
_LETTER_PAIR = re.compile(rf"(?:(?![{_UNSPACED}_])\w){{2}}")
_PARTS = re.compile(rf"\d+|(?:(?![{_UNSPACED}_\d])\w)+")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a query looks for.

    Attributes:
        words: distinct.
        phrases: of characters that stand side by side; distinct.
    """

    words: tuple[str, ...]
    phrases: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self.words or self.phrases)


class Segmenter:
    """Cuts passages and queries into words, by jieba's dictionary and the trade's own words."""

    def __init__(self, words: Sequence[str] = ()) -> None:
        """Take a base's own words; capitals and full-width forms are one with their plain forms."""
        folded = {_squeezed(fold(word)).strip() for word in words}
        self._own = frozenset(word for word in folded if len(word) > 1)
        self._lengths = sorted({len(word) for word in self._own})
        self._jieba = _jieba()

    def index(self, text: str) -> str:
        """Return what a passage is found by, between spaces.

        Each word as often as it stands in it, and then the characters of scripts without spaces in
        their order, with a "." where others stand between.
        """
        folded = fold(text)
        words = [*self._own_words(folded), *_NUMBERED.findall(folded)]
        characters = ["."]
        for piece in _PIECE.finditer(folded):
            if piece["unspaced"]:
                words += [word for word in self._jieba.cut_all(piece[0]) if len(word) > 1]
                characters += piece[0]
            else:
                words += dict.fromkeys((*_beginnings(piece[0]), *_forms(piece[0])))
                characters.append(".")
        short = [word for word in words if len(word) <= _MAX_CHARACTERS]
        return " ".join(short + characters)

    def terms(self, query: str) -> Terms:
        """Return what a query looks for.

        Stop words are left out, and single characters, unless nothing else is left.
        """
        folded = fold(query[:_MAX_QUERY])
        words = self._own_words(folded)
        if numbered := _NUMBERED.findall(folded):
            words += numbered
            folded = _NUMBERED.sub(" ", folded)
        runs: list[str] = []  # of characters that belong to no word
        for piece in _PIECE.finditer(folded):
            if not piece["unspaced"]:
                words += _forms(piece[0])
                continue
            runs.append("")
            for word in self._jieba.cut(piece[0], False):
                if len(word) == 1 and word not in STOP_WORDS:
                    runs[-1] += word
                    continue
                # What is shorter than three characters has no words inside.
                whole = len(word) < 3 or word in STOP_WORDS
                words += [word] if whole else self._jieba.cut_for_search(word, False)
                runs.append("")
        return _chosen(words, [run for run in runs if run])

    def places(self, text: str, query: str) -> list[tuple[int, int]]:
        """Return where a query's words stand in a text.

        Returns:
            first characters and the characters after the last ones, in order; no two overlap.
        """
        terms = self.terms(query)
        folded, origin = _fold_with_origin(text)
        spans = [*_occurrences(folded, (*terms.phrases, *terms.words))]
        spans = [(origin[first], origin[last - 1] + 1) for first, last in spans]
        return _joined(spans)

    def _own_words(self, folded: str) -> list[str]:
        """Return the own words that stand in a text, as often as they do, without spaces."""
        if not self._own:
            return []
        text = _squeezed(folded)
        return [
            word.replace(" ", "")
            for length in self._lengths
            for start in range(len(text) - length + 1)
            if (word := text[start : start + length]) in self._own
            and _is_apart(text, start, start + length)
        ]


@lru_cache(maxsize=256)
def segmenter(words: tuple[str, ...] = ()) -> Segmenter:
    """Return the segmenter of a base's own words."""
    return Segmenter(words)


def fold(text: str) -> str:
    """Return a text in the form in which it is compared: half-width and in lower case."""
    return text.translate(_FOLDED)


class _Folded(dict[int, str]):
    """What each character becomes; made when first met."""

    def __missing__(self, code: int) -> str:
        if 0xD800 <= code <= 0xDFFF or not code:  # half a pair, or NUL: nothing can store them
            folded = " "
        else:
            folded = unicodedata.normalize(
                "NFKC", unicodedata.normalize("NFKC", chr(code)).casefold()
            )
        self[code] = folded
        return folded


_FOLDED = _Folded()


def _fold_with_origin(text: str) -> tuple[str, list[int]]:
    """Fold, and give each folded character's place in the text."""
    parts = [fold(character) for character in text]
    origin = [place for place, part in enumerate(parts) for _ in part]
    return "".join(parts), origin


@lru_cache(maxsize=1)
def _jieba() -> rjieba.Jieba:
    return rjieba.Jieba()


def _squeezed(text: str) -> str:
    """Return a text with one space between words of letters, and none elsewhere."""
    return re.sub(r"\s+", " ", re.sub(rf"(?<=[{_UNSPACED}])\s+|\s+(?=[{_UNSPACED}])", "", text))


def _is_apart(text: str, start: int, end: int) -> bool:
    """Whether what stands there is no part of a longer word of letters or digits."""
    before = start > 0 and _LETTER_PAIR.match(text, start - 1)
    return not before and not _LETTER_PAIR.match(text, end - 1)


def _forms(word: str) -> list[str]:
    """Return what a word of letters and digits is found by: written in one, and its parts."""
    joined = _one(word)
    parts = _PARTS.findall(word)
    return [joined] if parts == [joined] else [joined, *parts]


def _beginnings(word: str) -> Iterator[str]:
    """Give what a long code begins with: "v2.3.1" is found by "v2.3"."""
    for end in list(re.finditer("[-_./]", word))[1:5]:
        yield _one(word[: end.start()])


def _one(word: str) -> str:
    """Write a number or a code in one: "a-100" as "a100", "1,000" as "1000", "3.14" as it is."""
    joined = re.sub("[-_/,]", "", word)
    return joined if re.fullmatch(r"[\d.]+", joined) else joined.replace(".", "")


def _chosen(words: list[str], runs: list[str]) -> Terms:
    """Leave out what says little, unless nothing else is left."""
    telling = [word for word in words if len(word) > 1 and word not in STOP_WORDS]
    pairs = [a + b for run in runs for a, b in pairwise(run)]
    if telling or pairs:
        return _terms(telling, pairs)
    if runs:
        return _terms([], runs)
    single = [word for word in words if re.fullmatch(f"[{_UNSPACED}]", word)]
    return _terms([word for word in words if word not in single], single)


def _terms(words: list[str], phrases: list[str]) -> Terms:
    short = (word for word in words if len(word) <= _MAX_CHARACTERS)
    kept = [*dict.fromkeys(short)][:_MAX_TERMS]
    return Terms(tuple(kept), tuple(dict.fromkeys(phrases))[: _MAX_TERMS - len(kept)])


def _occurrences(folded: str, terms: Sequence[str]) -> Iterator[tuple[int, int]]:
    wanted = {*terms}
    for term in terms:
        if re.search(f"[{_UNSPACED}]", term):
            yield from (found.span() for found in re.finditer(re.escape(term), folded))
    for piece in _PIECE.finditer(folded):
        if _one(piece[0]) in wanted:
            yield piece.span()
            continue
        for part in _PARTS.finditer(piece[0]):
            if part[0] in wanted:
                yield piece.start() + part.start(), piece.start() + part.end()


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined
