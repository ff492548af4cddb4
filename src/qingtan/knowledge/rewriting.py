"""Follow-up questions made whole: 它多少钱？ after A-100 有什么功能？ asks what A-100 costs.

By rules on the words, so that the same conversation always searches for the same: pronouns are
replaced by what they stand for, and a question that names nothing gets what the last one was about.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import rjieba

from qingtan.knowledge.numerals import NUMERAL

Kind = Literal["person", "place", "thing", "article", "noun"]
Turns = Sequence[Mapping[str, Any]]
Rewrite = Callable[[str, Turns], str]

_TURNS = 4
_TOPICS = 3  # of a question, at most, that a later one is given
_PERSON = re.compile(r"(?<![其吉])(?:他|她)们?(?!人|们|乡|山|国)")
_PLACE = re.compile("那里|那儿|这里|这儿|当地|该地|此地")
_THING = re.compile(
    "它们|它|前者|后者|"
    "[这那该此](?:个|款|种|类|项|份|件|部|本|条|家|台|间|门|张)(?:产品|东西|型号|商品|机器|事情|事)?"
    "(?=[的有是能会可要多怎什几在和与跟为支需卖贵好重适应由从被，。？?吗呢呀])|"
    "[这那](?=[是有要能会可怎]|$|[？?])|刚才说的|上面说的|上述(?=的|有|是)"
)
_WITH_NOUN = re.compile(
    "(?:[这那](?:个|款|种|类|项|份|件|部|本|条|家|台|间|门|张)|该|此|其)(?=[\u4e00-\u9fff])"
)
_ELLIPSIS = re.compile(
    r"^(?:那么?|还有|如果是?|换成?|要是)?(?P<new>[^？?，,。]{1,20}?)(?:又|也)?呢[？?]?$"
)
_LEADING = re.compile(r"^(?:那么?|还有|另外|然后|所以|而)[，, ]?(?=[^个款种些里儿样边天年])")
_QUOTED = re.compile(r"《[^《》]{1,40}》|“([^“”]{1,40})”")
_CODE = re.compile(r"[A-Za-z][A-Za-z\d]*(?:[-_./+ ]?[A-Za-z\d]+)*\+*|\d+[A-Za-z][A-Za-z\d-]*")
_CITATION = re.compile(r"\[\d+\]")
_ASKED_NOUN = re.compile(r"(?:什么|哪些|哪种|哪个|哪家|怎样的|多少|几个?)$")
_KINDS: Mapping[str, Kind] = {
    "nr": "person",
    "nrt": "person",
    "ns": "place",
    "nt": "thing",
    "nz": "thing",
}
_ARTICLE = re.compile(rf"第(?:{NUMERAL}|\d)+[条章节款项]")
# Small words that taggers take for the end of a name.
_NO_NAME_END = "在是的和与有去到说"
_NOUN_TAGS = ("n", "nr", "nrt", "ns", "nt", "nz", "vn", "an", "j", "eng", "l", "b")
# Words of questions that do not say what is asked about.
_EMPTY = frozenset(
    """
    什么 怎么 怎样 怎么样 怎么办 如何 为什么 为何 多少 多少钱 多久 多长 多长时间 多大 多远 多高
    多重 几点 几天 几个 哪里 哪儿 哪些 哪个 哪年 何时 何地 时候 时间 地点 原因 价格 价钱 费用
    功能 作用 区别 问题 情况 东西 地方 意思 方法 办法 可以 能 会 要 需要 应该 有 是 在 的 了 吗
    呢 还 也 就 都 请问 我 你 您 我们 你们 想 知道 告诉 一下 谁 钱 贵 好 多 它 他 她 它们 他们
    她们 这 那 这个 那个 这些 那些 其 该 此 还有 另外 然后 那么 办理 详细 具体 介绍 说 讲 更 最
    不 没有 附近 旁边 周边 周围 里面 外面 每年 规定
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Topic:
    """What a text speaks of.

    Attributes:
        kind: persons, places, things and articles of a law have names of their own; a noun, or
            another word, has none.
        asked: it is what was asked for, 功能 of 有什么功能.
    """

    text: str
    kind: Kind
    asked: bool = False


def rewrite(question: str, history: Turns = ()) -> str:
    """Return a question that can be understood, and searched for, without its conversation.

    Args:
        history: OpenAI's messages before the question, oldest first.

    Returns:
        the question itself where it is whole, or where the conversation does not help.
    """
    turns = [turn for turn in history if isinstance(turn.get("content"), str)][-2 * _TURNS :]
    before, answer = "", ""
    for turn in turns:
        if turn.get("role") == "user":
            before, answer = _complete(turn["content"], before, answer), ""
        elif turn.get("role") == "assistant":
            answer = _CITATION.sub("", turn["content"])
    return _complete(question, before, answer)


def by_model(write: Callable[[str], str]) -> Rewrite:
    """Return a rewriting that asks a model, and keeps to the rule where the model's is no good.

    Args:
        write: answers a prompt.
    """
    from qingtan.prompts.answers import complete_question

    def rewritten(question: str, history: Turns = ()) -> str:
        rule = rewrite(question, history)
        if rule == question:
            return question
        asked = [turn["content"] for turn in history if turn.get("role") == "user"]
        said = write(complete_question(question, asked[-_TURNS:])).strip()
        wanted = set(_words(question)) - _EMPTY
        fits = 0 < len(said) <= 2 * len(rule) + 20 and all(word in said for word in wanted)
        return said if fits and "\n" not in said else rule

    return rewritten


