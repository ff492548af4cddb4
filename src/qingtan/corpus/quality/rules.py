"""The rules of quality: which measure, which way, and how far each language may go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from qingtan.corpus.quality.measures import Measures
from qingtan.i18n import tr
from qingtan.recipe import Recipe

Threshold = Annotated[float, Field(strict=True)] | Literal[False]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        measure: a field of `Measures`.
        least: whether the threshold is the least that passes, not the most.
        english, chinese: what the rule asks of a document.
    """

    measure: str
    least: bool
    english: str
    chinese: str

    @property
    def description(self) -> str:
        """What the rule asks, in the user's language."""
        return tr(self.english, self.chinese)

    def fails(self, values: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
        """Return (documents,) bool: whether each value breaks the rule."""
        return values < threshold if self.least else values > threshold


RULES: dict[str, Rule] = {
    "min_characters": Rule("characters", True, "enough letters and digits", "字母、汉字和数字够多"),
    "max_broken_share": Rule(
        "broken_share", False, "few broken or misread characters", "乱码和控制字符少"
    ),
    "min_han_share": Rule("han_share", True, "enough Han characters", "汉字够多"),
    "min_latin_share": Rule("latin_share", True, "enough Latin letters", "拉丁字母够多"),
    "max_symbol_share": Rule("symbol_share", False, "few symbols", "符号少"),
    "max_digit_share": Rule("digit_share", False, "few digits", "数字少"),
    "max_blob_share": Rule(
        "blob_share", False, "little encoded data (unbroken ASCII)", "编码数据（不间断的 ASCII）少"
    ),
    "max_run_share": Rule("run_share", False, "few runs of one character", "同一个字的连续重复少"),
    "min_word_length": Rule("word_length", True, "words not too short", "单词不太短"),
    "max_word_length": Rule("word_length", False, "words not too long", "单词不太长"),
    "min_stop_word_share": Rule(
        "stop_word_share", True, "enough words that make sentences", "虚词（英文）够多"
    ),
    "min_function_share": Rule(
        "function_share", True, "enough characters that make sentences", "虚字（中文）够多"
    ),
    "max_short_line_share": Rule(
        "short_line_share", False, "little text in very short lines", "极短行里的文字少"
    ),
    "max_bullet_share": Rule("bullet_share", False, "few lines with bullets", "列表行少"),
    "max_ellipsis_share": Rule(
        "ellipsis_share", False, "few lines cut off by an ellipsis", "以省略号结尾的行少"
    ),
    "max_stretch": Rule(
        "longest_stretch", False, "no long stretch without punctuation", "没有过长而无标点的文字"
    ),
    "max_duplicate_line_share": Rule(
        "duplicate_line_share", False, "little text in repeated lines", "重复行里的文字少"
    ),
    "max_top_gram_share": Rule(
        "top_gram_share", False, "no phrase that makes up much of it", "没有占比过高的短语"
    ),
    "max_repeated_share": Rule(
        "repeated_share", False, "little text that repeats itself", "重复的文字少"
    ),
}
"""By the name of the threshold in the recipe; a document is judged in this order."""


class QualityRules(Recipe):
    """Thresholds for one language; `false` switches a rule off.

    These defaults are for text in a language that has none of its own. They let all good text
    pass that the project was tried on: documentation with its code and tables, laws, novels,
    poems. Gopher (Rae et al. 2021), C4 (Raffel et al. 2020) and FineWeb (Penedo et al. 2024) are
    stricter with web pages.
    """

    min_characters: Threshold = 10.0
    """Letters, ideographs and digits. The shortest poems have twenty; less is a heading."""
    max_broken_share: Threshold = 0.02
    """Controls, private use, U+FFFD and misread text such as 锟斤拷, of the visible characters.
    Stray ones are below 0.02 even in scanned classics; a file read in a wrong encoding is above a
    half, and a short poem with two lost characters, which is spoilt, at 0.03."""
    min_han_share: Threshold = False
    """Han characters, of all letters."""
    min_latin_share: Threshold = False
    """Latin letters, of all letters."""
    max_symbol_share: Threshold = 0.65
    """Neither letters, digits nor punctuation of sentences, of the visible characters. Prose is
    below 0.1 and code at 0.2; a page that draws its diagrams with lines reaches 0.62."""
    max_digit_share: Threshold = 0.45
    """Digits, of the visible characters. Pages of calculated examples reach 0.40."""
    max_blob_share: Threshold = 0.5
    """In unbroken runs of more than 100 ASCII characters: keys, hashes, base64. Documentation
    shows such text among its own, at most 0.33."""
    max_run_share: Threshold = 0.1
    """In runs of more than 5 times the same letter, ideograph or punctuation mark (哈哈哈哈哈哈).
    Laughter in a dialogue is below 0.02."""
    min_word_length: Threshold = False
    """Mean length of words, in characters."""
    max_word_length: Threshold = False
    """Mean length of words, in characters."""
    min_stop_word_share: Threshold = False
    """English stop words, of all words."""
    min_function_share: Threshold = False
    """Chinese function characters, of all Han characters."""
    max_short_line_share: Threshold = 0.95
    """In lines of fewer than 5 words or Han characters, of the visible characters: menus. Lists of
    fields in documentation reach 0.9."""
    max_bullet_share: Threshold = False
    """Lines that begin with a bullet. FineWeb allows 0.9, but release notes are good text and have
    nothing else."""
    max_ellipsis_share: Threshold = 0.4
    """Lines after the first that end in an ellipsis: pages of teasers. Gopher allows 0.3, and the
    dialogue of games reaches 0.24."""
    max_stretch: Threshold = False
    """The most words or Han characters with no mark and no line break between them."""
    max_duplicate_line_share: Threshold = 0.48
    """In lines that stood in the document before, of the visible characters. A text that stands
    twice has just under a half; tables of worked examples reach 0.474."""
    max_top_gram_share: Threshold = 0.35
    """The commonest run of 4 units (words or Han characters) after its first occurrence, of all
    units. A short instruction on one named thing reaches 0.32."""
    max_repeated_share: Threshold = 0.7
    """In runs of 10 units that occurred before, of all units. Laws repeat formulas up to 0.46,
    tables of fields up to 0.67; sentences made from a template with one word changed are above."""


class ChineseRules(QualityRules):
    """Thresholds for modern Chinese."""

    min_han_share: Threshold = 0.1
    """Han characters, of all letters. Documentation with long code has down to 0.14."""
    min_function_share: Threshold = 0.02
    """Function characters (的, 在, 和, …), of all Han characters. Prose has 0.15 to 0.45, laws 0.1,
    pages of tables down to 0.05; lists of names, menus and tables of names have less than 0.02."""
    max_short_line_share: Threshold = 0.7
    """In lines of fewer than 5 units, of the visible characters. Tables of contents are above;
    lists of fields with their meaning reach 0.68, songs in short lines 0.61."""
    max_stretch: Threshold = 200.0
    """The most units with no mark and no line break between them. Sentences stay below 60 and
    titles strung together below 120; lists of key words go on for hundreds."""


class LiteraryRules(QualityRules):
    """Thresholds for literary Chinese: poems are short, their lines too, and refrains come back."""

    min_han_share: Threshold = 0.8
    """Han characters, of all letters. Classics have next to nothing else; the rest is style sheets
    and other leavings of a web page."""
    max_short_line_share: Threshold = False
    """In lines of fewer than 5 units: verse in four characters has no others."""
    max_top_gram_share: Threshold = 0.5
    """The commonest run of 4 units after its first occurrence, of all units. The Book of Songs
    repeats a line with one word changed: 芣苡 has 0.37."""


class EnglishRules(QualityRules):
    """Thresholds for English."""

    min_latin_share: Threshold = 0.7
    """Latin letters, of all letters. Pages that quote other scripts have down to 0.81."""
    min_word_length: Threshold = 3.0
    """Mean length of words, in characters; Gopher's bound. Documentation has 3.6 to 8.6."""
    max_word_length: Threshold = 10.0
    """Mean length of words, in characters; Gopher's bound."""
    min_stop_word_share: Threshold = 0.04
    """Stop words, of all words. Prose has 0.2 to 0.5, documentation with much code 0.1; lists of
    names and bare code have less than 0.04."""
    max_duplicate_line_share: Threshold = 0.85
    """In lines that stood in the document before. References of programming interfaces list the
    same parameters under every call: up to 0.84. For web pages 0.3 is better (Gopher)."""
    max_repeated_share: Threshold = 0.95
    """In runs of 10 units that occurred before, of all units. The same references reach 0.92. For
    web pages 0.5 is better."""


class QualityTable(Recipe):
    """Rules that a document must pass."""

    kinds: tuple[Literal["text", "conversations"], ...] = ("text",)
    """The kinds of source that are judged; conversations are often short, and their lines too."""
    zh: ChineseRules = ChineseRules()
    """Modern Chinese."""
    lzh: LiteraryRules = LiteraryRules()
    """Literary Chinese."""
    en: EnglishRules = EnglishRules()
    """English."""
    other: QualityRules = QualityRules()
    """Every other language, and text too short for its language to be known."""

    def of(self, language: str) -> QualityRules:
        """Return the rules for a language, an ISO 639 code."""
        tables = {"zh": self.zh, "lzh": self.lzh, "en": self.en}
        return tables.get(language, self.other)


@dataclass(frozen=True)
class Verdict:
    """Why a document is dropped: the rule's name, what was measured, and what is allowed."""

    rule: str
    value: float
    threshold: float


def judge(
    measures: Measures, languages: Sequence[str], table: QualityTable
) -> list[Verdict | None]:
    """Return, for each document, the first rule that it fails, or None.

    Args:
        languages: ISO 639 codes, one for each document.
    """
    verdicts: list[Verdict | None] = [None] * len(measures)
    codes = np.array(languages, dtype=object)
    for language in set(languages):
        places = np.flatnonzero(codes == language)
        _judge(measures, places, table.of(language), verdicts)
    return verdicts


def _judge(
    measures: Measures,
    places: NDArray[np.int64],
    rules: QualityRules,
    verdicts: list[Verdict | None],
) -> None:
    for name, rule in RULES.items():
        threshold = getattr(rules, name)
        if threshold is False:
            continue
        values = getattr(measures, rule.measure)[places]
        failed = rule.fails(values, threshold)
        for place, value in zip(places[failed].tolist(), values[failed].tolist(), strict=True):
            verdicts[place] = Verdict(name, value, float(threshold))
        places = places[~failed]
