"""Answers from given passages: what they cite, and whether they say that the passages lack it."""

import re
from collections.abc import Callable, Collection, Iterator

from qingtan.evaluation.metrics.metric import Answer, Item, MeanMetric

Passages = Callable[[Item], Collection[int]]
Applies = Callable[[Item], bool]

_NUMBER = r"\d{1,3}"
_RANGE = rf"{_NUMBER}(?:\s*[-–—~～至]\s*{_NUMBER})?"
_CITATION = re.compile(rf"[\[［【〔]\s*({_RANGE}(?:\s*[、,，;；]\s*{_RANGE})*)\s*[\]］】〕]")
_ONE = re.compile(rf"({_NUMBER})(?:\s*[-–—~～至]\s*({_NUMBER}))?")
# Code, in which brackets are no citations.
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
# The evidence after an answer begins a line or follows a sentence: "合法的依据：" is of the answer.
_EVIDENCE = re.compile(r"(?:^|(?<=[\n。！？!?\]］】〕]))[ \t\u3000*]*依据[*\s]*[：:]")
# Lines of the evidence quote passages, which may hold brackets of their own.
_QUOTE = re.compile(rf"(?:^|\n)[\s*·-]*((?:{_CITATION.pattern}\s*)+)")

_SENTENCE_END = re.compile(r"[。！？!?；;\n]|\.(?=\s|$)")
# How far into an answer a refusal may begin, in sentences.
_OPENING_SENTENCES = 2
_OPENING_CHARACTERS = 80

_GIVEN = (
    "(?:资料|文档|材料|文章|文本|原文|上文|文中|文段|段落|内容|信息|知识库|数据库|条文|法条|片段|"
    "上下文|背景|记录|参考)"
)
# 没收, 未成年 and 无偿 are words of their own.
_ABSENT = (
    "(?:并?没有|未能|并未|未曾|尚未|未(?!成年|遂|来)|暂无|并无|均无|无(?![偿期权效论法])|没(?!收)|"
    "不含|不包含|不包括|不涉及|找不到|查不到|缺少|缺乏|不足以)"
)
_TOLD = (
    "(?:找到|查到|查询到|检索到|发现|提到|提及|提供|说明|涉及|包含|包括|给出|记载|记录|列出|介绍|"
    "描述|注明|写明|标明|指出|明确|收录|交代|披露|显示|谈到|讲到|相关|有关|这项|该项|这个|这方面|"
    "此项|此类|该信息|对应|答案)"
)
_CANNOT = "(?:无法|不能|没法|难以|没办法|不便|未能)"
_ANSWER = "(?:回答|作答|解答|给出答案|得出答案|答复|确定|确认|得知|获知|判断|告知|提供|查到|找到)"
_UNKNOWN = "(?:不知道|不清楚|不了解|不确定)"
_END = "(?:[。！]|$)"
_REFUSALS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # 资料中没有提到…… 文中并未说明……
        rf"{_GIVEN}[^。！？；\n]{{0,12}}?{_ABSENT}[^。！？；，,\n]{{0,12}}?{_TOLD}",
        # 没有在资料中找到…… 未提供相关信息
        rf"{_ABSENT}[^。！？；\n]{{0,12}}?{_TOLD}[^。！？；\n]{{0,16}}?(?:{_GIVEN}|答案)",
        rf"{_ABSENT}[^。！？；，,\n]{{0,4}}?{_GIVEN}[^。！？；，,\n]{{0,8}}?{_TOLD}",
        # 根据现有资料无法回答
        rf"{_GIVEN}[^。！？；\n]{{0,14}}?{_CANNOT}[^。！？；，,\n]{{0,6}}?{_ANSWER}",
        # 无法从资料中得知…… 无法回答
        rf"{_CANNOT}[^。！？；，,\n]{{0,6}}?{_GIVEN}[^。！？；，,\n]{{0,4}}?{_ANSWER}",
        rf"{_CANNOT}[^。！？；，,\n]{{0,6}}?[回作解]答[^。！？；，,\n]{{0,6}}?"
        rf"(?:问题|提问|{_END})",
        # 抱歉，我不清楚
        rf"(?:抱歉|对不起|不好意思)[^。！？；\n]{{0,20}}?(?:{_CANNOT}|{_UNKNOWN})",
        rf"(?:抱歉|对不起|不好意思)[^。！？；\n]{{0,20}}?{_ABSENT}[^。！？；，,\n]{{0,6}}?"
        rf"(?:{_TOLD}|{_GIVEN})",
        rf"^(?:这个)?我?(?:不知道|不清楚|不了解)[^。！？；，,\n]{{0,10}}{_END}",
        r"\b(?:cannot|can't|can not|unable to) (?:be )?(?:answer|determine)",
        r"\b(?:not|\w+n't|no information|nothing)\b[^.\n]{0,60}"
        r"\b(?:passages?|documents?|context|text|materials?|sources?)\b",
        r"\b(?:passages?|documents?|context|text|materials?|sources?)\b[^.\n]{0,30}"
        r"\b(?:not|\w+n't|no)\b[^.\n]{0,20}"
        r"\b(?:mention|contain|provide|state|say|specif|includ|informat|answer)",
    )
)


