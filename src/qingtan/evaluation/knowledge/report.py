"""The report of an evaluation of knowledge, as Markdown in both languages."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from qingtan.evaluation.knowledge.results import KnowledgeResults
from qingtan.evaluation.report.labels import INTERVALS, in_language
from qingtan.evaluation.report.markdown import Say, escape
from qingtan.evaluation.report.tables import Shown, rows_of
from qingtan.evaluation.report.write import MARKDOWN_FILES
from qingtan.files import write_text
from qingtan.training.card import markdown_table, pick


def write_report(results: KnowledgeResults, folder: Path) -> list[Path]:
    """Write `report.md` and `report.zh-CN.md`, and return their paths."""
    for language, name in MARKDOWN_FILES.items():
        write_text(folder / name, render(results, language))
    return [folder / name for name in MARKDOWN_FILES.values()]


def render(results: KnowledgeResults, language: str) -> str:
    """Return the report in "en" or "zh"."""
    say = partial(pick, language)
    title = say("Evaluation of knowledge", "知识库评测")
    settings = f"Qingtan {results.version}, {results.date[:10]}, {results.seconds:.0f} s"
    parts = (
        (say("Finding and answering", "检索与回答"), _figures(results, say, language)),
        (say("Refusing", "拒答"), _refusing(results, say)),
        (say("Checking sentences", "句子核查"), _checking(results, say)),
        (say("Speed", "速度"), _speed(results, say)),
    )
    sections = "\n\n".join(f"## {heading}\n\n{body}" for heading, body in parts)
    return f"# {title}\n\n{settings}\n\n{sections}\n"


def _figures(results: KnowledgeResults, say: Say, language: str) -> str:
    header = [
        say("task", "任务"),
        say("figure", "指标"),
        say("questions", "题数"),
        say("result", "结果"),
    ]
    beside = bool(results.written_by or results.vectors_by)
    if beside:
        header += [say("without a model", "不用模型"), say("gain", "增益")]
    rows = []
    for task in results.tasks:
        for number, row in enumerate(rows_of(task.figures)):
            name = "" if number else say(task.english, task.chinese)
            cells = [name, in_language(row.label, language), row.items, _cell(row.model)]
            rows.append(
                cells + ([_cell(row.baseline), _cell(row.gain)] if results.written_by else [])
            )
    intervals = in_language(INTERVALS, language)
    parts = [intervals, _beside(results, say), markdown_table(header, rows)]
    return "\n\n".join(filter(None, parts))


def _beside(results: KnowledgeResults, say: Say) -> str:
    """Say what was measured beside what."""
    writer, encoder = escape(results.written_by), escape(results.vectors_by)
    written = say(f"Written by {writer}, beside quotations.", f"由 {writer} 撰写，与摘录对照。")
    found = say(
        f"Vectors by {encoder}, beside words alone.", f"向量由 {encoder} 生成，与仅用词语对照。"
    )
    said = [written] * bool(writer) + [found] * bool(encoder)
    return "\n".join(said)


def _cell(shown: Shown) -> str:
    return f"{shown.value} ({shown.interval})" if shown.interval else shown.value


def _refusing(results: KnowledgeResults, say: Say) -> str:
    thresholds = markdown_table(
        [say("threshold", "阈值"), say("calibrated", "校准值"), say("used", "使用值")],
        [[each.name, f"{each.calibrated:.2f}", f"{each.used:.2f}"] for each in results.thresholds],
    )
    header = [
        say("evidence of at least", "证据下限"),
        say("answerable questions refused", "有答案而拒答"),
        say("unanswerable questions refused", "无答案而拒答"),
    ]
    rows = [
        [f"{p.threshold:g}", f"{p.refused_wrongly:.1%}", f"{p.refused_rightly:.1%}"]
        for p in results.curve
        if round(p.threshold * 1000) % 50 == 0
    ]
    return f"{thresholds}\n\n{markdown_table(header, rows)}"


def _checking(results: KnowledgeResults, say: Say) -> str:
    header = [
        say("claim", "陈述"),
        say("holds", "成立"),
        say("claims", "条数"),
        say("let pass", "判为有据"),
    ]
    return markdown_table(header, _kinds(results, say))


def _kinds(results: KnowledgeResults, say: Say) -> Iterator[list[str]]:
    for kind in results.kinds:
        holds = say("yes", "是") if kind.true else say("no", "否")
        yield [kind.name, holds, f"{kind.claims:,}", f"{kind.supported:.1%}"]


def _speed(results: KnowledgeResults, say: Say) -> str:
    speed = results.speed
    rows = [
        [say("documents", "文档"), f"{speed.documents:,}"],
        [say("chunks", "片段"), f"{speed.chunks:,}"],
        [say("documents a second", "每秒文档数"), f"{speed.documents_a_second:.0f}"],
        [say("ms a query, median", "每次查询毫秒数，中位数"), f"{speed.median_ms:.1f}"],
        [say("ms a query, 99th percentile", "每次查询毫秒数，P99"), f"{speed.p99_ms:.1f}"],
    ]
    return markdown_table(["", ""], rows)
