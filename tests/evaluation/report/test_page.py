"""The page of an evaluation, read by a strict parser."""

from pathlib import Path

import pytest

from corpus.report.page import Element, read_page, rows_of, words_of
from qingtan.errors import UserError
from qingtan.evaluation.report import write_reports
from qingtan.evaluation.report.write import render_page

from .results import ANGLED, DIGEST, MARKED, NAN, estimate, figure, make_results, task


@pytest.fixture(scope="module")
def page() -> Element:
    return read_page(render_page(make_results()))


def test_all_reports_are_written(tmp_path: Path) -> None:
    known = make_results(tasks=make_results().tasks[:3], held_out={"laws": estimate(2.0)})
    known.write(tmp_path)
    paths = write_reports(tmp_path)
    assert [path.name for path in paths] == ["report.html", "report.md", "report.zh-CN.md"]
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", *(p.name for p in paths)}
    read_page(paths[0].read_text(encoding="utf-8"))
    assert "| Perplexity ↓ |" in paths[1].read_text(encoding="utf-8")
    assert "| perplexity（中） ↓ |" in paths[2].read_text(encoding="utf-8")


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"results\.json: no such file; make it with"):
        write_reports(tmp_path)


def test_headlines(page: Element) -> None:
    cards = [
        [words_of(e) for e in card.walk() if e.tag in ("dt", "dd")]
        for card in page.section("summary").all("div", "card")
    ]
    assert cards == [
        ["Tasks", "4", "4,800 items asked"],
        ["Better than the baseline", "1 / 2", "level 0, worse 1"],
        ["Parameters", "3,986,112", "1:02:03 on CPU, 2 threads"],
    ]


def test_the_table_of_tasks(page: Element) -> None:
    rows = rows_of(page.section("tasks"))
    names = [row.pop(0) for row in rows]
    assert names[0] == (
        f"Labels | {ANGLED} labels.jsonl.zst, 1,200 of 4,316 items, 7 too long; "
        "baseline: the commonest label"
    )
    assert names[1] == names[3] == ""
    assert rows == [
        ["Accuracy", "1,200", "83.1% 78.1% – 88.1%", "50.0% 45.0% – 55.0%",
         "+33.1 +28.1 – +38.1", "better"],
        ["F1", "1,200", "25.0% 20.0% – 30.0%", "30.0% 25.0% – 35.0%",
         "-5.0 -25.0 – +15.0", "level"],
        ["Chrf", "1,200", "24.7 23.2 – 26.2", "30.0 28.5 – 31.5", "-5.3 -6.8 – -3.8", "worse"],
        ["Perplexity ↓", "1,200", "1,234 1,224 – 1,245", "1,234 1,224 – 1,245",
         "+0 -0.25 – +0.25", "level"],
        ["Distinct", "1,200", "3.142 3.092 – 3.192", "–", "–", "–"],
        ["F1", "1,200", "–", "50.0%", "–", "–"],
    ]  # fmt: skip
    chinese = [row[1] for row in rows_of(page.section("tasks"), "zh")]
    assert chinese[3] == "perplexity（中） ↓"


def test_other_tables(page: Element) -> None:
    assert rows_of(page.section("overall")) == [
        ["Ended", "1,200", "90.0% 85.0% – 95.0%", "–", "–", "–"]
    ]
    assert rows_of(page.section("held-out")) == [
        ["poems|a", "2.650", "2.600 – 2.700"],
        ["laws", "–", "–"],
    ]
    settings = dict(rows_of(page.section("settings")))
    assert settings["SHA-256 of its tensors"] == DIGEST
    assert settings["Most items of a task"] == "1,200"
    assert settings["Repetition penalty"] == "1.05"
    assert dict(rows_of(page.section("settings"), "zh"))["温度"] == "0.7"


def places_of(page: Element, name: str) -> list[tuple[str | None, ...]]:
    groups = page.section("baselines").all("g", name)
    return [
        tuple(element.attributes[place] for element, place in zip(
            (g.all("line")[0], g.all("circle")[0], g.all("line")[0]), ("x1", "cx", "x2"),
            strict=True,
        ))
        for g in groups
    ]  # fmt: skip


def test_whiskers_stand_where_the_figures_are(page: Element) -> None:
    # A number without ends and a figure without a value have no place in the plot.
    assert places_of(page, "model") == [("78.1%", "83.1%", "88.1%"), ("23.18%", "24.68%", "26.18%")]
    assert places_of(page, "baseline") == [("45.0%", "50.0%", "55.0%"), ("28.5%", "30.0%", "31.5%")]
    beyond = figure("f1", estimate(0.99))
    shown = read_page(render_page(make_results(tasks=(task("a", beyond),))))
    assert places_of(shown, "model") == [("94.0%", "99.0%", "100.0%")]


def test_conversations_are_text(page: Element) -> None:
    chats = page.section("conversations").all("article", "chat")
    texts = [[text.text() for text in chat.all("div", "text")] for chat in chats]
    assert texts == [["你好\n" + ANGLED, MARKED], ["简短", "说U+202E话", "(empty)"]]
    assert [words_of(note) for chat in chats for note in chat.all("p", "note")] == [
        "cut at the limit of its length"
    ]
    assert not page.all("script")
    assert page.all("title")[0].text().endswith("· 评测报告 · Evaluation report")


def test_an_evaluation_of_nothing(tmp_path: Path) -> None:
    results = make_results(tasks=(), overall=(), held_out={}, conversations=())
    page = read_page(render_page(results))
    for name in ("baselines", "tasks", "overall", "held-out", "conversations"):
        assert page.section(name).all("p", "nothing"), name
    assert not page.all("svg")


def test_a_figure_without_a_value_has_no_verdict() -> None:
    unknown = figure("f1", estimate(0.5), baseline=estimate(0.5), gain=estimate(NAN))
    page = read_page(render_page(make_results(tasks=(task("a", unknown),))))
    assert rows_of(page.section("tasks"))[0][5:] == ["–", "–"]
    assert words_of(page.section("summary").all("dd")[2]) == "0 / 0"


def test_a_task_without_figures_is_named() -> None:
    page = read_page(render_page(make_results(tasks=(task("a"),))))
    row = rows_of(page.section("tasks"))[0]
    assert row[0].startswith(f"A | {ANGLED} a.jsonl.zst, 1,200 of 4,316 items")
    assert row[1:] == ["–"] * 6
