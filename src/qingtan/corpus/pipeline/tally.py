"""Counts and samples of one piece, and their sum over all pieces."""

import hashlib
import heapq
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from qingtan.corpus.statistics import (
    EXCERPT_CHARACTERS,
    SAMPLES,
    Amount,
    Changed,
    Histogram,
    RuleStatistics,
    Sample,
    SourceStatistics,
    StepName,
)
from qingtan.safety import obscure_personal_data


class Place(NamedTuple):
    """Where a document comes from."""

    file: str
    line: int


class Samples:
    """Some of many samples, by rule: those with the smallest hashes, so the order is no matter."""

    def __init__(self) -> None:
        # The largest hash on top, to be pushed out first.
        self._heaps: dict[str, list[tuple[int, str]]] = {}

    def offer(self, rule: str, source: str, place: Place, make: Callable[[], Sample]) -> None:
        """Take a sample if it is one of the few; `make` is called only then."""
        key = f"{rule} {source} {place.file} {place.line}".encode()
        rank = -int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
        heap = self._heaps.setdefault(rule, [])
        if len(heap) < SAMPLES or rank > heap[0][0]:
            self._push(rule, rank, make().model_dump_json())

    def add(self, other: dict[str, list[tuple[int, str]]]) -> None:
        """Take the samples that another one holds."""
        for rule, entries in other.items():
            for rank, sample in entries:
                self._push(rule, rank, sample)

    def dump(self) -> dict[str, list[tuple[int, str]]]:
        """Return what is held, for `add`."""
        return {rule: sorted(heap) for rule, heap in sorted(self._heaps.items())}

    def chosen(self) -> dict[str, list[Sample]]:
        """Return the samples of each rule."""
        return {
            rule: [Sample.model_validate_json(text) for _, text in entries]
            for rule, entries in self.dump().items()
        }

    def _push(self, rule: str, rank: int, sample: str) -> None:
        heap = self._heaps.setdefault(rule, [])
        heapq.heappush(heap, (rank, sample))
        if len(heap) > SAMPLES:
            heapq.heappop(heap)


class PieceRecord(BaseModel):
    """What a piece's statistics file holds."""

    statistics: SourceStatistics
    evaluation: dict[str, Amount] = {}
    samples: dict[str, list[tuple[int, str]]] = {}
    first_rejected: str | None = None

    @classmethod
    def read(cls, path: Path) -> "PieceRecord":
        """Read the record of a piece."""
        return cls.model_validate_json(path.read_bytes())


