"""The numbers of the page, added up from the sources' own."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qingtan.corpus.statistics import (
    STEPS,
    Amount,
    Changed,
    CorpusReport,
    Histogram,
    SourceStatistics,
    StepName,
    add_amounts,
)

_SHOWN_LANGUAGES = 6  # further ones are added up, so that the table stays narrow


@dataclass(frozen=True)
class Stage:
    """What was left of all text after a step, and what the step took, in bytes."""

    step: StepName
    left: Amount
    lost: int


@dataclass(frozen=True)
class SourceRow:
    """A source in the table of sources.

    Attributes:
        losses: bytes lost in each step that lost any.
        mix: its share of what an epoch of training reads, of tokens or else of bytes.
    """

    source: SourceStatistics
    kept: Amount
    losses: dict[StepName, int]
    mix: float

    @property
    def lost_share(self) -> float:
        """The share of its text that was lost in all steps."""
        return sum(self.losses.values()) / max(self.source.read.bytes, 1)


@dataclass(frozen=True)
class RuleRow:
    """What a rule dropped in all, and of each source of which it dropped something."""

    name: str
    step: StepName
    dropped: Amount
    by_source: list[tuple[SourceStatistics, Amount]]


@dataclass(frozen=True)
class ChangeRow:
    """What a cleaning step changed in all, and in each source."""

    name: str
    total: Changed
    by_source: list[tuple[SourceStatistics, Changed]]


@dataclass(frozen=True)
class Tally:
    """Counts by name for each source: the names, commonest first, and one row a source."""

    total: dict[str, int]
    rows: list[tuple[SourceStatistics, dict[str, int]]]


@dataclass(frozen=True)
class MeasureRow:
    """The histogram of a measure over all sources, and each source's own."""

    name: str
    total: Histogram
    by_source: list[tuple[SourceStatistics, Histogram]]


def left_after(source: SourceStatistics) -> dict[StepName, Amount]:
    """Return what was left after every step; one that the source did not pass takes nothing."""
    left, amounts = source.read, {}
    for step in STEPS:
        left = source.after.get(step, left)
        amounts[step] = left
    return amounts


def stages(report: CorpusReport) -> list[Stage]:
    """Return the steps that any source passed, reading first."""
    left = [left_after(source) for source in report.sources]
    taken = {"read"}.union(*(source.after for source in report.sources))
    rows: list[Stage] = []
    for step in STEPS:
        if step in taken:
            total = add_amounts(amounts[step] for amounts in left)
            lost = rows[-1].left.bytes - total.bytes if rows else 0
            rows.append(Stage(step, total, lost))
    return rows


def source_rows(report: CorpusReport) -> list[SourceRow]:
    """Return the sources in the recipe's order."""
    kept = [left_after(source)[STEPS[-1]] for source in report.sources]
    encoded = any(source.tokens for source in report.sources)
    read = [
        (source.tokens if encoded else amount.bytes) * source.epochs
        for source, amount in zip(report.sources, kept, strict=True)
    ]
    whole = sum(read) or 1.0
    return [
        SourceRow(source, amount, _losses(source), part / whole)
        for source, amount, part in zip(report.sources, kept, read, strict=True)
    ]


def _losses(source: SourceStatistics) -> dict[StepName, int]:
    left = source.read.bytes
    losses: dict[StepName, int] = {}
    if not left:
        return losses
    for step, amount in left_after(source).items():
        if amount.bytes < left:  # cleaning may also make a text longer
            losses[step] = left - amount.bytes
        left = amount.bytes
    return losses


def rule_rows(sources: Sequence[SourceStatistics]) -> list[RuleRow]:
    """Return the rules in the order of the steps, those that dropped most first."""
    rows = []
    for name in _names(source.rules for source in sources):
        having = [(source, source.rules[name]) for source in sources if name in source.rules]
        dropped = [(source, rule.dropped) for source, rule in having if rule.dropped.documents]
        total = add_amounts(amount for _, amount in dropped)
        rows.append(RuleRow(name, having[0][1].step, total, dropped))
    return sorted(rows, key=lambda row: (STEPS.index(row.step), -row.dropped.bytes, row.name))


def change_rows(sources: Sequence[SourceStatistics]) -> list[ChangeRow]:
    """Return the cleaning steps in the order in which they were taken."""
    rows = []
    for name in _names(source.changed for source in sources):
        having = [(source, source.changed[name]) for source in sources if name in source.changed]
        total = Changed(
            documents=sum(changed.documents for _, changed in having),
            characters_before=sum(changed.characters_before for _, changed in having),
            characters_after=sum(changed.characters_after for _, changed in having),
        )
        rows.append(ChangeRow(name, total, [pair for pair in having if pair[1].documents]))
    return rows


def masked_tally(sources: Sequence[SourceStatistics]) -> Tally:
    """Return how many pieces of personal data were masked, by kind."""
    return _tally([(source, source.masked) for source in sources])


def language_tally(sources: Sequence[SourceStatistics]) -> Tally:
    """Return documents by language; the rarest languages are added up as "other"."""
    total = _tally([(source, source.languages) for source in sources]).total
    shown = {language for language in list(total)[:_SHOWN_LANGUAGES] if language != "other"}
    if len(total) == _SHOWN_LANGUAGES + 1:  # a single rare one needs no other name
        shown = set(total)
    return _tally([(source, _gather(source.languages, shown)) for source in sources])


def _gather(counts: dict[str, int], names: set[str]) -> dict[str, int]:
    gathered: Counter[str] = Counter()
    for name, count in counts.items():
        gathered[name if name in names else "other"] += count
    return gathered


def _tally(rows: list[tuple[SourceStatistics, dict[str, int]]]) -> Tally:
    total: Counter[str] = Counter()
    for _, counts in rows:
        total.update(counts)
    ordered = sorted(total.items(), key=lambda item: (item[0] == "other", -item[1], item[0]))
    return Tally(dict(ordered), [row for row in rows if any(row[1].values())])


def measure_rows(sources: Sequence[SourceStatistics]) -> list[MeasureRow]:
    """Return a histogram for each measure.

    Raises:
        ValueError: two sources have other edges for the same measure.
    """
    rows = []
    for name in _names(source.histograms for source in sources):
        having = [
            (source, source.histograms[name]) for source in sources if name in source.histograms
        ]
        edges = having[0][1].edges
        if any(histogram.edges != edges for _, histogram in having):
            raise ValueError(f"the sources' histograms of {name} have different edges")
        counts = [sum(column) for column in zip(*(h.counts for _, h in having), strict=True)]
        rows.append(MeasureRow(name, Histogram(edges=edges, counts=counts), having))
    return rows


def _names(tables: Iterable[Iterable[str]]) -> list[str]:
    """Return every name once, in the order of first appearance."""
    return list(dict.fromkeys(name for table in tables for name in table))
