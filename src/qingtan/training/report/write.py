"""The page: one file that needs no network and no script, in the corpus report's look."""

from functools import cache
from pathlib import Path

from jinja2 import Environment

from qingtan.corpus.report import formats
from qingtan.corpus.report.pages import page_environment
from qingtan.files import write_text
from qingtan.training.report import curves, figures, plots
from qingtan.training.report.record import RunRecord

PAGE_FILE = "report.html"


def write_report(run: Path) -> Path:
    """Write `report.html` into a run's folder, from what stands there; return its path.

    It may be written while the run goes on. The page holds Chinese and English, and opens in the
    language of its writer; it stays below 1 MB, for lines of many points are thinned and samples
    of some steps left out where there are many.

    Raises:
        UserError: the folder holds no run, or one of its files is damaged.
    """
    path = run / PAGE_FILE
    write_text(path, render_page(RunRecord.read(run), run.resolve().name))
    return path


def render_page(record: RunRecord, title: str) -> str:
    """Return the page as HTML."""
    samples = figures.shown_samples(record.samples)
    return (
        _environment()
        .get_template("report.html")
        .render(
            title=title,
            record=record,
            summary=figures.summarize(record),
            step_plots=curves.step_plots(record),
            evaluation_plots=curves.evaluation_plots(record),
            held_out=figures.held_out_rows(record),
            samples=samples,
            skipped=figures.skipped_rows(record.skipped),
            recipe=list(figures.recipe_rows(record.recipe)),
        )
        + "\n"
    )


@cache
def _environment() -> Environment:
    environment = page_environment("training")
    environment.filters.update(share=_share, hours=_hours)
    environment.globals.update(plots=plots)
    return environment


def _share(part: float) -> str:
    return formats.format_share(part, 1.0)


def _hours(seconds: float) -> str:
    """Return a time as 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
