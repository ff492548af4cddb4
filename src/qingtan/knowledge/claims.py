"""What a sentence claims that can be compared exactly: amounts, names, negations; and its words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache

import rjieba

from qingtan.knowledge.numerals import NUMERAL, read_numeral
from qingtan.knowledge.words import fold

# A bigram of two of these says nothing of what a sentence is about, one of them little.
_FUNCTION = frozenset(
    "的了是在有和与及或而且但就都也还又很更最把被对从向到于以为由给让使用要会能可应该请问您你我他她它们这那哪"
    "谁几个些此其何所什么怎样如多少吗呢吧啊呀着过地得之则并即若因其将已曾正所一中上下里内外时后前间等"
)
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff々〇]+")
_WORD = re.compile(
    r"[a-z_][a-z_\d]*(?:[-./+#]+[a-z\d]+)*[+#]*|(?<![\d.])\d+[a-z][a-z\d]*(?:-[a-z\d]+)*"
)
# A word of letters with digits in it, whose digits are no amounts: a-200, v2.3.1, win10.
_CODE = re.compile(r"(?<![a-z\d_])[a-z_]+(?:[-.+#]*[a-z_\d]+)*")
_LITTLE = 0.25
_LATIN_WEIGHT = 2.0

# What is counted with them is told by the words beside them: 三名员工 are 三个员工.
_COUNTED = "个名人位件台辆本张只家座所项种类倍层届级款页集部首篇支艘架株颗片粒瓶盒套条"
_UNITS: Mapping[str, tuple[str, Decimal]] = {
    unit: (kind, Decimal(factor))
    for kind, units in {
        "m": "毫米:0.001 厘米:0.01 公分:0.01 分米:0.1 米:1 公尺:1 千米:1000 公里:1000 里:500"
        " 英里:1609.344 mm:0.001 cm:0.01 m:1 km:1000",
        "kg": "毫克:0.000001 克:0.001 公克:0.001 斤:0.5 千克:1 公斤:1 吨:1000 mg:0.000001 g:0.001"
        " kg:1",
        "s": "毫秒:0.001 秒:1 秒钟:1 分钟:60 小时:3600 个小时:3600 钟头:3600 ms:0.001 s:1 h:3600",
        "d": "天:1 日:1 周:7 星期:7 个星期:7",
        "mo": "个月:1",
        "year": "年:1",
        "month": "月:1 月份:1",
        "元": "元:1 块:1 块钱:1 圆:1 元人民币:1",
        "美元": "美元:1 美金:1",
        "%": "%:1 百分点:1 个百分点:1",
        "B": "kb:1 mb:1000 gb:1000000 tb:1000000000",
        "l": "毫升:0.001 升:1 ml:0.001 l:1",
        "count": " ".join(f"{each}:1" for each in _COUNTED),
        "次": "次:1 回:1",
        "度": "度:1 摄氏度:1 ℃:1 °c:1",
        "岁": "岁:1",
        "o'clock": "点:1 时:1 点钟:1",
        "minute": "分:1",
    }.items()
    for unit, factor in (each.split(":") for each in units.split())
}
_SCALES = {"万": 10_000, "亿": 100_000_000, "千": 1000, "百": 100}
_UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_AMOUNT = re.compile(
    rf"(?P<percent>百分之)?(?:(?<![a-z\d_])(?P<digits>\d+(?:,\d{{3}})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    rf"|(?P<han>{NUMERAL}+))(?P<scale>[万亿千百]*)\s*(?P<unit>(?:{_UNIT})(?![a-z]))?(?P<more>余|多)?"
)
# A numeral of one character without a unit is mostly part of a word: 一起, 三国, 千万.
_LEAST_NUMERAL = 2

_NEGATION = re.compile(
    "(?:禁止|严禁|不得不|不得|不准|不许|不允许|不可以|不可|不能够|不能|不会|不应当|不应|不该|不必|不再|不是|"
    "不要|不用|不需要?|并不|并未|并非|从未|从不|尚未|未曾|未能|未|没有|没|无法|无须|无需|无权|无|非|否|不|勿|别|"
    "拒绝|免于|除外|cannot|can't|not|never|n't|without|no)"
    "(?:可以|可能|可|能够|能|得|允许|准许|准|许|会|应当|应|要)?"
)
# Words that begin or end like a negation and are none.
_NO_NEGATION = re.compile(
    "不得不|不仅|不但|不只|不光|不过|不久|不断|不同|不管|不论|不如|不禁|不妨|不料|不愧|不惜|不少|不错|不足|"
    "不锈|不动产|不良|不当|不等|不一|不满|无论|无锡|无线|无限|无机|无数|无人机|无疑|无不|无非|无偿|未来|未必|"
    "未婚|未成年|没收|没落|淹没|非常|非洲|非但|除非|非法|并非不|别人|别墅|别的|特别|分别|类别|区别|级别|"
    "性别|个别|差别|识别|告别|鉴别|否则|是否|能否|可否|有没有|是不是|能不能|会不会|要不要|可不可以|note|nor|"
    "notice|north|nov|noun|notebook|notify|node|none|now|normal|nothing|notation|nosql|know"
)
_CLAUSE_END = re.compile(r"[，,。；;！!？?：:\n]")
_SCOPE = 8
_DENIED = 3

_NAME_TAGS = ("nr", "ns", "nt", "nz", "nrt")
_RESULT = re.compile(r"(?<![\d.])\d{1,3}[-:]\d{1,3}(?![\d.])")
_QUOTED = re.compile(r"《([^《》]{1,40})》")


@dataclass(frozen=True, slots=True)
class Amount:
    """A number with its unit; lengths, weights and times are in one unit each.

    Attributes:
        unit: empty where it has none.
    """

    value: Decimal
    unit: str
    text: str

    def agrees(self, other: "Amount") -> bool:
        """Whether both mean the same; a number without a unit agrees with one that has any."""
        return self.value == other.value and (
            self.unit == other.unit or not self.unit or not other.unit
        )


def features(text: str) -> dict[str, float]:
    """Return a text's pairs of characters and words of letters, with how much each says.

    Numbers are left to `amounts`. A character that stands alone is a unit, or says little.
    """
    folded = fold(text)
    plain = _AMOUNT.sub(lambda match: " " if _amount(match) else match[0], _without_codes(folded))
    found: dict[str, float] = {}
    for run in _HAN.findall(plain):
        for i in range(len(run) - 1):
            pair = run[i : i + 2]
            found[pair] = _weight(pair)
    for word in (*_WORD.findall(plain), *filter(_is_code, _CODE.findall(folded))):
        found[word] = _LATIN_WEIGHT
    return {feature: weight for feature, weight in found.items() if weight}


@lru_cache(maxsize=1 << 16)
def _weight(pair: str) -> float:
    return (0.0, _LITTLE, 1.0)[sum(character not in _FUNCTION for character in pair)]


def amounts(text: str) -> list[Amount]:
    """Return the numbers of a text: 1,000元, 三百元, 百分之五, 2千米, 1998年."""
    return [
        amount
        for match in _AMOUNT.finditer(_without_codes(fold(text)))
        if (amount := _amount(match)) is not None
    ]


def _without_codes(folded: str) -> str:
    """Return a text with spaces in the place of words like a-200."""
    return _CODE.sub(lambda word: " " * len(word[0]) if _is_code(word[0]) else word[0], folded)


def _is_code(word: str) -> bool:
    return any(character.isdigit() for character in word)


def _amount(match: re.Match[str]) -> Amount | None:
    unit, percent = match["unit"] or "", match["percent"]
    try:
        value = _value(match)
    except InvalidOperation:
        return None
    numeral = match["han"]
    if value is None or (numeral and len(numeral) == 1 and not (unit or percent)):
        return None
    kind, factor = _UNITS.get("%" if percent else unit, ("", Decimal(1)))
    if numeral == "一" and kind == "count":
        return None  # 一个, 一种: an article
    return Amount((value * factor).normalize(), kind, match[0].strip())


def _value(match: re.Match[str]) -> Decimal | None:
    if match["digits"]:
        value = Decimal(match["digits"].replace(",", ""))
        for scale in match["scale"]:
            value *= _SCALES[scale]
        return value
    number = read_numeral(match["han"])
    # 千万 and 万一 are words; 百 without a digit before it is rarely a hundred.
    return None if number is None or match["han"][0] in "万亿千百" else Decimal(number)


def names(text: str) -> set[str]:
    """Return the persons, places, organizations and titles that a text names, as `fold`ed.

    Words of letters, such as model numbers, and results such as 3:1 are among them.
    """
    folded = fold(text)
    found = {*_QUOTED.findall(folded), *_WORD.findall(folded), *_RESULT.findall(_dashes(folded))}
    for word, tag in _tagger().tag(text, True):
        if tag in _NAME_TAGS and len(word) > 1:
            found.add(fold(word))
    return found


def stands_in(name: str, text: str) -> bool:
    """Whether a name, as `names` gives it, stands in a text; of letters only as a whole word."""
    text = _dashes(fold(text))
    if not name.isascii():
        return name in text
    return bool(re.search(rf"(?<![a-z\d]){re.escape(name)}(?![a-z\d])", text))


def _dashes(text: str) -> str:
    return re.sub(r"(?<=\d)\s*[–—−]\s*(?=\d)", "-", text)


@lru_cache(maxsize=1)
def _tagger() -> rjieba.Jieba:
    return rjieba.Jieba()


def negations(text: str) -> list[frozenset[str]]:
    """Return for each negation what it denies: the next features of its clause, three at most.

    Where a clause ends with it, those before it: 押金除外.
    """
    folded = _QUOTED.sub(lambda title: "《" + "_" * len(title[1]) + "》", fold(text))
    words = {place for match in _NO_NEGATION.finditer(folded) for place in range(*match.span())}
    return [
        scope
        for match in _NEGATION.finditer(folded)
        if match.start() not in words
        and (scope := _scope(folded, match.start(), match.end())) is not None
    ]


def _scope(text: str, start: int, end: int) -> frozenset[str] | None:
    after = _CLAUSE_END.split(text[end : end + _SCOPE], maxsplit=1)[0]
    if len(after) < 2:
        before = _CLAUSE_END.split(text[max(0, start - _SCOPE) : start])[-1]
        after = before
    found = frozenset(list(features(after))[:_DENIED])
    return found or None
