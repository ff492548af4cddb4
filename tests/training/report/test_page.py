"""The page of a run, read by a strict parser."""

import time
from pathlib import Path

import pytest

from corpus.report.page import Element, read_page, rows_of, words_of
from qingtan.errors import UserError
from qingtan.training.report import write_report

from .runs import ANGLED, evaluation_line, make_run, step_line, write_lines


def page_of(run: Path) -> Element:
    path = write_report(run)
    assert path == run / "report.html"
    return read_page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Element:
    return page_of(make_run(tmp_path_factory.mktemp("runs") / "<poems>"))


def plot_of(page: Element, key: str) -> Element:
    return next(f for f in page.all("figure") if f.attributes.get("data-plot") == key)


def lengths_of(plot: Element) -> list[int]:
    """Return how many points each line has."""
    return [len((line.attributes["points"] or "").split()) for line in plot.all("polyline")]


def test_plots_have_as_many_points_as_the_metrics(page: Element) -> None:
    keys = [figure.attributes["data-plot"] for figure in page.all("figure")]
    assert keys == [
        "loss",
        "parts/divergence",
        "parts/own_part",
        "gradient_norm",
        "learning_rate",
        "tokens_per_second",
        "mfu",
        "bits_per_byte",
        "epsilon",
    ]
    for key in ("loss", "gradient_norm", "parts/divergence", "mfu"):
        assert lengths_of(plot_of(page, key)) == [100, 100]
    assert lengths_of(plot_of(page, "learning_rate")) == [100]
    bits = plot_of(page, "bits_per_byte")
    assert lengths_of(bits) == [4, 4]
    assert len(bits.all("circle")) == 8
    assert not plot_of(page, "loss").all("circle")
    assert words_of(bits.all("div", "legend")[0]) == "poems 1.01 <talks> 2.01"
    assert "Divergence from the teacher nats" in words_of(plot_of(page, "parts/divergence"))
    assert "own_part" in words_of(plot_of(page, "parts/own_part"))


def test_headline_figures(page: Element) -> None:
    cards = [
        [words_of(e) for e in card.walk() if e.tag in ("dt", "dd")]
        for card in page.section("summary").all("div", "card")
    ]
    assert cards == [
        ["Steps", "100", "finished"],
        ["Tokens seen", "100,000", "padding included"],
        ["Training loss", "2.061", "smoothed, in nats"],
        ["Time", "1:06:40", "on steps"],
        ["Tokens a second", "8,076", "40.0% of the device's peak (MFU)"],
        ["Privacy", "ε = 10", "δ = 1e-05, for each conversation"],
    ]


def test_tables(page: Element) -> None:
    assert rows_of(page.section("evaluation")) == [
        ["poems", "1.040", "1.010", "1.010"],
        ["<talks>", "2.040", "2.010", "2.010"],
    ]
    rows = rows_of(page.section("forgetting"))
    assert rows[0] == [
        "news", "no", "1.000", "1.250", "+0.250",
        "90.0% 45/50, 78.6% – 95.7%", "20.0% 10/50, 11.2% – 33.0%",
    ]  # fmt: skip
    assert rows[1] == ["poems", "yes", "3.000", "2.000", "-1.000", "–", "–"]
    assert [row[4] for row in rows[2:]] == ["+0.250", "-1.000"]
    worse = [words_of(cell) for cell in page.section("forgetting").all("td", "worse")]
    assert worse == ["+0.250", "20.0% 10/50, 11.2% – 33.0%"]
    names = "; ".join(f"talks-0, document {i}" for i in range(5))
    assert rows_of(page.section("skipped")) == [
        ["longer than a row of 64", "7", "700", names],
        ["equal answers", "1", "9", "pair 3"],
    ]
    recipe = dict(rows_of(page.section("recipe")))
    assert recipe["model.size"] == "tiny"
    assert recipe["privacy.delta"] == "1e-05"
    assert "model.start" not in recipe


