"""The plots of the page: which lines they have, and from where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from qingtan.corpus.report.excerpts import visible
from qingtan.corpus.report.labels import Label, both, name_of, plain_name_of
from qingtan.training.report.labels import FINDING, MEASURES, PAIRS, PARTS, UNITS
from qingtan.training.report.plots import Drawing, Line, draw, smooth
from qingtan.training.report.record import Names, RunRecord

# Lines of steps that are too noisy to be read without a smoothed one.
_NOISY = ("loss", "gradient_norm", "tokens_per_second", "mfu")
_EVERY_STEP = ("loss", "gradient_norm", "learning_rate", "tokens_per_second", "mfu")


@dataclass(frozen=True)
class Plot:
    """A plot of the page.

    Attributes:
        key: where its numbers stand in metrics.jsonl.
        plain_title: both languages side by side, for attributes.
    """

    key: str
    title: Markup
    plain_title: str
    unit: Markup | None
    drawing: Drawing


def step_plots(record: RunRecord) -> list[Plot]:
    """Return the plots of what is logged as steps are made, the loss and its parts first."""
    plots = [_step_plot(record, (key,), MEASURES) for key in _EVERY_STEP]
    parts = [_step_plot(record, ("parts", name), PARTS) for name in record.names("parts")]
    return [plot for plot in (plots[0], *parts, *plots[1:]) if plot]


def evaluation_plots(record: RunRecord) -> list[Plot]:
    """Return the plots of evaluations: bits a byte by source, preferences, finding, privacy."""
    sources = {name: record.series["bits_per_byte", name] for name in record.names("bits_per_byte")}
    lines = [
        Line(visible(name), each.tokens, each.values, is_dotted=True)
        for name, each in sources.items()
    ]
    plots = [_plot(("bits_per_byte",), MEASURES, lines)]
    plots += [_evaluation_plot(record, ("preference", name), PAIRS) for name in PAIRS]
    plots += [_evaluation_plot(record, ("finding", name), FINDING) for name in FINDING]
    plots.append(_evaluation_plot(record, ("epsilon",), MEASURES))
    return [plot for plot in plots if plot]


def _step_plot(record: RunRecord, path: Names, labels: Mapping[str, Label]) -> Plot | None:
    if path not in record.series:
        return None
    series = record.series[path]
    tokens, values = series.tokens, series.values
    if path[-1] == "mfu":
        values = [100 * value for value in values]
    if path[-1] not in _NOISY and path[0] != "parts":
        return _plot(path, labels, [Line(None, tokens, values)])
    lines = [
        Line(both("logged", "记录值"), tokens, values, is_faint=True),
        Line(both("smoothed", "平滑后"), tokens, smooth(values)),
    ]
    return _plot(path, labels, lines)


def _evaluation_plot(record: RunRecord, path: Names, labels: Mapping[str, Label]) -> Plot | None:
    if path not in record.series:
        return None
    series = record.series[path]
    return _plot(path, labels, [Line(None, series.tokens, series.values, is_dotted=True)])


def _plot(path: Names, labels: Mapping[str, Label], lines: Sequence[Line]) -> Plot | None:
    if not lines:
        return None
    unit = both(*UNITS[path[-1]]) if path[-1] in UNITS else None
    title, plain = name_of(path[-1], labels), plain_name_of(path[-1], labels)
    return Plot("/".join(path), title, plain, unit, draw(lines))
