"""The Markdown of an evaluation, read by a parser of CommonMark and tables."""

import re
from collections.abc import Callable, Iterator
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from qingtan.evaluation.report import render_evaluation
from qingtan.evaluation.report.markdown import escape, quote, render_report
from qingtan.evaluation.results import Results
from qingtan.training.card import markdown_table

from .results import ANGLED, MARKED, make_results, task

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PLAIN = {"text", "softbreak", "hardbreak", "text_special"}


def text_of(inline: Token) -> str:
    """Return what is read; anything but text is a failure."""
    parts = inline.children or []
    assert {part.type for part in parts} <= PLAIN
    return "".join("\n" if part.type.endswith("break") else part.content for part in parts)


def tables_of(markdown: str) -> Iterator[list[list[str]]]:
    """Yield each table as rows of cells."""
    rows: list[list[str]] = []
    for token in PARSER.parse(markdown):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and token.level > 2 and rows:
            rows[-1].append(text_of(token))
        elif token.type == "table_close":
            yield rows
            rows = []


def quotes_of(markdown: str) -> list[str]:
    """Return the text of each quotation, its paragraphs apart."""
    found: list[list[str]] = []
    inside = False
    for token in PARSER.parse(markdown):
        if token.type == "blockquote_open":
            inside = True
            found.append([])
        elif token.type == "blockquote_close":
            inside = False
        elif inside:
            assert token.type in ("paragraph_open", "inline", "paragraph_close")
            if token.type == "inline":
                found[-1].append(text_of(token))
    return ["\n\n".join(paragraphs) for paragraphs in found]


def as_read(text: str) -> str:
    """Return a text as a quotation shows it: no blank ends, one blank line between paragraphs."""
    lines = [line.rstrip() for line in re.split(r"\r\n|\r|\n", text)]
    return re.sub(r"\n{2,}", "\n\n", "\n".join(lines)).strip("\n")


def widths_of(markdown: str) -> Iterator[set[int]]:
    """Yield how many cells the lines of each table have, split at bars that are not escaped."""
    for is_table, lines in groupby(markdown.splitlines(), lambda line: line.startswith("|")):
        if is_table:
            yield {len(re.split(r"(?<!\\)\|", line)[1:-1]) for line in lines}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_row_has_as_many_cells_as_its_header(language: str) -> None:
    report = render_report(make_results(), language)
    assert list(widths_of(report)) == [{7}, {6}, {6}, {2}, {2}]
    assert list(widths_of(render_evaluation(make_results(), language))) == [{7}, {6}, {6}]
    for table in tables_of(report):
        assert {len(row) for row in table} == {len(table[0])}


def test_the_report_has_the_tables_of_the_page() -> None:
    tasks, overall, asked, held_out, setting = tables_of(render_report(make_results(), "en"))
    assert tasks[1] == [
        f"Labels | {ANGLED}", "Accuracy", "1,200", "83.1% (78.1% – 88.1%)",
        "50.0% (45.0% – 55.0%)", "+33.1 (+28.1 – +38.1)", "better",
    ]  # fmt: skip
    assert [row[0] == "" for row in tasks] == [False, False, True, False, True, False, False]
    assert [row[-1] for row in tasks[1:]] == ["better", "level", "worse", "level", "–", "–"]
    assert tasks[6][3:] == ["–", "50.0%", "–", "–"]
    assert overall[1:] == [["Ended", "1,200", "90.0% (85.0% – 95.0%)", "–", "–", "–"]]
    assert asked[1][1:] == ["labels.jsonl.zst", "1,200", "4,316", "7", "the commonest label"]
    assert held_out[1:] == [["poems|a", "2.650 (2.600 – 2.700)"], ["laws", "–"]]
    assert setting[1] == ["Model", f"models/<i>x</i>|{ANGLED}"]


def test_a_task_without_figures_is_named() -> None:
    tasks = next(tables_of(render_report(make_results(tasks=(task("a"),)), "en")))
    assert tasks[1] == [f"A | {ANGLED}", *["–"] * 6]


def test_chinese_has_chinese_names() -> None:
    tasks = next(tables_of(render_report(make_results(), "zh")))
    assert tasks[0] == ["任务", "指标", "题数", "模型", "基线", "增益", "结论"]
    assert tasks[1][:2] == ["labels任务", "accuracy（中）"]
    assert [row[-1] for row in tasks[1:4]] == ["更好", "相当", "更差"]


@pytest.mark.parametrize("render", [render_report, render_evaluation])
def test_conversations_read_as_they_came(render: Callable[[Results, str], str]) -> None:
    said = ["你好\n" + ANGLED, as_read(MARKED), "简短", "说U+202E话", "(empty)"]
    assert quotes_of(render(make_results(), "en")) == [
        text.replace("    缩进", "\xa0" * 4 + "缩进") for text in said
    ]


def test_a_card_s_section_has_headings_below_the_card_s() -> None:
    section = render_evaluation(make_results(), "en")
    tokens = PARSER.parse(section)
    assert {t.tag for t in tokens if t.type == "heading_open"} == {"h3"}
    assert section.startswith("By `qingtan evaluate` 0.1.0, 2026-01-02, on CPU, 2 threads: these")
    assert "temperature 0.7 and top p 0.9, seed 7" in section
    bare = render_evaluation(make_results(tasks=(), overall=(), conversations=()), "en")
    assert "###" not in bare


# What Markdown knows stands among it often.
SIGNS = st.text(st.sampled_from("ab1 9.)-+*_=#>|`~:[]()<>&;!\\$\t\u3000甲\n"), max_size=40)


@given(SIGNS)
def test_a_quotation_reads_as_it_stands(text: str) -> None:
    shown = quotes_of(quote("始" + text + "末"))
    expected = as_read("始" + text + "末").split("\n")
    # Indents are shown by spaces that do not vanish.
    lines = [line.expandtabs(4) for line in expected]
    bare = [line.lstrip() for line in lines]
    indents = [a[: len(a) - len(b)].replace(" ", "\xa0") for a, b in zip(lines, bare, strict=True)]
    assert shown == ["\n".join(i + b for i, b in zip(indents, bare, strict=True))]


@given(st.lists(SIGNS, min_size=1, max_size=4))
def test_a_cell_reads_as_it_stands(texts: list[str]) -> None:
    cells = [f"甲{text}乙" for text in texts]
    escaped = [escape(cell) for cell in cells]
    (table,) = tables_of(markdown_table(escaped, [escaped]))
    assert table == [[" ".join(cell.split()) for cell in cells]] * 2
