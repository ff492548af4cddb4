"""The sentence of the passages that most likely answers a question, word for word."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import rjieba

from qingtan.knowledge.claims import Amount, amounts, features
from qingtan.knowledge.sentences import split_sentences
from qingtan.knowledge.words import fold

Asked = Literal["contact", "price", "hours", "time", "amount", "person", "place", "reason", "way"]

# In this order, for a question may be of several kinds.
_ASKED: tuple[tuple[Asked, re.Pattern[str]], ...] = (
    ("contact", re.compile("联系|电话|热线|致电|号码是")),
    ("price", re.compile("多少钱|价格|价钱|费用|收费|票价|人均|贵不贵")),
    ("hours", re.compile("几点|营业时间|开放时间|开门|关门|什么时间(?:开|营业)")),
    (
        "time",
        re.compile(
            "什么时候|何时|哪[一]?[年天日月]|几[年月日号]|什么时间|哪个?(?:世纪|年代|时期|朝代)|多久"
        ),
    ),
    ("amount", re.compile("多少|几[个人次种位条名岁部家座层]|多[大高长远重宽深]")),
    ("person", re.compile("谁|哪[一]?[位个]?人|何人|什么人|哪位")),
    (
        "place",
        re.compile(
            "哪里|哪儿|何处|何地|什么地方|地址|怎么[去走]|"
            "哪[一]?个?(?:国家|城市|地方|省|市|县|区|州|地区)"
        ),
    ),
    ("reason", re.compile("为什么|为何|原因|缘故")),
    ("way", re.compile("怎么|如何|怎样|方法|步骤")),
)
_SHOWN = {
    "contact": re.compile(r"电话|热线|联系方式|\d{3,4}-?\d{7,8}|1\d{10}"),
    "price": re.compile(r"\d\s*(?:元|块|美元)|价格|门票|免费|人均|收费"),
    "hours": re.compile(r"\d{1,2}[:：]\d{2}|营业时间|开放时间|\d{1,2}[点时]"),
    "reason": re.compile("因为|由于|因此|所以|原因|为了|导致|使得|缘于|由此|鉴于"),
    "way": re.compile("通过|利用|采用|使用|方法|可以|首先|步骤|点击|选择|运行|命令"),
}
_ADDRESS = re.compile(r"地址|位于|地处|坐落")
_TIME = re.compile(
    r"\d{1,4}\s*年|\d{1,2}\s*月|\d{1,2}\s*日|世纪|年代|时期|朝|[零〇一二三四五六七八九十]{2,4}年|点|小时"
)
# Words that stand in questions far more than in what answers them, by counts over questions.
_QUESTION_WORDS = re.compile(
    "请问|请介绍一下|请介绍|介绍一下|请说明|是怎么回事|怎么回事|文档是怎么说明的|什么时候|什么地方|什么|甚么|"
    "为什么|为何|怎么样|怎么|怎样|如何|多少钱?|多久|哪里|哪儿|哪些|哪个|哪一[个位年种天]?|哪[位年种家天月国]?|谁|"
    "何[时地处年人种]|第几|几[个年月种天次岁]|[吗呢？?]|关于|有关|对于|文中|提及|说明|回事|时候|地方|东西|原因|"
    "名字|名称|特点|特色|事情|职位|朝代|意思|方面|目的|以及|由于|因为|除了|还有|为了|使得|大约|分别|其中|当中|"
    "之前|之后|之外|曾经|属于|称为|称之为|叫做|叫作|被称|比例|形状|状况|党派|单位|哪|几"
)
# How much the answer's kind counts, as a share of the question's words.
_KIND_BONUS = 0.2
# A neighbour's words count half: what a sentence is about often stands in the one before.
_NEIGHBOUR = 0.5
# How much each of the question's numbers counts beside its words: as much as a pair of characters.
_AMOUNT_WEIGHT = 1.0
# What each passage before it costs a sentence.
_RANK_COST = 0.05


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence of a passage.

    Attributes:
        passage: which, from 1.
        score: the share of the question's words that it holds, as much as a word's for each of its
            numbers, and up to 0.2 for its kind, less 0.05 for each passage before its own.
    """

    text: str
    passage: int
    score: float