def read_citations(text: str) -> set[int]:
    """Return the numbers of the passages that an answer cites.

    They stand in square or lenticular brackets, full-width or not: [2], ［2］, 【2】, [1][3],
    [1、3], [1,3], [1-3]. Brackets in code are none; nor are those within a quotation after
    "依据：", but only the ones before it.
    """
    answer, evidence = _split_evidence(text)
    sources = [_CODE.sub(" ", answer), *(m[1] for m in _QUOTE.finditer(evidence))]
    return {number for source in sources for number in _numbers(source)}


def strip_citations(text: str) -> str:
    """Return an answer alone, without its citations and without "依据：…" at its end."""
    answer, _ = _split_evidence(text)
    kept, end = [], 0
    for code in _CODE.finditer(answer):
        kept += [_drop(answer[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*kept, _drop(answer[end:])]).strip()


def is_refusal(text: str) -> bool:
    """Whether an answer says that it cannot be given, or that the passages do not hold it.

    Wordings are recognized, not known sentences, and only at the answer's start: an answer that
    later says what else is not in the passages is none.
    """
    answer = strip_citations(text)
    opening = "".join(_first_sentences(answer, _OPENING_SENTENCES))[:_OPENING_CHARACTERS]
    return any(pattern.search(opening) for pattern in _REFUSALS)


class RightCitation(MeanMetric):
    """Share of answers that cite a passage that holds the answer, and none that does not.

    Args:
        gold: the numbers of the passages that hold an item's answer; an item without is left out.
    """

    name, english, chinese = "right_citation", "right passage cited", "引用正确"

    def __init__(self, gold: Passages) -> None:
        self.gold = gold

    def score(self, item: Item, answer: Answer) -> float | None:
        """Return 1 or 0."""
        gold, cited = set(self.gold(item)), read_citations(answer.text)
        return float(bool(cited) and cited <= gold) if gold else None


class RightRefusal(MeanMetric):
    """Share of questions without an answer in the passages that were refused.

    Args:
        unanswerable: which items these are; without it, all.
    """

    name, english, chinese = "right_refusal", "unanswerable questions refused", "正确拒答"

    def __init__(self, unanswerable: Applies = lambda item: True) -> None:
        self.unanswerable = unanswerable

    def score(self, item: Item, answer: Answer) -> float | None:
        """Return 1 or 0; None for a question that has an answer."""
        return float(is_refusal(answer.text)) if self.unanswerable(item) else None


class WrongRefusal(MeanMetric):
    """Share of questions with an answer in the passages that were refused.

    Args:
        answerable: which items these are; without it, all.
    """

    name, english, chinese = "wrong_refusal", "answerable questions refused", "错误拒答"
    higher_is_better = False

    def __init__(self, answerable: Applies = lambda item: True) -> None:
        self.answerable = answerable

    def score(self, item: Item, answer: Answer) -> float | None:
        """Return 1 or 0; None for a question that has no answer."""
        return float(is_refusal(answer.text)) if self.answerable(item) else None


def _split_evidence(text: str) -> tuple[str, str]:
    match = _EVIDENCE.search(text)
    return (text[: match.start()], text[match.end() :]) if match else (text, "")


def _numbers(text: str) -> Iterator[int]:
    for citation in _CITATION.finditer(text):
        for first, last in _ONE.findall(citation[1]):
            ends = int(first), int(last or first)
            yield from range(min(ends), max(ends) + 1)


def _drop(text: str) -> str:
    """Return a text without citations and the spaces before them."""
    return re.sub(rf"[ \t\u3000]*{_CITATION.pattern}", "", text)


def _first_sentences(text: str, count: int) -> Iterator[str]:
    start = 0
    for _ in range(count):
        end = _SENTENCE_END.search(text, start)
        yield text[start : end.end() if end else len(text)]
        if end is None:
            return
        start = end.end()
