"""What a conversion cost, as it is printed."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qingtan.cli.options import say
from qingtan.i18n import tr

if TYPE_CHECKING:
    from qingtan.corpus.documents import Document

Row = tuple[str, ...]


def compare_predictions(before: Path, after: Path, documents: Sequence["Document"]) -> None:
    """Print how well two checkpoints predict documents.

    Raises:
        UserError: there is nothing to predict in the documents.
    """
    from qingtan.engine.comparison import Passage, finest, predict

    passages = [Passage(each.tokens, each.trained, each.scored_bytes) for each in documents]
    was = predict(before, passages, finest(before))
    now = predict(after, passages)
    share, places = f"{was.agreement(now):.1%}", f"{len(was.likeliest):,}"
    change = now.perplexity / was.perplexity - 1
    rows: list[Row] = [
        ("", tr("before", "转换前"), tr("after", "转换后"), ""),
        _row(tr("perplexity", "困惑度"), was.perplexity, now.perplexity, f"{change:+.2%}"),
        _row(tr("bits per byte", "比特/字节"), was.bits_per_byte, now.bits_per_byte, ""),
    ]
    _print_table(rows)
    say(
        tr(
            f"  the likeliest token is the same at {share} of {places} places",
            f"  {places} 个位置中，{share} 的最可能词元不变",
        )
    )


def compare_tasks(before: str, after: Path, data: Path, limit: int) -> None:
    """Evaluate two models, and print the tasks' headline figures side by side.

    Raises:
        UserError: see `evaluation.run.evaluate`.
    """
    from qingtan.evaluation.run import OUTPUT_FOLDER, Settings, evaluate

    settings = Settings(data=data, limit=limit)
    name = after.resolve().name
    was = evaluate(before, settings, OUTPUT_FOLDER / f"{name}-before", force=True)
    now = evaluate(after, settings, OUTPUT_FOLDER / f"{name}-after", force=True)
    rows: list[Row] = [
        (tr("task", "任务"), tr("before", "转换前"), tr("after", "转换后"), tr("measure", "指标"))
    ]
    for one, other in zip(was.tasks, now.tasks, strict=True):
        for figure, same in zip(one.figures[:1], other.figures[:1], strict=True):
            numbers = [
                f"{each.model.value:.1%}" if each.unit == "share" else f"{each.model.value:.2f}"
                for each in (figure, same)
            ]
            rows.append((one.name, *numbers, tr(figure.english, figure.chinese)))
    _print_table(rows)


def _row(name: str, before: float, after: float, change: str) -> Row:
    return name, f"{before:.4g}", f"{after:.4g}", change


def _print_table(rows: Sequence[Row]) -> None:
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ]
        say(("  " + "  ".join(cells)).rstrip())


def _width(text: str) -> int:
    """Return the columns of a terminal that a text takes."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)
