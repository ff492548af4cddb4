"""Evaluation items within training text, against sets of strings."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.corpus.contamination import (
    Contamination,
    DecontaminationTable,
    EvaluationFile,
    EvaluationIndex,
    evaluation_texts,
    set_texts,
)
from qingtan.errors import UserError

TABLE = DecontaminationTable()
SMALL = DecontaminationTable(gram=3, min_grams=2, share=0.6)
QUESTION = "请问北京大学图书馆的开放时间是什么？周末闭馆吗，需要预约吗？"
ENGLISH = "Which of the following best describes the boiling point of water at sea level?"


def grams_of(text: str, length: int) -> set[str]:
    letters = "".join(c.lower() for c in text if c.isalnum())
    return {letters[i : i + length] for i in range(len(letters) - length + 1)}


def plain_find(
    sets: list[tuple[str, list[str]]], text: str, table: DecontaminationTable
) -> float | None:
    """Return the greatest share of an item that the text holds, if that is enough."""
    held = grams_of(text, table.gram)
    items = [grams_of(item, table.gram) for _, items in sets for item in items]
    shares = [len(i & held) / len(i) for i in items if len(i) >= table.min_grams]
    return max((share for share in shares if share >= table.share), default=None)


LETTERS = st.text(alphabet="天地玄黄aB，", max_size=14)


@settings(max_examples=200)
@given(
    st.lists(st.lists(LETTERS, max_size=5), max_size=3),
    st.lists(LETTERS | st.lists(LETTERS, min_size=5, max_size=9).map("。".join), max_size=6),
)
def test_the_same_is_found_as_by_sets_of_strings(items: list[list[str]], texts: list[str]) -> None:
    sets = [(f"set{i}", each) for i, each in enumerate(items)]
    found = EvaluationIndex.build(sets, SMALL).find(texts)
    assert len(found) == len(texts)
    for text, contamination in zip(texts, found, strict=True):
        share = contamination.share if contamination else None
        assert share == pytest.approx(plain_find(sets, text, SMALL))
        if contamination:
            own = [each for each in sets if each[0] == contamination.set]
            assert plain_find(own, text, SMALL) == pytest.approx(share)


def test_an_item_within_a_long_text_is_found() -> None:
    index = EvaluationIndex.build([("zh", [QUESTION]), ("en", [ENGLISH])], TABLE)
    padding = "".join(chr(0x4E00 + i * i % 5000) for i in range(3000))
    texts = [
        padding,
        padding + QUESTION + padding,
        padding + ENGLISH.upper().replace(" ", "\n") + padding,
        padding + QUESTION.replace("？", "?").replace("，", " ") + ENGLISH,
        QUESTION[:14] + padding + QUESTION[14:],
        "",
    ]
    found = index.find(texts)
    assert [each and each.set for each in found] == [None, "zh", "en", "zh", None, None]
    assert found[1] == Contamination("zh", 1.0)


def test_the_share_decides() -> None:
    text = QUESTION[:-6]  # without the last 5 of 27 letters: 10 of 15 n-grams
    for share, is_found in ((0.66, True), (0.68, False)):
        index = EvaluationIndex.build([("zh", [QUESTION])], DecontaminationTable(share=share))
        found = index.find([text])[0]
        assert (found is not None) == is_found
        assert found is None or found.share == pytest.approx(10 / 15)


def test_many_texts_are_looked_through_block_by_block() -> None:
    index = EvaluationIndex.build([("zh", [QUESTION])], TABLE)
    texts = ["无关的话" * 20_000, QUESTION] * 5 + ["尾"]
    assert [each is not None for each in index.find(texts)] == [False, True] * 5 + [False]


def test_short_items_are_counted_and_not_looked_for() -> None:
    sets = [("a", ["你好", QUESTION, "", QUESTION[:19]]), ("b", ["是"]), ("c", [])]
    index = EvaluationIndex.build(iter((name, iter(texts)) for name, texts in sets), TABLE)
    assert index.names == ("a", "b", "c")
    assert index.items.tolist() == [1, 0, 0]
    assert index.short_items.tolist() == [3, 1, 0]
    assert index.find(["你好，是。", QUESTION[:19]]) == [None, None]


def test_an_index_without_items_finds_nothing() -> None:
    assert EvaluationIndex.build([], TABLE).find([QUESTION, ""]) == [None, None]


def test_it_can_be_saved_and_pickled(tmp_path: Path) -> None:
    index = EvaluationIndex.build([("中", [QUESTION, "短"]), ("en", [ENGLISH])], TABLE)
    path = tmp_path / "index.npz"
    index.save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["index.npz"]
    texts = ["序" + QUESTION, ENGLISH, "无关"]
    expected = index.find(texts)
    for other in (EvaluationIndex.load(path), pickle.loads(pickle.dumps(index))):
        assert other.find(texts) == expected
        assert (other.table, other.names) == (TABLE, ("中", "en"))
        assert other.short_items.tolist() == [1, 0]


def test_a_missing_or_damaged_index_is_named(tmp_path: Path) -> None:
    path = tmp_path / "index.npz"
    with pytest.raises(UserError, match=r"index\.npz: no such file"):
        EvaluationIndex.load(path)
    EvaluationIndex.build([("zh", [QUESTION])], TABLE).save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"?" * 200, whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"index\.npz: not an evaluation index"):
            EvaluationIndex.load(path)
    with path.open("wb") as file:
        np.savez(file, head=np.array("{}"))
    with pytest.raises(UserError, match=r"index\.npz: not an evaluation index"):
        EvaluationIndex.load(path)


ITEM = {
    "id": "1",
    "question": "问",
    "answers": [{"text": "甲", "start": 3}, {"text": "乙"}],
    "options": {"A": ["丙", 2, None]},
}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((), ["1", "问", "甲", "乙", "丙"]),
        (("question",), ["问"]),
        (("answers.text", "question"), ["甲", "乙", "问"]),
        (("options",), ["丙"]),
        (("options.A",), ["丙"]),
        (("answers.start", "nothing", "question.text"), []),
    ],
)
def test_the_named_strings_of_an_item_are_looked_for(
    fields: tuple[str, ...], expected: list[str]
) -> None:
    assert evaluation_texts(ITEM, fields) == expected


def test_a_field_that_no_item_has_is_an_error() -> None:
    file = EvaluationFile(name="qa", path=Path("qa.jsonl"), fields=("question", "answer"))
    assert list(set_texts([ITEM, {"answer": "丁"}], file)) == ["问", "丁"]
    with pytest.raises(UserError, match=r"qa\.jsonl: no item has a text in answer;"):
        list(set_texts([ITEM, ITEM], file))
