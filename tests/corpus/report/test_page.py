"""The page does nothing that a corpus says, and speaks both languages."""

from pathlib import Path

import pytest

from qingtan.corpus.report import write_report
from qingtan.corpus.statistics import (
    CorpusReport,
    Histogram,
    RuleStatistics,
    Sample,
    SourceStatistics,
)

from .page import Element, page_of, words_of
from .reports import amount, small_report

# ---- whatever a corpus holds ----

HOSTILE = [
    "<script>alert(1)</script>",
    "</details></div></article></main><h2>taken over</h2>",
    "<!-- <img src=x onerror=alert(1)> ]]> {{ 7 * 7 }} {% raw %}",
    "\u202egnp.exe\u2066\u200b\ufeff",
    "\x00\x00\x00\x07\x1b[31m\r\n\x85\u2028",
    "&lt;b&gt; &amp; \"'`",
    "长" * 400,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_samples_do_nothing_and_can_be_read(text: str, tmp_path: Path) -> None:
    plain = page_of(report_of(""), tmp_path)
    page = page_of(report_of(text), tmp_path)
    marks = {"i"}  # the names of characters without a picture
    assert [e.tag for e in page.walk() if e.tag not in marks] == [e.tag for e in plain.walk()]
    shown = page.all("div", "text")[0]
    assert shown.text() == "".join(named(text))
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not set(html) & set("\x00\x07\x1b\r\x85\u2028\u202e\u2066\u200b\ufeff")


def report_of(text: str) -> CorpusReport:
    """Return a report with the text wherever a corpus may bring one in."""
    source = SourceStatistics(name=f"name {text}", kind="text", read=amount(2, 20))
    source.rules[f"rule {text}"] = RuleStatistics(step="quality", dropped=amount(1, 10))
    source.histograms["characters"] = Histogram(edges=[0, 1], counts=[2])
    one = Sample(source=source.name, file=f"file {text}", line=1, text=text)
    return CorpusReport(sources=[source], samples={f"rule {text}": [one]})


def named(text: str) -> list[str]:
    """Characters without a picture by their code points, a run of one as one."""
    names: list[str] = []
    for i, character in enumerate(text):
        if character == "\n" or character.isprintable():
            names.append(character)
        elif i == 0 or text[i - 1] != character:
            run = len(text[i:]) - len(text[i:].lstrip(character))
            names.append(f"U+{ord(character):04X}" + (f"×{run}" if run > 1 else ""))
    return names


def test_the_title_is_escaped_too(tmp_path: Path) -> None:
    page = page_of(small_report(), tmp_path, title="</title><script>x</script>")
    assert page.all("script") == []
    assert page.all("title")[0].text().startswith("</title><script>x</script>")


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    page = page_of(small_report(), tmp_path)
    assert {e.tag for e in page.walk()}.isdisjoint({"script", "iframe", "object", "img"})
    for element in page.walk():
        for name in ("src", "href"):
            assert (element.attributes.get(name) or "#").startswith(("#", "data:"))
        assert not any(name.startswith("on") for name in element.attributes)
    style = page.all("style")[0].text()
    assert "url(" not in style
    assert "@import" not in style


# ---- form ----


def test_every_label_stands_in_both_languages(tmp_path: Path) -> None:
    page = page_of(small_report(), tmp_path)
    for element in page.walk():
        kinds = [c.classes[0] for c in element.children if is_label(c)]
        assert kinds == ["en", "zh"] * (len(kinds) // 2)
    english, chinese = (words_of(page.all("main")[0], language) for language in ("en", "zh"))
    assert not any("\u4e00" <= c <= "\u9fff" for c in english.translate(SAMPLES))
    for label in ("Step by step", "Documents", "threshold"):
        assert label in english
        assert label not in chinese


# The characters of the samples, which are in no language of the page's.
SAMPLES = str.maketrans("", "", "短甲乙丙丁戊全角字")


def is_label(child: Element | str) -> bool:
    return isinstance(child, Element) and child.classes in (["en"], ["zh"])


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_opens_in_its_writers_language(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QINGTAN_LANG", language)
    page = page_of(small_report(), tmp_path)
    checked = [e.attributes["id"] for e in page.all("input") if "checked" in e.attributes]
    assert checked == [f"choose-{language}"]
    assert page.all("html")[0].attributes["lang"] == language


def test_links_lead_to_sections(tmp_path: Path) -> None:
    page = page_of(small_report(), tmp_path)
    ids = [e.attributes["id"] for e in page.walk() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    assert {e.attributes["href"] for e in page.all("a")} <= {f"#{name}" for name in ids}
    assert {e.attributes["for"] for e in page.all("label")} <= set(ids)


def test_equal_reports_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_report(small_report(), tmp_path / name, "corpus")
    for file in ("report.json", "report.html"):
        first, second = ((tmp_path / name / file).read_bytes() for name in ("first", "second"))
        assert first == second
    assert sorted(p.name for p in (tmp_path / "first").iterdir()) == ["report.html", "report.json"]