class Tally:
    """Counts what happens to the documents of one piece.

    Attributes:
        statistics: the counts so far.
        rejected: a JSON line for each record that cannot be used.
    """

    def __init__(self, name: str, kind: Literal["text", "conversations"]) -> None:
        self.statistics = SourceStatistics(name=name, kind=kind)
        self.rejected: list[str] = []
        self._samples = Samples()
        self._evaluation: dict[str, Amount] = {}
        self._first_rejected: str | None = None
        self._changed: set[tuple[str, Place]] = set()
        self._batch: pa.RecordBatch | None = None
        self._texts: list[str] = []
        self._amount: Amount | None = None

    def remember(self, batch: pa.RecordBatch, texts: list[str]) -> pa.RecordBatch:
        """Keep the texts of a batch that is handed on, so that they need not be decoded again."""
        self._batch, self._texts, self._amount = batch, texts, None
        return batch

    def texts(self, batch: pa.RecordBatch) -> list[str]:
        """Return the texts of a batch, not to be changed."""
        if self._batch is not batch:
            self.remember(batch, batch.column("text").to_pylist())
        return self._texts

    def reject(self, place: Place, reason: str) -> None:
        """Count a record that cannot be used."""
        self.statistics.rejected += 1
        entry = {"source": self.statistics.name, "file": place.file, "line": place.line}
        entry["reason"] = reason
        self.rejected.append(json.dumps(entry, ensure_ascii=False) + "\n")
        self._first_rejected = self._first_rejected or f"{place.file}, line {place.line}: {reason}"

    def drop(
        self,
        step: StepName,
        rule: str,
        place: Place,
        text: str,
        value: float | None = None,
        threshold: float | None = None,
    ) -> None:
        """Count a document that a rule drops.

        Args:
            value, threshold: what the rule measured, and what it allows.
        """
        statistics = self.statistics.rules.setdefault(rule, RuleStatistics(step=step))
        statistics.dropped.count(text)

        def make() -> Sample:
            sample = make_sample(self.statistics.name, place, text)
            return sample.model_copy(update={"value": value, "threshold": threshold})

        self._samples.offer(rule, self.statistics.name, place, make)

    def drop_all(self, step: StepName, rule: str, batch: pa.RecordBatch) -> None:
        """Count a batch of documents that a rule drops, of which samples are taken elsewhere."""
        if batch.num_rows:
            statistics = self.statistics.rules.setdefault(rule, RuleStatistics(step=step))
            statistics.dropped.add(amount_of(batch))

    def contaminate(self, name: str, text: str) -> None:
        """Count a document that holds an item of an evaluation set."""
        self._evaluation.setdefault(name, Amount()).count(text)

    def change(self, step: str, place: Place, before: str, after: str) -> None:
        """Count what a cleaning step changed: a document, or one of its messages."""
        changed = self.statistics.changed.setdefault(step, Changed())
        if (step, place) not in self._changed:
            self._changed.add((step, place))
            changed.documents += 1
        changed.characters_before += len(before)
        changed.characters_after += len(after)

        def make() -> Sample:
            start = max(0, _first_difference(before, after) - EXCERPT_CHARACTERS // 4)
            return make_sample(self.statistics.name, place, before, after, start)

        self._samples.offer(step, self.statistics.name, place, make)

    def after(self, step: StepName, batch: pa.RecordBatch) -> None:
        """Count what a step has left."""
        amount = self._amount if self._batch is batch else None
        if amount is None:
            amount = amount_of(batch)
        if self._batch is batch:
            self._amount = amount
        self.statistics.after.setdefault(step, Amount()).add(amount)

    def record(self) -> PieceRecord:
        """Return all of it, to be written."""
        return PieceRecord(
            statistics=self.statistics,
            evaluation=self._evaluation,
            samples=self._samples.dump(),
            first_rejected=self._first_rejected,
        )


def make_sample(
    source: str, place: Place, text: str, after: str | None = None, start: int = 0
) -> Sample:
    """Return a sample, cut to an excerpt: it shows personal data, but does not tell them."""
    excerpt = slice(start, start + EXCERPT_CHARACTERS)
    return Sample(
        source=source,
        file=place.file,
        line=place.line,
        # The cut comes last, for half a number would not be known for one.
        text=obscure_personal_data(text)[excerpt],
        after=None if after is None else obscure_personal_data(after)[excerpt],
    )


def amount_of(batch: pa.RecordBatch) -> Amount:
    """Return how much text a batch of documents holds."""
    text = batch.column("text")
    return Amount(
        documents=batch.num_rows,
        characters=pc.sum(pc.utf8_length(text)).as_py() or 0,
        bytes=pc.sum(pc.binary_length(text)).as_py() or 0,
    )


def add_statistics(total: SourceStatistics, part: SourceStatistics) -> None:
    """Add the counts of a piece to those of its source."""
    total.read.add(part.read)
    total.rejected += part.rejected
    total.excluded += part.excluded
    total.tokens += part.tokens
    total.trained_tokens += part.trained_tokens
    for step, amount in part.after.items():
        total.after.setdefault(step, Amount()).add(amount)
    for rule, dropped in part.rules.items():
        mine = total.rules.setdefault(rule, RuleStatistics(step=dropped.step))
        mine.dropped.add(dropped.dropped)
    for name, changed in part.changed.items():
        _add_changed(total.changed.setdefault(name, Changed()), changed)
    _add_counts(total.masked, part.masked)
    _add_counts(total.languages, part.languages)
    for name, histogram in part.histograms.items():
        _add_histogram(total.histograms, name, histogram)


def _add_changed(total: Changed, part: Changed) -> None:
    total.documents += part.documents
    total.characters_before += part.characters_before
    total.characters_after += part.characters_after


def _add_counts(total: dict[str, int], part: dict[str, int]) -> None:
    for name, count in part.items():
        total[name] = total.get(name, 0) + count


def _add_histogram(total: dict[str, Histogram], name: str, part: Histogram) -> None:
    if name in total:
        pairs = zip(total[name].counts, part.counts, strict=True)
        total[name].counts = [mine + other for mine, other in pairs]
    else:
        total[name] = part.model_copy(deep=True)


def _first_difference(one: str, other: str) -> int:
    """Return where two texts begin to differ, by halving."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
