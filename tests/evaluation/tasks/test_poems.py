"""Poems: real and made-up ones by the task's metrics."""

import math

from qingtan.evaluation.items import read_items
from qingtan.evaluation.metrics.metric import Item
from qingtan.evaluation.tasks.poems import poems
from qingtan.glm.conversation import encode_prompt
from qingtan.glm.tokenizer import GLMTokenizer

from .samples import EVAL, needs_data, score

QUATRAIN = "竹里春风过，溪边晚照明。\n归人犹未到，隔水听钟声。"
LINES = ("竹里春风过", "溪边晚照明", "归人犹未到", "隔水听钟声")
OWN: list[Item] = [
    {"form": "五言绝句", "first_line": LINES[0], "reference": QUATRAIN},
    {"form": "词", "first_line": "石桥畔", "reference": "石桥畔，柳丝长。\n燕归忙。"},
]


def test_a_poem_is_asked_for_by_its_first_line() -> None:
    (message,) = poems().ask(OWN[0])
    assert message == {"role": "user", "content": "以“竹里春风过”为首句，续写一首五言绝句。"}
    task = poems()
    assert task.decoding == "default"
    assert task.baseline is None
    assert task.reference
    assert task.reference(OWN[0]) == QUATRAIN


def test_a_right_poem_scores_fully_and_a_wrong_one_does_not() -> None:
    task = poems(known=frozenset())
    names = [metric.name for metric in task.metrics]
    assert names == ["right_form", "rhyme", "copied_lines", "loops"]
    right = score(task, OWN[:1], [QUATRAIN])
    assert right == [1, 1, 0, 0]
    wrong = score(task, OWN[:1], ["竹里春风过，" + "溪边晚照明又明，" * 8 + "隔水听钟鼓。"])
    assert wrong == [0, 0, 0, 1]
    # Songs have no fixed length, and no line here is long enough to be a copy.
    of_a_song = score(task, OWN[1:], [OWN[1]["reference"]])
    assert all(map(math.isnan, of_a_song[:3]))


def test_copies_are_counted_where_lines_are_known() -> None:
    assert "copied_lines" not in [metric.name for metric in poems().metrics]
    given, _, other, _ = LINES
    # The first line was asked for; another one is a copy.
    assert score(poems({given}), OWN[:1], [QUATRAIN])[2] == 0
    assert score(poems({other}), OWN[:1], [QUATRAIN])[2] == 1


@needs_data
def test_real_items(tiny_tokenizer: GLMTokenizer) -> None:
    task = poems(known=frozenset())
    items = read_items(task, EVAL)
    assert len(items) == 800
    for item in items:
        messages = task.ask(item)
        assert encode_prompt(tiny_tokenizer, messages)
        assert item["first_line"] in messages[-1]["content"]
    right_form, rhyme, copied, loops = score(task, items, [item["reference"] for item in items])
    assert right_form > 0.9
    assert rhyme > 0.5
    assert copied == 0
    assert loops < 0.05
    turned = score(task, items, [item["reference"][::-1][:-3] for item in items])
    assert turned[0] < 0.5
    assert turned[1] < rhyme
