"""BLEU and chrF, against sacrebleu's own corpus figures."""

from typing import Literal

import numpy as np
import pytest
import sacrebleu

from qingtan.evaluation.metrics.metric import Answer, Item, Metric
from qingtan.evaluation.metrics.translation import Bleu, ChrF

TEXTS: dict[Literal["zh", "en"], tuple[list[str], list[list[str]]]] = {
    "zh": (
        ["分析单个用户的数据使用情况。", "", "土耳其三面环海：西面是爱琴海 (Aegean Sea)。", "好。"],
        [
            ["分析单个消费者或消费者子集的数据使用情况。"],
            ["我迷路了。"],
            ["土耳其三面环海：西面是爱琴海（Aegean Sea），北面是黑海。"],
            ["很好。"],
        ],
    ),
    "en": (
        ["Analyze the data usage of a consumer.", "Yes", "It's raining cats & dogs, isn't it?"],
        [
            ["Analyze data usage for an individual and a subset of consumers.", "Analyze usage."],
            ["No.", "Never, ever."],
            ["It is raining cats and dogs, isn't it?", "It's pouring."],
        ],
    ),
}


def gold(item: Item) -> list[str]:
    return list(item["references"])


def figure(metric: Metric, answers: list[str], references: list[list[str]]) -> float:
    rows = [
        metric.measure({"references": wanted}, Answer(said))
        for wanted, said in zip(references, answers, strict=True)
    ]
    assert len({len(row) for row in rows}) == 1
    return metric.combine(np.sum(rows, axis=0))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_figures_are_sacrebleus(language: Literal["zh", "en"]) -> None:
    answers, references = TEXTS[language]
    # sacrebleu takes all first references, then all second ones.
    by_place = [list(place) for place in zip(*references, strict=True)]
    tokenize = {"zh": "zh", "en": "13a"}[language]
    bleu = sacrebleu.corpus_bleu(answers, by_place, tokenize=tokenize).score
    assert bleu > 0
    assert figure(Bleu(gold, language), answers, references) == bleu
    chrf = sacrebleu.corpus_chrf(answers, by_place).score
    assert figure(ChrF(gold), answers, references) == chrf


@pytest.mark.parametrize("metric", [Bleu(gold, "zh"), ChrF(gold)])
def test_a_perfect_translation_has_all_points_and_a_wrong_one_none(metric: Metric) -> None:
    text = "今天天气很好。"
    assert figure(metric, [text], [[text]]) == pytest.approx(100)
    assert figure(metric, ["猫"], [[text]]) == 0
    assert figure(metric, [""], [[text]]) == 0
    assert np.isnan(
        metric.combine(np.zeros(len(metric.measure({"references": [text]}, Answer(text)))))
    )
