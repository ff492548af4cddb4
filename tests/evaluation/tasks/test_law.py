"""Law: the article's words, with and without its name, against the first article's."""

from typing import Any

import pytest

from qingtan.errors import UserError
from qingtan.evaluation.items import read_items
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.tasks.law import LAW, name_article
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.prompts import answers

from .samples import EVAL, baseline, check_asked, needs_data, score

RULES = ("园内禁止烟火。", "公园免费开放。", "公园每日六时开门，二十二时关门。")


def made(cite: Any) -> Item:
    return {
        "id": f"park-{cite}",
        "task": "law_docqa_cited",
        "passages": [f"《公园条例》第{n}条\u3000{r}" for n, r in zip("一二三", RULES, strict=True)],
        "question": f"《公园条例》第{cite}条规定了什么？",
        "references": [RULES[cite - 1]] if cite in (1, 2, 3) else ["？"],
        "cite": cite,
    }


OWN = [made(cite) for cite in (1, 2, 3)]


def test_an_article_may_be_named_or_not() -> None:
    for write in (
        lambda item: item["references"][0],
        lambda i: name_article(i, RULES[i["cite"] - 1]),
    ):
        cited = [answers.cite(write(item), item["cite"]) for item in OWN]
        assert score(LAW, OWN, cited) == [1.0, 1.0]
    assert name_article(OWN[1], "免费。") == "根据《公园条例》第二条，免费。"
    wrong = [answers.cite("根据《园林条例》第九条，" + rule, 1) for rule in RULES]
    rouge, right = score(LAW, OWN, wrong)
    assert 0.5 < rouge < 0.95
    assert right == pytest.approx(1 / 3)


def test_the_baseline_is_the_first_article() -> None:
    assert LAW.baseline
    assert LAW.baseline.answer(OWN[:1]) == ["《公园条例》第一条\u3000园内禁止烟火。[1]"]
    rouge, right = baseline(LAW, OWN)
    assert 0.2 < rouge < 0.8
    assert right == pytest.approx(1 / 3)


def test_the_model_sees_an_ordinary_space() -> None:
    assert "\n[2] 《公园条例》第二条 公园免费开放。\n" in LAW.ask(OWN[0])[-1]["content"]


@pytest.mark.parametrize("cite", [0, 4, "2"])
def test_a_citation_of_nothing_is_refused(cite: Any) -> None:
    with pytest.raises(UserError, match=rf"item park-{cite}: its cite is {cite}, of 3 passages"):
        LAW.selects(made(cite))


@needs_data
def test_real_items(tiny_tokenizer: GLMTokenizer) -> None:
    items = read_items(LAW, EVAL)
    assert len(items) > 400
    check_asked(LAW, items[::4], tiny_tokenizer)
    trained = [name_article(item, item["references"][0]) for item in items]
    cited = [answers.cite(text, item["cite"]) for text, item in zip(trained, items, strict=True)]
    rouge, right = score(LAW, items, cited)
    assert rouge > 0.999
    assert right == 1.0
    rouge, right = baseline(LAW, items)
    assert rouge < 0.6
    assert right < 0.5
