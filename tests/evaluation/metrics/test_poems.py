"""Poems: form, rhyme and copies, on verse whose form and rhymes are known."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.evaluation.metrics.metric import Answer, Item
from qingtan.evaluation.metrics.poems import (
    CopiedLines,
    KnownLines,
    Rhyme,
    RightForm,
    do_rhyme,
    read_known,
    read_lines,
    rhymes_of,
)

DATA = Path(__file__).parents[3].parent / "shared" / "data"
NIGHT = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。"
NIGHT_LINES = ["床前明月光", "疑是地上霜", "举头望明月", "低头思故乡"]


def form(item: Item) -> str:
    return str(item["form"])


@pytest.mark.parametrize(
    "text",
    [
        NIGHT,
        f"《静夜思》\n\n{NIGHT}",
        f"《静夜思》\n唐·李白\n\n{NIGHT}",
        f"《静夜思》 唐·李白\n{NIGHT}",
        f"**静夜思**\n\n{NIGHT}",
        f"以下是一首五言绝句：\n{NIGHT}",
        "床前明月光\n疑是地上霜\n举头望明月\n低头思故乡",
        "床前明月光,疑是地上霜.\n举头望明月(一作望山月),低头思故乡!",
        "“床前明月光，疑是地上霜。举头望明月，低头思故乡。”",
    ],
)
def test_lines_are_those_of_the_verse(text: str) -> None:
    assert read_lines(text) == NIGHT_LINES


def test_a_lost_character_is_one() -> None:
    assert read_lines("𥬠□声偏切、重听。") == ["𥬠□声偏切", "重听"]
    assert read_lines("") == []


VERSE = st.lists(st.text(st.sampled_from("春风花月夜"), min_size=1, max_size=9), min_size=1)


@given(VERSE, st.lists(st.sampled_from(["，", "。\n", "；", "？", "、", "！\n\n"]), min_size=1))
def test_lines_come_apart_as_they_were_joined(lines: list[str], marks: list[str]) -> None:
    text = "".join(line + marks[i % len(marks)] for i, line in enumerate(lines))
    assert read_lines(text) == lines


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("五言绝句", NIGHT, 1),
        ("七言绝句", NIGHT, 0),
        ("五言律诗", NIGHT, 0),
        ("五言律诗", f"{NIGHT}\n{NIGHT}", 1),
        ("五言古诗", f"{NIGHT}\n{NIGHT}\n{NIGHT}", 1),
        ("五言古诗", "床前明月光。", 0),
        ("五言绝句", NIGHT.replace("光", "光亮"), 0),
        ("四言诗", "关关雎鸠，在河之洲。窈窕淑女，君子好逑。", 1),
        ("五言绝句", "", 0),
        ("词", "林花谢了春红，太匆匆！", None),
        ("曲", "枯藤老树昏鸦，", None),
    ],
)
def test_right_form(name: str, text: str, right: int | None) -> None:
    assert RightForm(form).score({"form": name}, Answer(text)) == right


@pytest.mark.parametrize(
    ("characters", "rhyme"),
    [
        ("霜乡", True),  # ang, iang
        ("楼流", True),  # ou, iou
        ("春人", True),  # uen, en
        ("东风", True),  # ong, eng
        ("远天", True),  # üan, ian
        ("月雪", True),  # üe, ie's group
        ("知时", True),  # both -i
        ("诗衣", False),  # -i and i
        ("去路", False),  # ü and u
        ("鱼衣", True),  # ü and i are one group
        ("山江", False),
        ("霜霜", False),
        ("霜", False),
        ("霜x", False),
        ("", False),
    ],
)
def test_rhymes(characters: str, rhyme: bool) -> None:
    assert do_rhyme(characters) == rhyme


def test_any_reading_may_rhyme() -> None:
    assert {"唐"} < rhymes_of("行") >= {"庚"}  # háng, xíng
    assert do_rhyme("行光")
    assert do_rhyme("行声")
    assert rhymes_of("，") == rhymes_of("a") == frozenset()


def test_rhyme_looks_at_even_lines_of_forms_that_rhyme_there() -> None:
    metric = Rhyme(form)
    assert metric.score({"form": "五言绝句"}, Answer(NIGHT)) == 1
    assert metric.score({"form": "五言绝句"}, Answer(NIGHT.replace("故乡", "故人"))) == 0
    assert metric.score({"form": "五言古诗"}, Answer("床前明月光，疑是地上霜。")) == 0
    assert metric.score({"form": "五言绝句"}, Answer("")) == 0
    assert metric.score({"form": "词"}, Answer(NIGHT)) is None


def test_copied_lines() -> None:
    known = KnownLines(NIGHT_LINES)
    anything = CopiedLines(known)
    assert anything.score({}, Answer("春风又绿岸，低头思故乡。")) == 1
    assert anything.score({}, Answer("春风又绿岸，抬头思故乡。")) == 0
    assert anything.score({}, Answer("春风，绿岸。")) is None
    given_first = CopiedLines(known, lambda item: item["first"])
    item = {"first": "床前明月光，"}
    assert given_first.score(item, Answer("床前明月光，春风又绿岸。")) == 0
    assert given_first.score(item, Answer("床前明月光，低头思故乡。")) == 1
    assert not CopiedLines(known).higher_is_better


@given(st.lists(st.text()), st.text())
def test_known_lines_are_a_set(lines: list[str], other: str) -> None:
    known = KnownLines(lines)
    assert all(line in known for line in lines)
    assert (other in known) == (other in lines)
    assert len(known) == len(set(lines))


def test_documents_and_conversations_are_read(tmp_path: Path) -> None:
    poems, talks = tmp_path / "poems.jsonl", tmp_path / "talks.jsonl.zst"
    poems.write_text(json.dumps({"text": f"《静夜思》\n唐·李白\n\n{NIGHT}"}) + "\n\n")
    messages = [
        {"role": "user", "content": "写春眠不觉晓"},
        {"role": "assistant", "content": "处处闻啼鸟，花落。"},
    ]
    talks.write_bytes(zstandard.compress(json.dumps({"messages": messages}).encode()))
    known = read_known([poems, talks])
    assert all(line in known for line in [*NIGHT_LINES, "处处闻啼鸟"])
    assert len(known) == 5


@pytest.mark.parametrize(
    "record", ["{", "[1]", '"text"', '{"text": 1}', '{"title": "x"}', '{"messages": [1]}']
)
def test_a_bad_record_is_named(tmp_path: Path, record: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "x"}\n' + record)
    with pytest.raises(UserError, match=r"bad\.jsonl.*2"):
        read_known([path])


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none"):
        read_known([tmp_path / "none.jsonl"])
    damaged = tmp_path / "cut.jsonl.zst"
    damaged.write_bytes(zstandard.compress(b'{"text": "x"}\n' * 999)[:-3])
    with pytest.raises(UserError, match="cut"):
        read_known([damaged])


@pytest.mark.skipif(not DATA.is_dir(), reason="the open pack is not here")
def test_real_poems_have_their_form_and_mostly_rhyme() -> None:
    with zstandard.open(DATA / "eval" / "poem.jsonl.zst", "rt", encoding="utf-8") as file:
        items = [json.loads(line) for line in file]
    answers = [Answer(item["reference"]) for item in items]
    forms = [RightForm(form).score(i, a) for i, a in zip(items, answers, strict=True)]
    assert set(forms) == {1.0, None}
    regulated = [
        Rhyme(form).score(item, answer)
        for item, answer in zip(items, answers, strict=True)
        if item["form"].endswith(("绝句", "律诗"))
    ]
    assert 0.75 < np.mean([score for score in regulated if score is not None]) < 0.85


@pytest.mark.skipif(not DATA.is_dir(), reason="the open pack is not here")
def test_many_poems_are_read_in_seconds() -> None:
    started = time.process_time()
    known = read_known([DATA / "sft" / "poem.jsonl.zst"])
    assert time.process_time() - started < 15
    assert len(known) > 200_000
    assert "清风明月与谁同坐不知年" not in known