def _complete(question: str, before: str, answer: str) -> str:
    """Return a question made whole by the one before, itself whole, and its answer."""
    question = question.strip()
    if not before:
        return question
    if (match := _ELLIPSIS.match(question)) and not _is_empty(match["new"]):
        return _instead(match["new"].strip(), before)
    topics, bare = _wanted(before), _LEADING.sub("", question)
    replaced = _replace_pronouns(bare, topics, topics_of(answer))
    if replaced != bare:
        return replaced
    if bare == question and _is_whole(question):
        return question
    missing = [topic.text for topic in topics if topic.text not in question]
    return " ".join((*missing, bare))


def _is_empty(text: str) -> bool:
    return not set(_words(text)) - _EMPTY


def _is_whole(question: str) -> bool:
    """Whether a question names what it is about, by a name or by two words."""
    if _WITH_NOUN.search(question):
        return False
    if any(topic.kind != "noun" for topic in topics_of(question)):
        return True
    return len({*_words(question)} - _EMPTY) > 1


def _instead(new: str, before: str) -> str:
    """Return the question before, asked of something else: B-200呢？ after A-100多少钱？"""
    kinds = {topic.kind for topic in topics_of(new)} or {"noun"}
    for topic in topics_of(before):
        if topic.kind in kinds and topic.kind != "noun" and topic.text not in new:
            return before.replace(topic.text, new, 1)
    nouns = [topic for topic in topics_of(before) if topic.kind == "noun" and not topic.asked]
    named = [topic.text for topic in topics_of(before) if topic.kind != "noun"]
    is_noun = [topic.text for topic in topics_of(new)] == [new]
    if is_noun and named:
        return " ".join((*named[:_TOPICS], new))
    if is_noun and len(nouns) == 1:
        return before.replace(nouns[0].text, new, 1)
    return f"{new} {before}"


def _replace_pronouns(question: str, topics: Sequence[Topic], said: Sequence[Topic]) -> str:
    """Put names in the place of pronouns; a person is the last one that was named."""
    people = [topic for topic in topics if topic.kind == "person"]
    people = [topic for topic in reversed(said) if topic.kind == "person"] or people
    places = [topic for topic in topics if topic.kind == "place"]
    places += [topic for topic in said if topic.kind == "place"]
    things = [topic for topic in topics if topic.kind == "thing"]
    things += [topic for topic in topics if topic.kind in ("noun", "place", "article")]
    places = places or things
    things += [topic for topic in said if topic.kind == "thing"]
    for pattern, found in ((_PERSON, people), (_PLACE, places), (_THING, things)):
        match = pattern.search(question)
        if match and found:
            topic = found[-1] if match[0] == "后者" else found[0]
            return question[: match.start()] + topic.text + question[match.end() :]
    return question


def _wanted(before: str) -> list[Topic]:
    """Return what a later question is about: names, else what tells most."""
    topics = topics_of(before)
    if named := [topic for topic in topics if topic.kind != "noun"]:
        return named[:_TOPICS]
    asked = {topic.text for topic in topics if topic.asked}
    nouns = [topic for topic in topics if not topic.asked]
    known = "".join(topic.text for topic in topics)
    words = [word for word in _words(before) if len(word) > 1 and word not in _EMPTY]
    rest = [Topic(word, "noun") for word in words if word not in known and word not in asked]
    return [*nouns, *rest][:_TOPICS]


def topics_of(text: str) -> list[Topic]:
    """Return the names and nouns of a text in their order, each once.

    Neighbours are one: 北京大学图书馆.
    """
    topics: list[tuple[int, Topic]] = []
    covered = [False] * len(text)
    named: tuple[tuple[re.Pattern[str], Kind], ...]
    named = (_QUOTED, "thing"), (_CODE, "thing"), (_ARTICLE, "article")
    for pattern, kind in named:
        for match in pattern.finditer(text):
            if not any(covered[match.start() : match.end()]):
                topics.append((match.start(), Topic(match[0].strip("“”"), kind)))
                covered[match.start() : match.end()] = [True] * len(match[0])
    topics += _nouns(text, covered)
    unique = {topic.text: topic for _, topic in sorted(topics, key=lambda each: each[0])}
    return list(unique.values())


def _nouns(text: str, covered: Sequence[bool]) -> list[tuple[int, Topic]]:
    """Return runs of nouns with their places; of each run the kind is its last name's."""
    found: list[tuple[int, Topic]] = []
    run, before, place = "", "", 0
    kind: Kind = "noun"
    for word, tag in (*_tagger().tag(text, True), ("", "end")):
        free = not any(covered[place : place + len(word)])
        if word and free and tag in _NOUN_TAGS and word not in _EMPTY:
            run += word
            kind = _KINDS.get(tag, "thing" if kind in ("place", "thing") else kind)
        else:
            if len(run) == len(before) == 1 and before not in _EMPTY:
                run = before + run  # 年假, of which taggers make an amount and a noun
            if len(run) > 1:
                start = place - len(run)
                asked = bool(_ASKED_NOUN.search(text[:start]))
                name = run.rstrip(_NO_NAME_END) if kind == "person" else run
                found.append((start, Topic(name, kind, asked)))
            run, kind, before = "", "noun", word
        place += len(word)
    return found


def _words(text: str) -> list[str]:
    return [word for word in _tagger().cut(text, False) if re.search(r"\w", word)]


@lru_cache(maxsize=1)
def _tagger() -> rjieba.Jieba:
    return rjieba.Jieba()
