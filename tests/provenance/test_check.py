"""Licence checks of corpora and models, and how they are told."""

import json
from pathlib import Path

import pytest

from qingtan.errors import UserError
from qingtan.provenance import ModelSource, Provenance, Source, Step
from qingtan.provenance.check import check, check_code
from qingtan.provenance.family import Use
from qingtan.provenance.render import render
from qingtan.provenance.terms import USES

BUILT_IN = Path(__file__).parents[2] / "models/qingtan"
CHATGLM3 = ModelSource(name="ChatGLM3-6B", licence="LicenseRef-ChatGLM3")
CHATGLM3_CONFIG = {
    "model_type": "chatglm",
    "num_layers": 28,
    "hidden_size": 4096,
    "padded_vocab_size": 65024,
}
TRANSFORMERS_CONFIG = {
    "model_type": "glm",
    "num_hidden_layers": 28,
    "hidden_size": 4096,
    "vocab_size": 65024,
}


@pytest.fixture(autouse=True)
def in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGTAN_LANG", "en")


def folder_of(path: Path, *licences: str, models: tuple[ModelSource, ...] = ()) -> Path:
    sources = [
        Source(name=f"source-{i}", licence=licence, documents=i)
        for i, licence in enumerate(licences, start=1)
    ]
    Provenance(sources=tuple(sources), models=models).write(path)
    return path


@pytest.mark.parametrize(
    ("use", "answer"), [("commercial", "yes"), ("research", "yes"), ("redistribute", "conditional")]
)
def test_the_built_in_model(use: Use, answer: str) -> None:
    report = check(BUILT_IN, use)
    assert (report.answer, report.allowed, report.problems) == (answer, True, ())
    assert report.is_model
    conflicts = [("CC-BY-SA-3.0", "GPL-2.0-only"), ("CC-BY-SA-4.0", "GPL-2.0-only")]
    assert list(report.conflicts) == (conflicts if use == "redistribute" else [])
    assert ("attribution" in report.obligations) == (use == "redistribute")
    text = render(report)
    assert "no legal advice" in text
    assert "unsettled" in text
    for source in Provenance.read(BUILT_IN).sources:
        assert source.attribution in report.attribution


def test_a_non_commercial_source_is_named_for_commerce(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "MIT", "cc by-nc 4.0", "CC-BY-NC-4.0 OR MIT")
    report = check(folder, "commercial")
    assert (report.answer, report.allowed) == ("no", False)
    assert [f.name for f in report.problems] == ["source-2"]
    text = render(report)
    assert "source source-2 (2 documents) — cc by-nc 4.0: not allowed" in text
    assert 'exclude_sources = ["source-2"]' in text
    assert check(folder, "research").obligations == {"non-commercial": ("source-2",)}


def test_unknown_licences_are_told_apart(tmp_path: Path) -> None:
    report = check(folder_of(tmp_path, "MIT", "", "our own terms", "JSON"), "research")
    assert (report.answer, report.allowed, len(report.problems)) == ("unknown", False, 3)
    text = render(report)
    for words in ("find out the licence", "under [licences] of the table", "read the licence"):
        assert text.count(words) == 1
    assert check(folder_of(tmp_path, "x", "CC-BY-NC-4.0"), "commercial").answer == "no"


@pytest.mark.parametrize(
    ("use", "asked"),
    [
        ("commercial", "registration"),
        ("research", "use-restrictions"),
        ("redistribute", "not-transferable"),
    ],
)
def test_a_model_tuned_from_chatglm3(tmp_path: Path, use: Use, asked: str) -> None:
    report = check(folder_of(tmp_path, "MIT", models=(CHATGLM3,)), use)
    assert report.answer == "conditional"
    assert report.obligations[asked] == ("ChatGLM3-6B",)


@pytest.mark.parametrize("config", [CHATGLM3_CONFIG, TRANSFORMERS_CONFIG])
def test_chatglm3_is_known_without_a_record(tmp_path: Path, config: dict) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    report = check(tmp_path, "commercial")
    assert [(f.kind, f.licence) for f in report.findings] == [("model", "LicenseRef-ChatGLM3")]
    assert "recognised by the shape" in render(report)
    folder_of(tmp_path, "MIT")  # a record that names no base model
    assert "has the shape of ChatGLM3-6B" in render(check(tmp_path, "commercial"))
    folder_of(tmp_path, "MIT", models=(CHATGLM3,))
    assert "shape" not in render(check(tmp_path, "commercial"))


def test_other_models_are_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CHATGLM3_CONFIG, "num_layers": 27}))
    with pytest.raises(UserError, match=r"provenance\.json: no such file"):
        check(tmp_path, "research")


def test_a_run_is_checked_by_its_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    folder_of(tmp_path / "model", "CC-BY-ND-4.0")
    assert check(tmp_path, "redistribute").answer == "no"


def test_records_that_say_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        check(tmp_path / "nowhere", "research")
    Provenance(steps=(Step.now("corpus"),)).write(tmp_path)
    with pytest.raises(UserError, match="neither sources nor base models"):
        check(tmp_path, "research")
    (tmp_path / "provenance.json").write_text("{")
    with pytest.raises(UserError, match="not a provenance record"):
        check(tmp_path, "research")
    with pytest.raises(UserError, match="'profit' is none of commercial"):
        check(BUILT_IN, "profit")  # type: ignore[arg-type]


def test_reports_are_told_in_both_languages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path, "CC-BY-NC-4.0", "our own terms", "GPL-2.0-only", "CC-BY-SA-3.0")
    for use in USES:
        report = check(folder, use)
        monkeypatch.setenv("QINGTAN_LANG", "en")
        english = render(report).replace(str(folder), "")
        assert not any("\u4e00" <= c <= "\u9fff" for c in english)
        monkeypatch.setenv("QINGTAN_LANG", "zh")
        chinese = render(report)
        assert "不构成法律意见" in chinese
        assert english.count("\n") == chinese.count("\n")


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    source = Source(name="a\x1b[2Jb\nc", licence="x\x1b]0;y", documents=1)
    Provenance(sources=(source,)).write(tmp_path)
    report = check(tmp_path, "research")
    assert "\x1b" not in render(report) + report.attribution


@pytest.mark.parametrize("use", USES)
def test_the_code_itself_is_allowed(use: Use) -> None:
    report = check_code(use)
    own = next(f for f in report.findings if f.name == "qingtan")
    assert own.licence == "Apache-2.0"
    assert report.attribution == ""
    assert "qingtan" in render(report)
