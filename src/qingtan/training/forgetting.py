"""What a run that started from a model has learnt, and what it has forgotten."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

from qingtan.corpus.shards import Shard
from qingtan.errors import UserError
from qingtan.files import read_json, write_json
from qingtan.i18n import tr
from qingtan.training.choices import Choices, measure_choices
from qingtan.training.evaluation import evaluate
from qingtan.training.subject import Subject

FORGETTING_FILE = "forgetting.json"
When = Literal["before", "after"]
# Bits per byte are shown to three digits; a change that cannot be seen is none.
_VISIBLE = 0.0005


@dataclass(frozen=True)
class Standing:
    """How well a subject does on every source of a corpus.

    Attributes:
        bits_per_byte: of the validation documents, by source.
        accuracy: of four-way questions, by source; see `choices`.
    """

    bits_per_byte: dict[str, float]
    accuracy: dict[str, Choices]


@dataclass(frozen=True)
class Change:
    """One source before and after; None where it was not measured."""

    source: str
    trained: bool
    bits_before: float | None
    bits_after: float | None
    before: Choices | None
    after: Choices | None

    @property
    def bits(self) -> float | None:
        """The difference in bits per byte; less than 0 is better."""
        if self.bits_before is None or self.bits_after is None:
            return None
        return self.bits_after - self.bits_before

    @property
    def has_worse_bits(self) -> bool:
        """Whether bits per byte rose visibly."""
        return self.bits is not None and self.bits >= _VISIBLE

    @property
    def has_worse_accuracy(self) -> bool:
        """Whether the interval of the accuracy lies below the one before."""
        if self.before is None or self.after is None:
            return False
        return self.after.interval[1] < self.before.interval[0]


@dataclass(frozen=True)
class Comparison:
    """How a run's subject stood at its start, and stands at its end.

    Attributes:
        trained: the sources that the run learns from.
    """

    before: Standing
    after: Standing
    trained: Collection[str]

    def changes(self) -> list[Change]:
        """Return the sources, those not trained on first, each half by name."""
        measured = (self.before.bits_per_byte, self.before.accuracy, self.after.bits_per_byte)
        changes = [
            Change(
                name,
                name in self.trained,
                self.before.bits_per_byte.get(name),
                self.after.bits_per_byte.get(name),
                self.before.accuracy.get(name),
                self.after.accuracy.get(name),
            )
            for name in set().union(*measured)
        ]
        return sorted(changes, key=lambda change: (change.trained, change.source))

    def mean_bits(self, trained: bool) -> float | None:
        """Return the mean change in bits per byte of the sources that were trained on, or not."""
        each = [c.bits for c in self.changes() if c.trained == trained and c.bits is not None]
        return fmean(each) if each else None


def take_standing(
    subject: Subject,
    shards: Sequence[Shard],
    length: int,
    evaluation_tokens: int,
    items: int,
    seed: int,
) -> Standing:
    """Measure a subject on the validation shards of a whole corpus.

    Args:
        length: tokens of a row.
        evaluation_tokens: see `evaluate`.
        items: four-way questions of each source; equal seeds give equal questions.
    """
    held_out = evaluate(subject, shards, length, evaluation_tokens)
    bits = {name: round(result.bits_per_byte, 4) for name, result in held_out.items()}
    return Standing(bits, measure_choices(subject, shards, items, length, seed))


def write_standing(folder: Path, when: When, standing: Standing, trained: Collection[str]) -> None:
    """Put a standing into `forgetting.json` in a run's folder, beside the other one.

    Args:
        trained: the sources that the run learns from.
    """
    path = folder / FORGETTING_FILE
    values = read_json(path) if path.exists() else {}
    write_json(path, {**values, "trained": sorted(trained), when: asdict(standing)})


def read_standing(folder: Path, when: When) -> Standing:
    """Read one of the standings in `forgetting.json`.

    Raises:
        UserError: the file is missing or damaged, or has no such standing.
    """
    path = folder / FORGETTING_FILE
    values = read_json(path)
    try:
        accuracy = {name: Choices(**each) for name, each in values[when]["accuracy"].items()}
        return Standing(dict(values[when]["bits_per_byte"]), accuracy)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UserError(
            f"{path}: {when}: is missing or damaged; start the run again in another folder"
        ) from None


def read_comparison(folder: Path) -> Comparison | None:
    """Read `forgetting.json`; None where there is none, or the run has not ended.

    Raises:
        UserError: the file is damaged; the message names it.
    """
    path = folder / FORGETTING_FILE
    if not path.exists():
        return None
    values = read_json(path)
    if "after" not in values:
        return None
    trained = values.get("trained", [])
    return Comparison(read_standing(folder, "before"), read_standing(folder, "after"), trained)


def render(before: Standing, after: Standing, trained: Collection[str]) -> str:
    """Return the table that a run prints at its end: one line a source, and one of the means.

    What got worse has a "!": visibly more bits per byte, or an accuracy whose 95% interval lies
    below the one before.

    Args:
        trained: the sources that the run learnt from.
    """
    comparison = Comparison(before, after, trained)
    header = (
        tr("source", "来源"),
        tr("bits/byte before → after", "比特/字节 前→后"),
        "",
        tr("four-way accuracy before → after (95%)", "四选一正确率 前→后（95% 区间）"),
    )
    rows = [header, *(_row(change) for change in comparison.changes())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, _summary(comparison)])


def _row(change: Change) -> tuple[str, ...]:
    name = change.source + (tr(" (trained on)", "（已训练）") if change.trained else "")
    bits = f"{_bits(change.bits_before)} → {_bits(change.bits_after)}"
    mark = "!" if change.has_worse_bits else ""
    difference = "" if change.bits is None else f"{change.bits:+.3f}{mark}"
    mark = "!" if change.has_worse_accuracy else ""
    return name, bits, difference, f"{_share(change.before)} → {_share(change.after)}{mark}"


def _summary(comparison: Comparison) -> str:
    learnt, forgotten = comparison.mean_bits(True), comparison.mean_bits(False)
    parts = []
    if forgotten is not None:
        what = tr("not trained on (forgetting)", "未训练的来源（遗忘）")
        parts.append(f"{what} {forgotten:+.3f}")
    if learnt is not None:
        parts.append(f"{tr('trained on (learnt)', '已训练的来源（习得）')} {learnt:+.3f}")
    if not parts:
        return tr("Nothing was measured twice.", "没有可比较的测量。")
    opening = tr("Mean change in bits/byte: ", "比特/字节的平均变化：")
    return opening + tr(", ", "，").join(parts)


def _bits(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _share(choices: Choices | None) -> str:
    if choices is None:
        return "–"
    low, high = choices.interval
    return f"{100 * choices.accuracy:.0f}% ({100 * low:.0f}–{100 * high:.0f}%)"