def quote(question: str, passages: Sequence[str], above: Sequence[str] = ()) -> Quote | None:
    """Return the sentence that most likely answers a question; None where none has its words.

    Words count by how few sentences have them, and the question's numbers count, too.

    Args:
        passages: best first; the first are likelier to hold the answer.
        above: what stands above each, such as headings; it is not quoted, but its words count for
            every sentence, so that one which only repeats them gains nothing.
    """
    read = [[each for each in split_sentences(text) if each.strip()] for text in passages]
    known = [[frozenset(features(each)) for each in sentences] for sentences in read]
    wanted = _weighed(question, [each for sentences in known for each in sentences])
    total = sum(wanted.values())
    if not total:
        return None
    best: Quote | None = None
    asked = _kind(question)
    # Where a telephone or a price is asked for, they mostly stand in a name: 7天酒店.
    given = [] if asked else [amount for amount in amounts(question) if amount.unit]
    for number, (sentences, holds) in enumerate(zip(read, known, strict=True), start=1):
        headings = frozenset(features(above[number - 1])) if above else frozenset()
        for place, sentence in enumerate(sentences):
            score = _score(place, holds, headings, wanted)
            score += _AMOUNT_WEIGHT * _held(given, sentence)
            score /= total
            if not score or _only_repeats(sentence, question):
                continue
            score += _KIND_BONUS * _answers(asked, sentence, question)
            score -= _RANK_COST * (number - 1)
            if best is None or score > best.score + 1e-9:
                best = Quote(sentence.strip(), number, score)
    return best


def content(question: str) -> str:
    """Return a question without the words that make it one."""
    return _QUESTION_WORDS.sub(" ", question)


def _held(given: Sequence[Amount], sentence: str) -> int:
    """Return how many of a question's numbers stand in a sentence."""
    if not given:
        return 0
    own = amounts(sentence)
    return sum(
        any(number.unit == other.unit and number.agrees(other) for other in own) for number in given
    )


def _only_repeats(sentence: str, question: str) -> bool:
    """Whether all characters of a sentence stand in the question, as those of a title do."""
    return not {each for each in fold(sentence) if each.isalnum()} - {*fold(question)}


def _weighed(question: str, sentences: Sequence[frozenset[str]]) -> dict[str, float]:
    """Return the question's features with their weights, rarer ones more."""
    counts = Counter(feature for sentence in sentences for feature in sentence)
    return {
        feature: weight * math.log(1 + (len(sentences) + 1) / (counts[feature] + 0.5))
        for feature, weight in features(content(question)).items()
    }


def _score(
    place: int,
    holds: Sequence[frozenset[str]],
    headings: frozenset[str],
    wanted: dict[str, float],
) -> float:
    here = holds[place] | headings
    near = holds[place - 1] if place else frozenset()
    return sum(
        weight * (1 if feature in here else _NEIGHBOUR * (feature in near))
        for feature, weight in wanted.items()
    )


def _kind(question: str) -> Asked | None:
    return next((kind for kind, pattern in _ASKED if pattern.search(question)), None)


def _answers(asked: Asked | None, sentence: str, question: str) -> bool:
    """Whether a sentence holds something of the kind that is asked for, new to the question."""
    if asked == "time":
        return any(found[0] not in question for found in _TIME.finditer(sentence))
    if asked == "amount":
        given = amounts(question)
        return any(not any(a.agrees(b) for b in given) for a in amounts(sentence))
    if asked in ("person", "place"):
        if asked == "place" and _ADDRESS.search(sentence):
            return True
        tags = ("nr", "nrt") if asked == "person" else ("ns", "nt")
        tagged = _tagger().tag(sentence, True)
        return any(tag in tags and word not in question for word, tag in tagged)
    pattern = _SHOWN.get(asked or "")
    return bool(pattern and pattern.search(sentence))


@lru_cache(maxsize=1)
def _tagger() -> rjieba.Jieba:
    return rjieba.Jieba()
