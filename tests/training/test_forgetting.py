"""What a run has learnt and forgotten: its file and its table."""

import json
from pathlib import Path

import pytest

from qingtan.errors import UserError
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, initialize
from qingtan.training.choices import Choices, measure_choices
from qingtan.training.evaluation import evaluate
from qingtan.training.forgetting import (
    Comparison,
    Standing,
    read_comparison,
    read_standing,
    render,
    take_standing,
    write_standing,
)
from qingtan.training.subject import Subject

from .samples import talk_shard, text_shard

BEFORE = Standing(
    {"news": 1.0, "poems": 2.0, "talks": 3.0},
    {"news": Choices(90, 100), "poems": Choices(40, 50), "talks": Choices(10, 50)},
)
AFTER = Standing(
    {"news": 1.25, "poems": 2.05, "talks": 2.0},
    {"news": Choices(40, 100), "poems": Choices(39, 50), "talks": Choices(45, 50)},
)


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGTAN_LANG", "en")


def test_a_standing_has_every_source() -> None:
    subject = Subject(initialize(GLM(GLMConfig.named("tiny"))))
    shards = [text_shard([40] * 6), talk_shard([[False] * 5 + [True] * 4] * 6, first=500)]
    standing = take_standing(subject, shards, 100, 1000, 5, 0)
    held_out = evaluate(subject, shards, 100, 1000)
    assert list(standing.bits_per_byte) == ["text", "talk"]
    for name, bits in standing.bits_per_byte.items():
        assert bits == pytest.approx(held_out[name].bits_per_byte, abs=1e-4)
    assert standing.accuracy == measure_choices(subject, shards, 5, 100, 0)
    assert standing.accuracy["text"].items == 5


def test_both_standings_are_kept_in_one_file(tmp_path: Path) -> None:
    write_standing(tmp_path, "before", BEFORE, ["talks"])
    assert read_comparison(tmp_path) is None
    assert read_standing(tmp_path, "before") == BEFORE
    write_standing(tmp_path, "after", AFTER, ["talks"])
    assert read_standing(tmp_path, "before") == BEFORE
    assert read_standing(tmp_path, "after") == AFTER
    comparison = read_comparison(tmp_path)
    assert comparison is not None
    assert comparison.changes() == Comparison(BEFORE, AFTER, ["talks"]).changes()
    assert [path.name for path in tmp_path.iterdir()] == ["forgetting.json"]
    values = json.loads((tmp_path / "forgetting.json").read_text(encoding="utf-8"))
    assert values["trained"] == ["talks"]
    assert values["after"]["accuracy"]["news"] == {"correct": 40, "items": 100}


@pytest.mark.parametrize("text", ["{}", '{"before": 3}', '{"before": {"accuracy": {"a": 1}}}', "["])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "forgetting.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"forgetting\.json: "):
        read_standing(tmp_path, "before")


def test_no_file_is_no_comparison(tmp_path: Path) -> None:
    assert read_comparison(tmp_path) is None


def test_the_table_marks_what_got_worse_and_ends_with_the_means() -> None:
    header, *rows, summary = render(BEFORE, AFTER, ["talks"]).splitlines()
    assert header.split("  ")[0] == "source"
    assert [row.split()[0] for row in rows] == ["news", "poems", "talks"]
    # One question less of 50 is within chance; half of all answers is not.
    assert rows[0].split()[1:5] == ["1.000", "→", "1.250", "+0.250!"]
    assert rows[0].endswith("90% (83–94%) → 40% (31–50%)!")
    assert rows[1].split()[1:5] == ["2.000", "→", "2.050", "+0.050!"]
    assert rows[1].endswith("78% (65–87%)")
    assert " ".join(rows[2].split()) == (
        "talks (trained on) 3.000 → 2.000 -1.000 20% (11–33%) → 90% (79–96%)"
    )
    assert summary == (
        "Mean change in bits/byte: not trained on (forgetting) +0.150, trained on (learnt) -1.000"
    )


def test_what_was_measured_once_has_no_difference() -> None:
    after = Standing({"news": 1.0, "new": 2.0}, {})
    header, *rows, summary = render(BEFORE, after, []).splitlines()
    assert "four-way" in header
    assert [row.split()[0] for row in rows] == ["new", "news", "poems", "talks"]
    assert rows[0].split()[1:] == ["–", "→", "2.000", "–", "→", "–"]
    assert rows[1].split()[1:5] == ["1.000", "→", "1.000", "+0.000"]
    assert rows[2].split()[1:4] == ["2.000", "→", "–"]
    assert summary == "Mean change in bits/byte: not trained on (forgetting) +0.000"
    assert render(Standing({}, {}), Standing({}, {}), []).endswith("Nothing was measured twice.")
