"""The page of a corpus, read by a strict parser."""

from pathlib import Path

import pytest

from qingtan.corpus.cleaning import CLEANING_STEPS
from qingtan.corpus.quality import HISTOGRAMS, RULES
from qingtan.corpus.report import labels, write_report
from qingtan.corpus.statistics import (
    STEPS,
    CorpusReport,
    Histogram,
    RuleStatistics,
    SourceStatistics,
    StepName,
)
from qingtan.safety.personal import ALL_KINDS

from .page import page_of, rows_of, words_of
from .reports import amount, chats, poems, sample, small_report

# ---- numbers ----


def test_report_json_is_the_model(tmp_path: Path) -> None:
    write_report(small_report(), tmp_path, "corpus")
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    assert CorpusReport.model_validate_json(text) == small_report()
    assert text.startswith('{\n  "format": 1,\n  "sources": [')
    assert "全角" in text


def test_headline_figures(tmp_path: Path) -> None:
    summary = page_of(small_report(), tmp_path).section("summary")
    cards = [
        [words_of(e) for e in card.walk() if e.tag in ("dt", "dd")]
        for card in summary.all("div", "card")
    ]
    assert cards == [
        ["Documents kept", "1,048", "of 1,284 read"],
        ["Text kept", "9.05 MB", "of 12.4 MB read"],
        ["Share kept", "73.0%", "81.6% of the documents"],
        ["Tokens", "2,018,000", "1,909,000 to be predicted"],
        ["Characters a token", "1.50", "3,018,000 characters"],
        ["Bytes a token", "4.49", "in UTF-8"],
    ]
    facts = words_of(summary.all("p", "facts")[0])
    for fact in ("sources: 2", "vocabulary of 64,000", "shards: 12", "reads 5,018,000 tokens"):
        assert fact in facts


def test_steps_that_a_source_did_not_pass_take_nothing_of_it(tmp_path: Path) -> None:
    steps = page_of(small_report(), tmp_path).section("steps")
    bars = [words_of(bar) for bar in steps.all("div", "bar")]
    assert bars == [
        "Reading 12.4 MB 1,284 docs",
        "Cleaning 12.4 MB 1,284 docs 0.4%",
        "Language 12.3 MB 1,280 docs 0.8%",
        "Quality 12.1 MB 1,250 docs 1.6%",
        "Decontamination 12.0 MB 1,249 docs 0.8%",
        "Exact duplicates 11.6 MB 1,198 docs 3.3%",
        "Near-duplicates 9.05 MB 1,048 docs 20.2%",
        "Encoding 9.05 MB 1,048 docs",
    ]


def test_table_of_sources(tmp_path: Path) -> None:
    rows = rows_of(page_of(small_report(), tmp_path).section("sources"))
    assert rows[0] == [
        "poems", "text", "12.3 MB 1,234 docs", "9.00 MB 1,000 docs", "72.9%",
        "2,000,000 1,900,000 predicted", "1.50", "4.50", "2.5", "99.6%",
    ]  # fmt: skip
    assert rows[1][0:2] == ["chats", "conversations"]
    assert rows[1][-1] == "0.4%"
    assert rows[2][0] == "In all"


def test_losses_by_source_and_step(tmp_path: Path) -> None:
    losses = page_of(small_report(), tmp_path).section("losses")
    rows = rows_of(losses)
    assert rows[0] == [
        "poems", "45.7 kB 0.4%", "100 kB 0.8%", "200 kB 1.6%", "100 kB 0.8%", "400 kB 3.2%",
        "2.50 MB 20.3%",
    ]  # fmt: skip
    assert rows[1] == ["chats", "–", "–", "–", "–", "6.00 kB 10.0%", "–"]
    bars = [[e.attributes["title"] for e in bar.all("b")] for bar in losses.all("div", "track")]
    assert [len(bar) for bar in bars] == [6, 1]
    assert bars[1] == ["Exact duplicates · 完全去重: 6.00 kB, 10.0%"]


