"""Metrics of labels, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score  # type: ignore[import-untyped]
from sklearn.preprocessing import MultiLabelBinarizer  # type: ignore[import-untyped]

from qingtan.errors import UserError
from qingtan.evaluation.metrics.labels import (
    Accuracy,
    Choice,
    ExactSet,
    MacroF1,
    SetF1,
    read_choice,
    read_label,
    read_options,
)
from qingtan.evaluation.metrics.metric import Answer, Item, Metric

LABELS = ("正面", "中性", "负面")
QUESTION = "我迷路了。\n最可能的结果是？\nA. 我数了一下我的现金。\nB. 我展开了一张地图。"


def gold(item: Item) -> list[str]:
    return list(item["gold"])


def read(text: str) -> list[str]:
    return text.split("、")


def figure(metric: Metric, pairs: list[tuple[list[str], str]]) -> float:
    rows = [metric.measure({"id": "x", "gold": wanted}, Answer(said)) for wanted, said in pairs]
    return metric.combine(np.sum(rows, axis=0))


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("正面", "正面"),
        (" “正面”。", "正面"),
        ("**正面**：菜很好吃", "正面"),
        ("正面，因为菜很好吃", "正面"),
        ("正面\n菜很好吃", "正面"),
        ("正面评价", None),
        ("正面、负面", None),
        ("正面/中性/负面", None),
        ("我认为是正面", None),
        ("", None),
    ],
)
def test_reading_a_label(answer: str, label: str | None) -> None:
    assert read_label(answer, LABELS) == label


def test_a_label_within_another_is_not_mistaken_for_it() -> None:
    assert read_label("不冒犯。", ("冒犯", "不冒犯")) == "不冒犯"
    assert read_label("冒犯。", ("冒犯", "不冒犯")) == "冒犯"
    assert read_label("五言古诗，", ("五言", "五言古诗")) == "五言古诗"


@given(st.sampled_from(LABELS), st.text(st.sampled_from("，。！ \n“”"), max_size=4))
def test_punctuation_after_a_label_changes_nothing(label: str, after: str) -> None:
    assert read_label(label + after, LABELS) == label


@given(st.text())
def test_only_known_labels_are_read(answer: str) -> None:
    assert read_label(answer, LABELS) in {*LABELS, None}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b.", "B"),
        ("（B）", "B"),
        ("B. 我展开了一张地图。", "B"),
        ("答案是B。", "B"),
        ("我选择 A", "A"),
        ("The answer is A.", "A"),
        ("我展开了一张地图", "B"),
        ("我数了一下我的现金。", "A"),
        ("A man has a map", None),
        ("都有可能", None),
        ("", None),
    ],
)
def test_reading_a_choice(answer: str, letter: str | None) -> None:
    assert read_choice(answer, read_options(QUESTION)) == letter


def test_options_stand_one_a_line() -> None:
    assert read_options(QUESTION) == {"A": "我数了一下我的现金。", "B": "我展开了一张地图。"}


def test_choice_is_the_share_of_right_letters() -> None:
    metric = Choice(gold, lambda item: read_options(QUESTION))
    assert figure(metric, [(["B"], "B. 我展开了一张地图。"), (["B"], "A"), (["A"], "？")]) == 1 / 3


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from([*LABELS, "？"])), min_size=1))
def test_macro_f1_and_accuracy_are_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    wanted, said = map(list, zip(*pairs, strict=True))
    present = sorted({*wanted, *said} - {"？"})
    expected = f1_score(wanted, said, labels=present, average="macro", zero_division=0)
    rows = [([right], answer) for right, answer in pairs]
    assert figure(MacroF1(gold, LABELS), rows) == pytest.approx(expected)
    assert figure(Accuracy(gold, LABELS), rows) == pytest.approx(
        np.mean([right == answer for right, answer in pairs])
    )


SETS = st.lists(st.sampled_from("甲乙丙丁"), unique=True, max_size=4)


@given(st.lists(st.tuples(SETS, SETS), min_size=1, max_size=8))
def test_micro_f1_of_sets_is_scikit_learns(pairs: list[tuple[list[str], list[str]]]) -> None:
    table = MultiLabelBinarizer(classes=list("甲乙丙丁"))
    wanted = table.fit_transform([right for right, _ in pairs])
    said = table.transform([answer for _, answer in pairs])
    measured = figure(SetF1(gold, read), [(right, "、".join(answer)) for right, answer in pairs])
    if not wanted.any() and not said.any():
        assert np.isnan(measured)
    else:
        expected = f1_score(wanted, said, average="micro", zero_division=0)
        assert measured == pytest.approx(expected)


def test_all_labels_in_any_order() -> None:
    rows = [(["甲", "乙"], "乙、甲。"), (["甲", "乙"], "甲"), ([], "甲"), ([], "")]
    assert figure(ExactSet(gold, read), rows) == 0.5


def test_what_nothing_was_counted_for_is_nan() -> None:
    assert np.isnan(MacroF1(gold, LABELS).combine(np.zeros(9)))
    assert np.isnan(SetF1(gold, read).combine(np.zeros(3)))


@pytest.mark.parametrize("metric", [Accuracy(gold, LABELS), MacroF1(gold, LABELS)])
def test_an_unknown_right_label_is_refused(metric: Metric) -> None:
    with pytest.raises(UserError, match=r"x.*好评"):
        metric.measure({"id": "x", "gold": ["好评"]}, Answer("正面"))
