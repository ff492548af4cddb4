"""The page: one file that needs no network and no script."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from qingtan.corpus.report import figures, formats, labels, plots
from qingtan.corpus.report.excerpts import show_samples
from qingtan.corpus.report.pages import page_environment
from qingtan.corpus.statistics import CorpusReport, add_amounts
from qingtan.files import write_text

JSON_FILE = "report.json"
PAGE_FILE = "report.html"


def write_report(report: CorpusReport, folder: Path, title: str) -> None:
    """Write `report.json`, with exact numbers, and `report.html`, to be read in a browser.

    Equal reports give equal bytes. The page holds Chinese and English; it opens in the language
    of its writer. It stays below 2 MB for 30 sources and 30 rules: where excerpts are long, it
    shows fewer of them, and `report.json` has all.

    Args:
        folder: an existing folder.
        title: the page's heading, such as the corpus's name.
    """
    write_text(folder / PAGE_FILE, render_page(report, title))
    write_text(folder / JSON_FILE, report.model_dump_json(indent=2) + "\n")


def render_page(report: CorpusReport, title: str) -> str:
    """Return the page as HTML."""
    template = _environment().get_template("report.html")
    return template.render(title=title, **_content(report)) + "\n"


def _content(report: CorpusReport) -> dict[str, Any]:
    sources = report.sources
    rows = figures.source_rows(report)
    stages = figures.stages(report)
    changes = figures.change_rows(sources)
    return {
        "report": report,
        "rows": rows,
        "read": add_amounts(source.read for source in sources),
        "kept": add_amounts(row.kept for row in rows),
        "tokens": sum(source.tokens for source in sources),
        "trained_tokens": sum(source.trained_tokens for source in sources),
        "epoch_tokens": round(sum(source.tokens * source.epochs for source in sources)),
        "stages": stages,
        "lossy": [s.step for s in stages if any(s.step in row.losses for row in rows)],
        "rules": figures.rule_rows(sources),
        "changes": changes,
        "samples": show_samples(report.samples, {row.name for row in changes}),
        "masked": figures.masked_tally(sources),
        "languages": figures.language_tally(sources),
        "measures": figures.measure_rows(sources),
    }


@cache
def _environment() -> Environment:
    environment = page_environment("corpus")
    environment.globals.update(
        name=labels.name_of,
        code=labels.code_of,
        plain_name=labels.plain_name_of,
        labels=labels,
        share=formats.format_share,
        ratio=formats.format_ratio,
        difference=formats.format_difference,
        compare=formats.compare,
        plots=plots,
    )
    return environment