def test_rules_stand_in_the_order_of_steps_with_their_samples(tmp_path: Path) -> None:
    rules = page_of(small_report(), tmp_path).section("rules")
    lines = [words_of(e) for e in rules.all("summary", "line")]
    assert lines == [
        "max_symbol_share few symbols Quality 29 documents 199 kB 1.6%",
        "own_rule Quality 1 documents 1.00 kB <0.1%",
        "exact-duplicate the same text as an earlier one "
        "Exact duplicates 2 documents 6.00 kB <0.1%",
        "near-duplicate nearly the same text as an earlier one "
        "Near-duplicates 150 documents 2.50 MB 20.2%",
    ]
    assert "never" in words_of(rules.all("p", "note")[-1])
    first = rules.all("details", "unfold")[0]
    assert rows_of(first) == [["poems", "29", "199 kB", "1.6%"]]
    [article] = first.all("article")
    assert words_of(article) == "poems tang/a.jsonl:77 measured 0.4217 > threshold 0.3 ※※※※"
    second = rules.all("details", "unfold")[1]
    assert "measured 1 < threshold 30" in words_of(second)


def test_near_duplicates_stand_side_by_side(tmp_path: Path) -> None:
    rules = page_of(small_report(), tmp_path).section("rules")
    [pair] = rules.all("div", "pair")
    left, right = pair.all("div", "text")
    assert (left.text(), right.text()) == ("甲乙丙丁", "甲乙戊丁")
    assert [e.text() for e in pair.all("del")] == ["丙"]
    assert [e.text() for e in pair.all("ins")] == ["戊"]


def test_cleaning_marks_what_changed(tmp_path: Path) -> None:
    cleaning = page_of(small_report(), tmp_path).section("cleaning")
    assert (
        words_of(cleaning.all("summary", "line")[0])
        == "unicode characters and spaces 321 documents −679 characters 25.0%"
    )
    assert rows_of(cleaning) == [["poems", "321 26.0%", "5,000", "4,321", "−679"]]
    [text] = cleaning.all("div", "text")
    assert text.text() == "全角ＡU+200BA字"
    assert [e.text() for e in text.all("del")] == ["ＡU+200B"]
    assert [e.text() for e in text.all("ins")] == ["A"]


def test_personal_data_and_languages_by_source(tmp_path: Path) -> None:
    page = page_of(small_report(), tmp_path)
    assert rows_of(page.section("personal"))[0] == ["poems", "7 77.8%", "2 22.2%"]
    assert rows_of(page.section("languages"))[0] == ["poems", "1,000 81.0%", "230 18.6%", "4 0.3%"]
    heads = [words_of(e, "zh") for e in page.section("languages").all("th")]
    assert heads == ["来源", "中文", "文言", "xx"]


def test_every_name_of_the_pipeline_has_a_label() -> None:
    assert set(RULES) == {name for name in RULES if labels.rule_label(name)}
    assert set(CLEANING_STEPS) <= set(labels.CLEANING)
    assert set(HISTOGRAMS) == set(labels.MEASURES)
    assert set(ALL_KINDS) == set(labels.PERSONAL_DATA)
    assert set(STEPS) == set(labels.STEPS)
    assert labels.rule_label("language-ja") == labels.LANGUAGES["ja"]
    assert labels.rule_label("contaminated-exams")


def test_rare_languages_are_added_up(tmp_path: Path) -> None:
    source = poems()
    source.languages = {f"x{i}": 100 - i for i in range(10)}
    languages = page_of(CorpusReport(sources=[source]), tmp_path).section("languages")
    heads = [words_of(e) for e in languages.all("th")]
    assert heads == ["Source", "x0", "x1", "x2", "x3", "x4", "x5", "others"]
    assert rows_of(languages)[0][-1].startswith(f"{94 + 93 + 92 + 91}")


def test_histograms_add_the_sources(tmp_path: Path) -> None:
    measures = page_of(small_report(), tmp_path).section("measures")
    bars = measures.all("svg")[0].all("rect")
    assert [e.text() for e in bars] == ["1 – 10: 1", "10 – 100: 944", "100 – 20k: 339"]
    assert [float(e.attributes["height"] or "") for e in bars] == [0.1, 100, 35.9]
    assert [e.attributes["d"] for e in measures.all("path")] == [
        "M0 100V99.9h1V0h1V63h1V100z",
        "M0 100V100h1V0h1V86.4h1V100z",
    ]


def test_histograms_with_other_edges_are_not_added(tmp_path: Path) -> None:
    other = chats()
    other.histograms = {"characters": Histogram(edges=[0, 1], counts=[3])}
    with pytest.raises(ValueError, match="characters"):
        write_report(CorpusReport(sources=[poems(), other]), tmp_path, "corpus")


