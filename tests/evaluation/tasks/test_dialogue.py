"""Dialogue: turns that end with the user's, facts before the last words, and the figures."""

from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.evaluation.items import read_items
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.tasks.dialogue import DIALOGUE, converse
from qingtan.glm.tokenizer import GLMTokenizer

from .samples import EVAL, baseline, check_asked, needs_data, score


def made(history: Sequence[str], reference: str, facts: Sequence[str] = ()) -> Item:
    knowledge = [dict(zip(("entity", "attr", "value"), f.split("/"), strict=True)) for f in facts]
    return {
        "id": reference,
        "history": history,
        "reference": reference,
        "knowledge": knowledge,
    }


OWN = [
    made(["去过青溪镇吗？", "去过一次。", "那里有什么？"], "有一座老石桥。", ["青溪镇/景点/石桥"]),
    made(["你好。", "你好，你想去哪里？", "想去茶馆。", "竹里茶馆不错。"], "它几点关门呢？"),
]


def test_the_user_speaks_first_and_last() -> None:
    assert converse(OWN[0]) == [
        {"role": "user", "content": "去过青溪镇吗？"},
        {"role": "assistant", "content": "去过一次。"},
        {"role": "user", "content": "参考知识：\n青溪镇|景点|石桥\n\n那里有什么？"},
    ]
    assert [message["content"] for message in converse(OWN[1])] == list(OWN[1]["history"][1:])


@given(st.lists(st.text(min_size=1), min_size=1, max_size=9))
def test_speakers_take_turns(history: list[str]) -> None:
    messages = converse({"history": history})
    assert [m["content"] for m in messages] == history[len(history) - len(messages) :]
    assert len(messages) == len(history) - (len(history) + 1) % 2
    assert [m["role"] for m in messages] == [
        "assistant" if i % 2 else "user" for i in range(len(messages))
    ]


def test_references_are_better_than_the_last_words() -> None:
    rouge, distinct, ends, loops = score(DIALOGUE, OWN, [item["reference"] for item in OWN])
    assert (rouge, distinct, ends, loops) == (1.0, 1.0, 1.0, 0.0)
    assert 0 < baseline(DIALOGUE, OWN)[0] < 0.5
    assert DIALOGUE.baseline
    assert DIALOGUE.baseline.answer(OWN) == ["那里有什么？", "竹里茶馆不错。"]
    circling = ["我想去茶馆喝一杯新茶。" * 5] * 2
    rouge, distinct, ends, loops = score(DIALOGUE, OWN, circling)
    assert loops == 1.0
    assert distinct < 0.5


@pytest.mark.parametrize("name", ["entity", "attr", "value"])
def test_a_fact_that_lacks_a_part_is_found_in_the_file(tmp_path: Path, name: str) -> None:
    fact = {key: "石桥" for key in ("entity", "attr", "value") if key != name}
    item = {**OWN[0], "knowledge": [fact]}
    (tmp_path / "dialogue.jsonl").write_bytes(orjson.dumps(item))
    with pytest.raises(UserError, match=rf"dialogue\.jsonl, line 1: field {name} is missing"):
        read_items(DIALOGUE, tmp_path)


def test_nothing_said_is_no_conversation() -> None:
    assert DIALOGUE.selects(OWN[0])
    assert not DIALOGUE.selects({**OWN[0], "history": []})


@needs_data
def test_real_items(tiny_tokenizer: GLMTokenizer) -> None:
    items = read_items(DIALOGUE, EVAL)
    assert len(items) > 700
    check_asked(DIALOGUE, items, tiny_tokenizer)
    rouge, distinct, ends, loops = score(DIALOGUE, items, [i["reference"] for i in items])
    assert rouge > 0.99  # a reference or two is nothing but punctuation
    assert distinct > 0.95
    assert ends == 1.0
    assert loops < 0.01
    assert baseline(DIALOGUE, items)[0] < 0.4
    assert DIALOGUE.reference
    assert all(DIALOGUE.reference(item) == item["reference"] for item in items)