def test_samples_stand_newest_first_and_do_nothing(page: Element) -> None:
    samples = page.section("samples")
    steps = [words_of(summary) for summary in samples.all("summary")]
    assert steps == ["Step 100", "Step 75", "Step 50", "Step 25"]
    texts = [text.text() for text in samples.all("div", "text")]
    assert texts == [f"{step}{ANGLED}" for step in (100, 75, 50, 25)]
    assert not page.all("script")


def test_both_languages_are_there(page: Element) -> None:
    assert words_of(page.section("forgetting"), "zh").startswith("训练前后")
    assert words_of(page.section("forgetting")).startswith("Before and after")
    assert page.all("title")[0].text() == "<poems> · 训练报告 · Training report"


def test_a_run_under_way(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "model").rmdir()
    for name in ("samples.jsonl", "skipped.jsonl", "forgetting.json"):
        (run / name).unlink()
    write_lines(run / "metrics.jsonl", [step_line(1), evaluation_line(1), step_line(2)])
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "tok')
    page = page_of(run)
    assert lengths_of(plot_of(page, "loss")) == [2, 2]
    figures = [words_of(e) for e in page.section("summary").all("dd")]
    assert figures[:2] == ["2", "of 100"]
    (run / "metrics.jsonl").unlink()
    page = page_of(run)
    assert not page.all("figure")
    assert "Nothing was logged yet." in words_of(page.section("training"))


def test_what_is_not_finite_is_not_drawn(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    lines = [step_line(step) for step in range(1, 11)]
    lines[4]["loss"], lines[7]["loss"] = float("nan"), float("inf")
    write_lines(run / "metrics.jsonl", lines)
    page = page_of(run)
    assert lengths_of(plot_of(page, "loss")) == [8, 8]
    assert lengths_of(plot_of(page, "gradient_norm")) == [10, 10]


def test_preferences_have_plots_of_their_own(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    lines = [
        {"step": s, "tokens": s, "bits_per_byte": {}, "preference": {"pairs": 9, "accuracy": 0.6}}
        for s in (1, 2, 3)
    ]
    write_lines(run / "metrics.jsonl", lines)
    page = page_of(run)
    assert [f.attributes["data-plot"] for f in page.all("figure")] == ["preference/accuracy"]
    assert lengths_of(plot_of(page, "preference/accuracy")) == [3]


def test_an_encoder_has_plots_of_what_it_finds(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    found = {"pairs": 9, "passages": 20, "recall_1": 0.4, "recall_5": 0.6, "mrr": 0.5}
    lines = [{"step": s, "tokens": s, "bits_per_byte": {}, "finding": found} for s in (0, 9)]
    write_lines(run / "metrics.jsonl", lines)
    page = page_of(run)
    assert [f.attributes["data-plot"] for f in page.all("figure")] == [
        "finding/recall_1",
        "finding/recall_5",
        "finding/mrr",
    ]
    assert lengths_of(plot_of(page, "finding/mrr")) == [2]


def test_a_long_run_stays_small_and_quick(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=20_000, every=20)
    start = time.process_time()
    page = page_of(run)
    assert time.process_time() - start < 2
    assert (run / "report.html").stat().st_size < 1_000_000
    assert all(100 < length <= 480 for length in lengths_of(plot_of(page, "loss")))
    samples = page.section("samples")
    steps = [words_of(summary) for summary in samples.all("summary")]
    assert len(steps) == 30
    assert (steps[0], steps[-1]) == ("Step 20,000", "Step 20")
    assert "30 of 1,000 steps" in words_of(samples)


def test_long_samples_are_shown_of_fewer_steps(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    samples = [
        {"step": step, "samples": [{"prompt": "春", "text": "眠" * 40_000}]} for step in range(9)
    ]
    write_lines(run / "samples.jsonl", samples)
    page = page_of(run)
    assert [words_of(s) for s in page.section("samples").all("summary")] == ["Step 8", "Step 0"]


def test_a_folder_without_a_run_and_a_damaged_line_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"recipe\.json: no such file"):
        write_report(tmp_path)
    run = make_run(tmp_path / "run")
    (run / "samples.jsonl").write_text('{"step": 1, "samples": []}\n[1\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"samples\.jsonl:2: not a JSON object"):
        write_report(run)
