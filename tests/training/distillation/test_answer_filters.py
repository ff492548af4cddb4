"""Filters of answers: what each refuses, and what it must let pass."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.training.distillation.answer_filters import (
    LOOP_GRAM,
    REASONS,
    AnswerFilters,
    agreements,
    bigram_f1,
    cut_off,
    empty,
    other_language,
    repeated_share,
    repeats_itself,
    repeats_question,
    wrong_length,
)
from qingtan.training.distillation.answers import judge
from qingtan.training.distillation.teachers import Candidate

POEM = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。床前明月光，疑是地上霜。"
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)
WORDS = st.text("北京是中国的首都abc ，。", min_size=1, max_size=30)


def stop(text: str) -> Candidate:
    return Candidate(text, "stop")


@pytest.mark.parametrize(
    ("question", "answer", "finish", "reason"),
    [
        ("北京是什么？", "北京是中国的首都。", "stop", None),
        ("北京是什么？", " \n", "stop", "empty"),
        ("北京是什么？", "北京是中国的", "length", "cut_off"),
        ("北京是什么？", "", "content_filter", "empty"),
        ("北京是什么？", "首都", "stop", "too_short"),
        ("北京是什么？", "首都，" * 400, "stop", "too_long"),
        (
            "北京是什么？",
            "我不知道，我不知道，我不知道，我不知道，我不知道，",
            "stop",
            "repeats_itself",
        ),
        ("北京是什么？", "Beijing is the capital of China.", "stop", "other_language"),
        ("What is Beijing?", "北京是中国的首都。", "stop", "other_language"),
        ("北京是什么城市？", "北京，是什么城市！", "stop", "repeats_question"),
        ("请写一首关于月亮的诗。", POEM, "stop", None),
        ("十二加三十等于多少？", "12 + 30 = 42", "stop", None),
        ("把“你好”译成英文。", "Hello, how are you doing today?", "stop", None),
        ("写一段 Python 代码，打印斐波那契数列", "def fib(n):\n    return n", "stop", None),
        ("列出文中的实体，以JSON列表输出。", "[]  ", "stop", "too_short"),
        ("Translate into Chinese: good morning", "早上好，朋友", "stop", None),
        ("What do you call this thing, and how is it used?", "A language model.", "stop", None),
    ],
)
def test_reasons(question: str, answer: str, finish: str, reason: str | None) -> None:
    filters = AnswerFilters(min_characters=5, max_characters=1000)
    assert filters.reason(question, Candidate(answer, finish)) == reason
    assert reason is None or reason in REASONS


def test_filters_can_be_turned_off() -> None:
    english, loop = stop("Beijing is the capital of China."), stop("我不知道，" * 9)
    assert AnswerFilters(same_language=False).reason("北京是什么？", english) is None
    assert AnswerFilters(max_repeated_share=1).reason("北京是什么？", loop) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_repeated_share": 1.5}, "max_repeated_share: 1.5 is not between 0 and 1"),
        ({"min_agreement": -0.1}, "min_agreement: -0.1 is not between 0 and 1"),
        ({"min_characters": 9, "max_characters": 8}, "min_characters: 9 is not between 1 and"),
    ],
)
def test_settings_out_of_range(values: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        AnswerFilters(**values)


@given(TEXTS)
def test_repeated_grams_are_those_that_occurred_before(text: str) -> None:
    seen: set[str] = set()
    again = total = 0
    for i in range(len(text) - LOOP_GRAM + 1):
        total += 1
        again += text[i : i + LOOP_GRAM] in seen
        seen.add(text[i : i + LOOP_GRAM])
    assert repeated_share(text) == pytest.approx(again / total if total else 0)


@given(st.text("甲乙丙丁戊己庚辛", min_size=2, max_size=20), st.integers(10, 30))
def test_every_loop_is_found_and_no_text_without_repetition(text: str, times: int) -> None:
    assert repeats_itself(text * times, 0.5) == "repeats_itself"
    distinct = "".join(chr(0x4E00 + i) for i in range(200))
    assert repeats_itself(distinct, 0.0) is None


@given(WORDS, WORDS)
def test_f1_is_that_of_counted_bigrams(one: str, other: str) -> None:
    score = bigram_f1(one, other)
    assert score == bigram_f1(other, one)
    assert 0 <= score <= 1
    assert bigram_f1(one, one) == 1
    plain = ["".join(c for c in text if c not in " ，。") for text in (one, other)]
    left, right = (Counter(pairwise(text)) for text in plain)
    if left and right:
        common = sum(min(left[pair], right[pair]) for pair in left)
        precision, recall = common / sum(left.values()), common / sum(right.values())
        expected = 2 * precision * recall / (precision + recall) if common else 0
        assert score == pytest.approx(expected)


@given(TEXTS)
def test_a_text_is_no_news_to_itself(text: str) -> None:
    assert (repeats_question(text, text) is not None) == any(c.isalnum() for c in text.lower())
    assert repeats_question(text + "一二三四五六七八九十" * 30, text) is None


@given(TEXTS, TEXTS)
def test_filters_give_known_reasons_whatever_the_text(question: str, answer: str) -> None:
    assert AnswerFilters().reason(question, stop(answer)) in {None, *REASONS}
    assert (empty(answer) is None) == bool(answer.strip())
    assert (wrong_length(answer, 1, 10**6) is None) == bool(answer)


def test_how_an_answer_ended() -> None:
    assert cut_off("stop") is None
    assert cut_off("length") == cut_off("content_filter") == "cut_off"


def test_chinese_text_in_traditional_and_literary_form_is_chinese() -> None:
    assert other_language("何謂仁？", "克己復禮為仁。一日克己復禮，天下歸仁焉。") is None
    assert other_language("何謂仁？", "Benevolence is to master oneself.") == "other_language"


CAPITAL = ["北京是中国的首都。", "中国的首都是北京。", "北京，是中国的首都！"]


def test_the_answer_that_agrees_with_the_others_is_kept() -> None:
    candidates = [stop(text) for text in ("上海是最大的城市。", *CAPITAL)]
    best, reasons = judge("中国的首都是哪里呢？", candidates, AnswerFilters())
    assert best == 1
    assert reasons == ["not_chosen", "kept", "not_chosen", "duplicate"]


def test_answers_that_do_not_pass_have_no_vote() -> None:
    candidates = [Candidate("上海是最大的城市。", "length")] * 3 + [stop(CAPITAL[0])]
    best, reasons = judge("问题", candidates, AnswerFilters())
    assert best == 3
    assert reasons == ["cut_off"] * 3 + ["kept"]
    assert judge("问题", candidates[:3], AnswerFilters()) == (None, ["cut_off"] * 3)


def test_a_question_whose_answers_disagree_is_dropped() -> None:
    filters = AnswerFilters(min_agreement=0.5)
    disagree = [stop(text) for text in ("上海是最大的城市。", "春眠不觉晓。", "")]
    assert judge("问题", disagree, filters) == (None, ["low_agreement", "low_agreement", "empty"])
    agree = [stop(text) for text in CAPITAL]
    assert judge("问题", agree, filters)[0] == 0
    # One that is left of several has nobody to agree with.
    assert judge("问题", [stop(CAPITAL[0]), stop("")], filters)[0] is None


@given(st.lists(WORDS, min_size=2, max_size=5))
def test_agreement_is_the_mean_with_the_others(answers: list[str]) -> None:
    for i, score in enumerate(agreements(answers)):
        others = [bigram_f1(answers[i], other) for j, other in enumerate(answers) if j != i]
        assert score == pytest.approx(sum(others) / len(others))