def test_evaluation_sets_and_rejected_records(tmp_path: Path) -> None:
    page = page_of(small_report(), tmp_path)
    evaluation = page.section("evaluation")
    assert rows_of(evaluation) == [["exams", "13,482", "211", "1", "100 kB"]]
    rejected = page.section("rejected")
    assert rows_of(rejected) == [["poems", "17", "1.4%", "5"]]
    assert "rejected.jsonl" in rejected.text()


# ---- little and much ----


def bare(name: str = "a", **fields: object) -> SourceStatistics:
    return SourceStatistics.model_validate({"name": name, "kind": "text", **fields})


STEP: StepName = "quality"
LITTLE = {
    "no sources": CorpusReport(sources=[]),
    "nothing read": CorpusReport(sources=[bare()]),
    "one source, nothing done": CorpusReport(sources=[bare(read=amount(3, 30))]),
    "nothing kept": CorpusReport(
        sources=[
            bare(
                read=amount(3, 30),
                after={STEP: amount(0, 0)},
                rules={"r": RuleStatistics(step=STEP, dropped=amount(3, 30))},
            )
        ]
    ),
    "a source grew": CorpusReport(
        sources=[bare(read=amount(3, 30), after={"clean": amount(3, 36), STEP: amount(2, 24)})]
    ),
    "an empty histogram": CorpusReport(
        sources=[bare(histograms={"m": Histogram(edges=[0, 1, 2], counts=[0, 0])})]
    ),
    "an empty list of samples": CorpusReport(sources=[bare()], samples={"r": []}),
}


@pytest.mark.parametrize("report", LITTLE.values(), ids=LITTLE)
def test_little_to_tell(report: CorpusReport, tmp_path: Path) -> None:
    page = page_of(report, tmp_path)
    assert "nan" not in page.all("main")[0].text()
    assert "Tokens" not in page.text()
    assert "not encoded into tokens" in page.text()
    assert "no evaluation sets" in words_of(page.section("evaluation"))


def test_nothing_kept(tmp_path: Path) -> None:
    page = page_of(LITTLE["nothing kept"], tmp_path)
    cells = rows_of(page.section("sources"))[0]
    assert cells[2:5] == ["30 B 3 docs", "0 B 0 docs", "0%"]
    assert words_of(page.section("steps").all("div", "bar")[-1]) == "Quality 0 B 0 docs 100%"


def test_cleaning_that_made_text_longer_is_no_loss(tmp_path: Path) -> None:
    page = page_of(LITTLE["a source grew"], tmp_path)
    assert [words_of(bar) for bar in page.section("steps").all("div", "bar")] == [
        "Reading 30 B 3 docs",
        "Cleaning 36 B 3 docs +20.0%",
        "Quality 24 B 2 docs 40.0%",
    ]
    assert rows_of(page.section("losses")) == [["a", "12 B 40.0%"]]


@pytest.mark.parametrize("unit", ["字", "<", "\u202e\u202d", "a"])
def test_a_great_report_stays_below_two_megabytes(unit: str, tmp_path: Path) -> None:
    report = great_report((unit * 400)[:400])
    page = page_of(report, tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 2_000_000
    shown = len(page.all("article"))
    assert shown >= 30
    if shown < 600:
        assert "The others stand in report.json." in page.text()
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    assert CorpusReport.model_validate_json(text) == report


def great_report(text: str) -> CorpusReport:
    """Return 30 sources, 30 rules that each dropped something of each, and 20 samples a rule."""
    names = [f"rule_number_{i}" for i in range(30)]
    sources = []
    for i in range(30):
        source = poems()
        source.name = f"a-source-of-text-{i}"
        source.rules = {
            name: RuleStatistics(step="quality", dropped=amount(10**6, 10**9)) for name in names
        }
        source.histograms = {
            f"measure_{j}": Histogram(edges=[float(k) for k in range(31)], counts=[10**6] * 30)
            for j in range(8)
        }
        sources.append(source)
    changed = text[:100] + "x" + text[101:]
    samples = {name: [sample(text, after=changed, value=0.9, threshold=0.8)] * 20 for name in names}
    return CorpusReport(sources=sources, samples=samples)
