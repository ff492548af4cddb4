"""What an evaluation prints when it is done."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from qingtan.evaluation.metrics.metric import Unit
from qingtan.evaluation.results import Estimate, Figure, Results, TaskResult
from qingtan.i18n import tr

_GAP = "  "
Row = tuple[str, str, str, str, str, str]


def print_results(results: Results, files: Sequence[Path]) -> None:
    """Print a table: the tasks' headlines with the baselines, overall figures, held-out text.

    Args:
        files: what was written, named below the table.
    """
    rows = [_header()]
    rows += [
        _figure_row(task.name, figure) for task in results.tasks for figure in task.figures[:1]
    ]
    rows += [_figure_row(tr("all", "全部"), figure) for figure in results.overall]
    bits = tr("bits per byte", "比特/字节")
    rows += [
        (source, *_columns(estimate, "number"), "", "", bits)
        for source, estimate in results.held_out.items()
    ]
    _print_table(rows, files)


def _header() -> Row:
    return (
        tr("task", "任务"),
        tr("model", "模型"),
        tr("interval of 95%", "95% 区间"),
        tr("baseline", "基线"),
        tr("verdict", "结论"),
        tr("measure", "指标"),
    )


def _print_table(rows: Sequence[Row], files: Sequence[Path]) -> None:
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [_pad(cell, width) for cell, width in zip(row, widths, strict=True)]
        print(_GAP.join(cells).rstrip())
    print(tr("The evaluation is in", "评测已写入"), ", ".join(map(str, files)))


def print_figures(tasks: Sequence[TaskResult], files: Sequence[Path]) -> None:
    """Print all figures of tasks in a table.

    Args:
        files: what was written, named below the table.
    """
    rows = [_header()]
    rows += [_figure_row(task.name, figure) for task in tasks for figure in task.figures]
    _print_table(rows, files)


def _figure_row(name: str, figure: Figure) -> Row:
    baseline = figure.baseline
    verdicts = {
        "better": tr("better", "更好"),
        "level": tr("level", "持平"),
        "worse": tr("worse", "更差"),
        None: "",
    }
    return (
        name,
        *_columns(figure.model, figure.unit),
        "" if baseline is None else _number(baseline.value, figure.unit),
        verdicts[figure.verdict],
        tr(figure.english, figure.chinese),
    )


def _columns(estimate: Estimate, unit: Unit) -> tuple[str, str]:
    low, high = _number(estimate.low, unit), _number(estimate.high, unit)
    return _number(estimate.value, unit), f"{low} – {high}"


def _number(value: float, unit: Unit) -> str:
    return f"{value:.1%}" if unit == "share" else f"{value:.2f}"


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """Return the columns of a terminal that a text takes."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)
