"""The page and the Markdown of an evaluation, in the corpus report's look."""

from functools import cache
from pathlib import Path

from jinja2 import Environment

from qingtan.corpus.report.pages import page_environment
from qingtan.evaluation.report import labels, tables
from qingtan.evaluation.report.markdown import render_report
from qingtan.evaluation.report.whiskers import whisker_rows
from qingtan.evaluation.results import Results
from qingtan.files import write_text

PAGE_FILE = "report.html"
# The Markdown by language.
MARKDOWN_FILES = {"en": "report.md", "zh": "report.zh-CN.md"}


def write_reports(folder: Path) -> list[Path]:
    """Write the reports of an evaluation into its folder, and return their paths.

    `report.html` holds Chinese and English, opens in the language of its writer, and needs no
    network and no script; `report.md` and `report.zh-CN.md` have the same tables.

    Raises:
        UserError: the folder holds no `results.json`, or a damaged one.
    """
    results = Results.read(folder)
    texts = {PAGE_FILE: render_page(results)}
    texts |= {file: render_report(results, name) for name, file in MARKDOWN_FILES.items()}
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def render_page(results: Results) -> str:
    """Return the page as HTML."""
    template = _environment().get_template("report.html")
    return (
        template.render(
            title=results.model,
            results=results,
            verdicts=tables.count_verdicts(results),
            whiskers=whisker_rows(results.tasks),
        )
        + "\n"
    )


@cache
def _environment() -> Environment:
    environment = page_environment("evaluation", "training")
    environment.globals.update(labels=labels, tables=tables)
    return environment
