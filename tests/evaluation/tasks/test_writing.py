"""Writing: every kind is asked in its own words, and answers are measured by themselves."""

from pathlib import Path

import orjson
import pytest

from qingtan.errors import UserError
from qingtan.evaluation.items import read_items
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.tasks.writing import WRITING
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.prompts import answers

from .samples import EVAL, check_asked, needs_data, score

OWN: list[Item] = [
    {"task": "article_writing", "title": "石桥与传感器", "lead": "桥也会说话。"},
    {"task": "article_writing", "title": "石桥与传感器", "lead": None},
    {"task": "recipe", "question": "笋丝面怎么做？"},
    {"task": "story_writing", "title": "小船和石桥"},
    {"task": "novel_continue", "input": "却说青溪镇上来了一位客人。"},
]


def test_each_kind_is_asked_in_its_own_words() -> None:
    assert [WRITING.ask(item)[-1]["content"] for item in OWN] == [
        "帮我写一篇科技短文，题目是“石桥与传感器”，主旨：桥也会说话。",
        "帮我写一篇科技短文，题目是“石桥与传感器”。",
        "笋丝面怎么做？",
        "写一个小故事，题目是“小船和石桥”。",
        "续写下面的章回小说片段：\n却说青溪镇上来了一位客人。",
    ]
    assert all(WRITING.selects(item) for item in OWN)
    assert not WRITING.selects({"task": "poem_writing", "title": "秋夜"})


@pytest.mark.parametrize(("kind", "name"), [(item["task"], [*item][1]) for item in OWN[1:]])
def test_what_a_kind_needs_is_missed_by_name(tmp_path: Path, kind: str, name: str) -> None:
    item = {"id": "w1", "task": kind, "reference": "从前有一座桥。"}
    (tmp_path / "writing.jsonl").write_bytes(orjson.dumps(item))
    with pytest.raises(UserError, match=rf"writing\.jsonl, line 1: field {name} is missing"):
        read_items(WRITING, tmp_path)


def test_looping_answers_are_told_from_written_ones() -> None:
    written = ["从前，青溪镇有一座石桥，桥下的小船每天送孩子上学。"] * len(OWN)
    distinct, ends, loops, length = score(WRITING, OWN, written)
    assert (distinct, ends, loops, length) == (1.0, 1.0, 0.0, len(written[0]))
    distinct, ends, loops, length = score(WRITING, OWN, [text * 6 for text in written])
    assert distinct < 0.2
    assert loops == 1.0
    assert length == 6 * len(written[0])


@needs_data
def test_real_items(tiny_tokenizer: GLMTokenizer) -> None:
    items = read_items(WRITING, EVAL)
    assert len(items) > 100
    assert {item["task"] for item in items} == {item["task"] for item in OWN}
    check_asked(WRITING, items, tiny_tokenizer)
    for item in items:
        if item["task"] == "recipe":
            dish = item["question"].removesuffix("怎么做？")
            assert answers.write_recipe(dish) == item["question"]
    assert WRITING.reference
    references = [WRITING.reference(item) for item in items]
    distinct, ends, loops, length = score(WRITING, items, references)
    assert distinct > 0.7
    assert ends == 1.0
    assert loops < 0.2
    assert 300 < length < 1500
