"""Metrics of texts, against plain versions written from their definitions."""

import time
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qingtan.evaluation.metrics.metric import Answer, Metric
from qingtan.evaluation.metrics.text import (
    AnswerF1,
    Contains,
    Distinct2,
    EndsByItself,
    ExactMatch,
    Length,
    Repeats,
    RougeL,
    normalize,
    tokenize,
)

CHINESE = st.text(st.sampled_from("天地玄黄"), max_size=12)
# The evaluation script of CMRC 2018 strikes these out.
CMRC_MARKS = "-:_*^/\\~`+=，。：？！“”；’《》…·、「」（）－～『』"


def gold(*texts: str) -> Callable[..., Sequence[str]]:
    return lambda item: texts


def figure(metric: Metric, *answers: str) -> float:
    return metric.combine(np.sum([metric.measure({}, Answer(text)) for text in answers], axis=0))


def common_substring(a: Sequence[str], b: Sequence[str]) -> int:
    lengths = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if x == y else 0
    return max(map(max, lengths))


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    lengths = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            longer = max(lengths[i][j + 1], lengths[i + 1][j])
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if x == y else longer
    return lengths[-1][-1]


def plain_f1(common: int, a: int, b: int) -> float:
    if not common:
        return 0.0
    precision, recall = common / a, common / b
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("《战栗游戏》，1987 年出版。", "战栗游戏1987年出版"),
        ("Ｈｅｌｌｏ, World!", "helloworld"),
        ("4.5 分，1,000 人。", "4.5分1000人"),
        ("C++ 与 C", "c++与c"),
        ("～「」…—·", ""),
    ],
)
def test_normalizing(text: str, expected: str) -> None:
    assert normalize(text) == expected


@given(st.text())
@example("a-\u0301")
def test_what_is_normalized_stays_and_holds_no_punctuation(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert not any(c.isspace() for c in once)
    assert all(c == "." or unicodedata.category(c)[0] not in "PZ" for c in once)


def test_tokens_are_characters_words_and_numbers() -> None:
    text = "用Qwen2.5在 GPU上，跑了3.5小时！"
    assert tokenize(text) == [*"用", "qwen2.5", "在", "gpu", *"上跑了", "3.5", *"小时"]


def test_the_best_reference_counts() -> None:
    assert figure(ExactMatch(gold("1987年", "一九八七年")), "1987 年。", "八七年") == 0.5
    assert figure(AnswerF1(gold("完全不同", "哥德式")), "哥德式。") == 1
    assert np.isnan(figure(AnswerF1(gold()), "哥德式"))


@given(CHINESE, CHINESE)
def test_f1_is_that_of_the_longest_common_substring(reference: str, answer: str) -> None:
    expected = plain_f1(common_substring(reference, answer), len(answer), len(reference))
    assert figure(AnswerF1(gold(reference)), answer) == pytest.approx(expected)


@given(
    st.text(st.sampled_from("河口湾，。、《》“”！"), max_size=15),
    st.text(st.sampled_from("河口湾，。、《》“”！"), max_size=15),
)
def test_chinese_scores_as_in_the_script_of_cmrc(reference: str, answer: str) -> None:
    wanted = [c for c in reference if c not in CMRC_MARKS]
    said = [c for c in answer if c not in CMRC_MARKS]
    expected = plain_f1(common_substring(wanted, said), len(said), len(wanted))
    assert figure(AnswerF1(gold(reference)), answer) == pytest.approx(expected)
    assert figure(ExactMatch(gold(reference)), answer) == (wanted == said)


def test_f1_asks_for_neighbours_where_rouge_does_not() -> None:
    assert figure(AnswerF1(gold("天地玄黄")), "天玄地黄") == 0.25
    assert figure(RougeL(gold("天地玄黄")), "天玄地黄") == 0.75


@given(CHINESE, CHINESE)
def test_rouge_l_is_that_of_the_longest_common_subsequence(reference: str, answer: str) -> None:
    expected = plain_f1(common_subsequence(reference, answer), len(answer), len(reference))
    assert figure(RougeL(gold(reference)), answer) == pytest.approx(expected)


def test_rouge_l_takes_words_of_latin_text_whole() -> None:
    assert figure(RougeL(gold("The quick brown fox.")), "the slow brown fox") == 0.75


@pytest.mark.parametrize(
    ("value", "answer", "stands"),
    [
        ("010-62959800", "电话是010-62959800。", True),
        ("010-62959800", "电话是０１０－６２９５９８００。", True),
        ("010-62959800", "电话是010 - 6295 9800。", True),
        ("010-62959800", "电话是010-629598001。", False),
        ("385", "价格约为385元", True),
        ("385", "价格约为1385元", False),
        ("385", "价格约为3850元", False),
        ("385", "价格约为1,385元", False),
        ("385", "价格约为385.5元", False),
        ("385", "不是1385元，是385元", True),
        ("385", "编号 385，385 元。", True),
        ("4.5", "评分14.5", False),
        ("4.5", "评分4.5。", True),
        ("周一至周日 11:30-22:00", "周一至周日11：30-22：00营业", True),
        ("地铁站A口", "到惠新西街北口地铁站 A 口", True),
        ("地铁站A口", "到惠新西街北口地铁站 B 口", False),
        ("", "任何回答", False),
    ],
)
def test_an_exact_value(value: str, answer: str, stands: bool) -> None:
    assert figure(Contains(gold(value)), answer) == stands


def test_of_several_values_all_are_asked_for() -> None:
    dishes = Contains(gold("烤鱼", "红烧肉"))
    assert figure(dishes, "推荐烤鱼、红烧肉。") == 1
    assert figure(dishes, "推荐烤鱼。") == 0
    assert np.isnan(figure(Contains(gold()), "推荐烤鱼。"))


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_number_stands_only_where_it_is_written(value: int, said: int) -> None:
    assert figure(Contains(gold(str(value))), f"一共{said}元") == (value == said)


def plain_repeats(tokens: str) -> bool:
    """Count every span of ten, from the left, without overlaps."""
    spans = {tokens[i : i + 10] for i in range(len(tokens) - 9)}
    return any(tokens.count(span) > 2 for span in spans)


@given(st.text(st.sampled_from("甲乙"), max_size=60))
@example("甲" * 29)
@example("甲" * 30)
def test_loops_are_spans_that_stand_more_than_twice(text: str) -> None:
    assert figure(Repeats(), text) == plain_repeats(text)
    assert figure(Repeats(), "\n ".join(text)) == plain_repeats(text)


def test_long_words_are_no_loop_and_loops_of_words_are() -> None:
    assert figure(Repeats(), "internationalization " * 3) == 0
    assert figure(Repeats(), "I do not know what to say about it, so " * 3) == 1


def test_a_long_answer_is_looked_through_at_once() -> None:
    text = "".join(np.random.default_rng(0).choice(list("甲乙丙丁戊己庚辛壬癸子丑"), 100_000))
    started = time.process_time()
    assert figure(Repeats(), text) == 0
    assert time.process_time() - started < 5


def test_distinct_bigrams() -> None:
    # 甲乙 乙甲 甲乙, and 甲乙 again in another answer.
    assert figure(Distinct2(), "甲乙甲乙", "甲乙") == 3 / 4
    assert np.isnan(figure(Distinct2(), "甲"))


def test_how_answers_end_and_how_long_they_are() -> None:
    ends = EndsByItself()
    answers = [Answer("好"), Answer("好", ended=False), Answer(""), Answer(" ")]
    assert [ends.score({}, answer) for answer in answers] == [1, 0, 0, 0]
    assert figure(Length(), "四个汉字", "二字") == 3
