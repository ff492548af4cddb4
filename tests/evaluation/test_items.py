"""Items: which are read, what is said of bad ones, and which are chosen."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.evaluation.items import choose, read_items
from qingtan.evaluation.metrics.metric import Answer, Item, MeanMetric
from qingtan.evaluation.task import Task, user


class Same(MeanMetric):
    name = "same"
    english = "as in the item"
    chinese = "与条目相同"

    def score(self, item: Item, answer: Answer) -> float | None:
        return float(answer.text == item["answer"])


TASK = Task(
    name="riddle",
    english="riddles",
    chinese="猜谜",
    file="riddles",
    fields=("question", "answer"),
    ask=lambda item: user(item["question"]),
    metrics=(Same(),),
    max_tokens=8,
)
ITEMS = [{"id": f"r{i}", "question": f"第{i}题？", "answer": str(i)} for i in range(30)]


def lines(items: Sequence[Item]) -> bytes:
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items).encode()


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_files_are_read_however_they_are_packed(tmp_path: Path, suffix: str) -> None:
    data = lines(ITEMS) + b"\n"
    packed = {"jsonl": data, "jsonl.gz": gzip.compress(data), "jsonl.zst": zstandard.compress(data)}
    (tmp_path / f"riddles.{suffix}").write_bytes(packed[suffix])
    assert read_items(TASK, tmp_path) == ITEMS


def test_a_task_takes_its_own_and_makes_items_of_them(tmp_path: Path) -> None:
    (tmp_path / "riddles.jsonl").write_bytes(lines([*ITEMS, {"id": "other", "kind": "poem"}]))
    task = replace(
        TASK,
        selects=lambda item: item.get("kind") != "poem",
        derive=lambda items: [{**item, "question": "？"} for item in items if item["id"] > "r2"],
    )
    found = read_items(task, tmp_path)
    assert [item["id"] for item in found] == [i["id"] for i in ITEMS if i["id"] > "r2"]
    assert {item["question"] for item in found} == {"？"}


def test_questions_about_one_document_are_told_apart(tmp_path: Path) -> None:
    items = [{**item, "id": name} for item, name in zip(ITEMS, ["a", "b", "a", "a"], strict=False)]
    (tmp_path / "riddles.jsonl").write_bytes(lines(items))
    found = read_items(TASK, tmp_path)
    assert [item["id"] for item in found] == ["a", "b", "a#2", "a#3"]
    assert [item["question"] for item in found] == [item["question"] for item in items]


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (b'{"id": "b", "question": "?"}', "line 2: field answer"),
        (b'{"id": "b", "question": null, "answer": "x"}', "line 2: field question"),
        (b'{"question": "?", "answer": "x"}', "line 2: field id"),
        (b'{"id": 7, "question": "?", "answer": "x"}', "line 2: field id"),
        (b"{nonsense", "line 2: not JSON"),
        (b"[1]", "line 2: not a JSON object"),
        (b'"\xff"', "line 2: not JSON"),
    ],
)
def test_a_bad_item_is_named(tmp_path: Path, second: bytes, said: str) -> None:
    path = tmp_path / "riddles.jsonl"
    path.write_bytes(lines(ITEMS[:1]) + second)
    with pytest.raises(UserError) as error:
        read_items(TASK, tmp_path)
    assert str(error.value).startswith(f"{path}, {said}")


def test_what_a_task_selects_by_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "riddles.jsonl").write_bytes(lines(ITEMS))
    with pytest.raises(UserError, match="line 1: field kind is missing"):
        read_items(replace(TASK, selects=lambda item: item["kind"] == "x"), tmp_path)


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none: no such folder.*--data"):
        read_items(TASK, tmp_path / "none")
    with pytest.raises(UserError, match=r"holds no riddles\.jsonl\.zst"):
        read_items(TASK, tmp_path)
    path = tmp_path / "riddles.jsonl"
    path.write_bytes(lines(ITEMS))
    with pytest.raises(UserError, match="no item of the task riddle"):
        read_items(replace(TASK, selects=lambda item: False), tmp_path)
    with pytest.raises(UserError, match="can be made of its 30"):
        read_items(replace(TASK, derive=lambda items: []), tmp_path)
    path.unlink()
    (tmp_path / "riddles.jsonl.zst").write_bytes(zstandard.compress(lines(ITEMS))[:-9])
    with pytest.raises(UserError, match="cannot be read"):
        read_items(TASK, tmp_path)


@given(st.permutations(ITEMS), st.integers(1, 35), st.integers(0, 9))
def test_the_choice_depends_on_ids_and_seed_alone(
    items: Sequence[Item], limit: int, seed: int
) -> None:
    chosen = choose(items, limit, seed)
    assert len(chosen) == min(limit, len(items))
    assert chosen == [item for item in items if item in chosen]
    names = {item["id"] for item in chosen}
    assert names == {item["id"] for item in choose(ITEMS, limit, seed)}
    assert names <= {item["id"] for item in choose(items, limit + 1, seed)}


def test_zero_chooses_all_and_another_seed_others() -> None:
    assert choose(ITEMS, 0, 5) == ITEMS
    assert choose(ITEMS, 10, 0) != choose(ITEMS, 10, 1)
    # By chance each item is as likely as any other: none is in all of many choices.
    counts = [sum(item in choose(ITEMS, 15, seed) for seed in range(60)) for item in ITEMS]
    assert 10 < min(counts) <= max(counts) < 50
