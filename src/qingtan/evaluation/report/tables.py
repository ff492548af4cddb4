"""What the reports show of the results, as text that needs no language."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from qingtan.corpus.report.formats import NOTHING, format_count, format_share, format_value
from qingtan.corpus.report.labels import Label
from qingtan.evaluation.metrics.metric import Unit
from qingtan.evaluation.report.labels import Verdict
from qingtan.evaluation.results import Estimate, Figure, Results


class Shown(NamedTuple):
    """An estimate as text; the interval is empty where there is none."""

    value: str
    interval: str = ""


@dataclass(frozen=True)
class Row:
    """A figure as text.

    Attributes:
        verdict: None where nothing is known of the gain.
    """

    label: Label
    items: str
    model: Shown
    baseline: Shown
    gain: Shown
    verdict: Verdict | None


def rows_of(figures: Iterable[Figure]) -> list[Row]:
    """Return each figure as a row of a table."""
    return [
        Row(
            _label_of(figure),
            format_count(figure.items),
            show(figure.model, figure.unit),
            show(figure.baseline, figure.unit),
            show_gain(figure.gain, figure.unit),
            verdict_of(figure),
        )
        for figure in figures
    ]


def is_known(estimate: Estimate | None) -> bool:
    """Say whether there is a figure: what has none, such as a mean of nothing, is not finite."""
    return estimate is not None and math.isfinite(estimate.value)


def has_interval(estimate: Estimate) -> bool:
    """Say whether the ends of the interval are numbers."""
    return math.isfinite(estimate.low) and math.isfinite(estimate.high)


def verdict_of(figure: Figure) -> Verdict | None:
    """Return the verdict on a figure, None where its gain or the interval of it is not known."""
    gain = figure.gain
    if gain is None or not is_known(gain) or not has_interval(gain):
        return None
    return figure.verdict


def count_verdicts(results: Results) -> Counter[Verdict]:
    """Return how the headlines of the tasks that have a baseline compare with it."""
    headlines = (task.figures[0] for task in results.tasks if task.figures)
    return Counter(verdict for each in headlines if (verdict := verdict_of(each)))


def show(estimate: Estimate | None, unit: Unit) -> Shown:
    """Return an estimate: 83.1%, 24.7 points, or a number to four digits."""
    return _show(estimate, {"share": _share, "points": _points, "number": format_value}[unit])


def show_gain(estimate: Estimate | None, unit: Unit) -> Shown:
    """Return a difference with its sign, that of shares in percentage points."""
    return _show(estimate, {"share": _share_gain, "points": _gain, "number": _number_gain}[unit])


def show_bits(estimate: Estimate) -> Shown:
    """Return bits per byte."""
    return _show(estimate, "{:.3f}".format)


def settings_of(results: Results) -> list[tuple[Label, str]]:
    """Return what was evaluated, and how."""
    limit = format_count(results.limit) if results.limit else NOTHING
    return [
        (Label("Model", "模型"), results.model),
        (Label("SHA-256 of its tensors", "权重 SHA-256"), results.weights_sha256),
        (Label("Parameters", "参数"), format_count(results.parameters)),
        (Label("Qingtan", "清谈版本"), results.version),
        (Label("Date", "日期"), results.date),
        (Label("Device", "设备"), results.device),
        (Label("Time", "用时"), show_time(results.seconds)),
        (Label("Most items of a task", "每个任务题数上限"), limit),
        (Label("Seed", "随机种子"), str(results.seed)),
        (Label("Temperature", "温度"), f"{results.temperature:g}"),
        (Label("Top p", "Top p"), f"{results.top_p:g}"),
        (Label("Repetition penalty", "重复惩罚"), f"{results.repetition_penalty:g}"),
        (
            Label("No run of so many tokens twice", "不重复的词元片段长度"),
            str(results.no_repeat_ngram_size or "–"),
        ),
    ]


def show_time(seconds: float) -> str:
    """Return a time as 1:02:03."""
    return str(timedelta(seconds=round(seconds)))


def _label_of(figure: Figure) -> Label:
    mark = "" if figure.higher_is_better else " ↓"
    return Label(figure.english + mark, figure.chinese + mark)


def _show(estimate: Estimate | None, text: Callable[[float], str]) -> Shown:
    if estimate is None or not is_known(estimate):
        return Shown(NOTHING)
    if not has_interval(estimate):
        return Shown(text(estimate.value))
    return Shown(text(estimate.value), f"{text(estimate.low)} – {text(estimate.high)}")


def _share(value: float) -> str:
    return format_share(value, 1.0)


def _points(value: float) -> str:
    return f"{value:.1f}"


def _share_gain(value: float) -> str:
    return _gain(100 * value)


def _gain(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"  # no -0.0


def _number_gain(value: float) -> str:
    return f"{value + 0.0:+.4g}"
