"""The tables of the page."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qingtan.training.report.plots import smooth
from qingtan.training.report.record import Entry, RunRecord

# Of how many steps samples are shown, and what they may take of the page, in UTF-8.
SAMPLED_STEPS = 30
SAMPLES_BYTES = 300_000
# Sequences that are named of those left out for one reason.
NAMED_SEQUENCES = 5


@dataclass(frozen=True)
class Summary:
    """The headline figures; None where nothing was logged yet.

    Attributes:
        loss: smoothed.
        seconds: spent on steps.
        tokens_per_second, mfu: the means over the run, of its second half.
        epsilon, delta: the privacy guarantee, where there is one.
    """

    step: int
    steps: int
    tokens: int
    loss: float | None
    seconds: float | None
    tokens_per_second: float | None
    mfu: float | None
    epsilon: float | None
    delta: float | None


@dataclass(frozen=True)
class HeldOutRow:
    """Bits a byte of a source at the first evaluation, at the best, and at the last."""

    source: str
    first: float
    best: float
    last: float


@dataclass(frozen=True)
class SkippedRow:
    """What was left out for one reason: how many, their tokens, and the first ones' names."""

    reason: str
    sequences: int
    tokens: int
    names: list[str]


def summarize(record: RunRecord) -> Summary:
    """Return how far the run is, and how it does."""
    last = record.metrics[-1] if record.metrics else {}
    seconds = record.values("seconds")
    losses = record.values("loss")
    epsilons = record.values("epsilon")
    privacy = record.recipe.get("privacy") or {}
    return Summary(
        last.get("step", 0),
        record.recipe.get("steps", 0),
        last.get("tokens", 0),
        smooth(losses)[-1] if losses else None,
        seconds[-1] if seconds else None,
        _late_mean(record.values("tokens_per_second")),
        _late_mean(record.values("mfu")),
        epsilons[-1] if epsilons else None,
        privacy.get("delta") if epsilons else None,
    )


def held_out_rows(record: RunRecord) -> list[HeldOutRow]:
    """Return every source that was evaluated."""
    series = {name: record.values("bits_per_byte", name) for name in record.names("bits_per_byte")}
    return [HeldOutRow(name, each[0], min(each), each[-1]) for name, each in series.items()]


def skipped_rows(skipped: Sequence[Entry]) -> list[SkippedRow]:
    """Return the reasons, that for most sequences first."""
    by_reason: dict[str, list[Entry]] = {}
    for entry in skipped:
        by_reason.setdefault(str(entry.get("reason", "")), []).append(entry)
    rows = [
        SkippedRow(
            reason,
            len(each),
            sum(entry.get("tokens", 0) for entry in each),
            [str(entry.get("name", "")) for entry in each[:NAMED_SEQUENCES]],
        )
        for reason, each in by_reason.items()
    ]
    return sorted(rows, key=lambda row: -row.sequences)


def shown_samples(samples: Sequence[Entry]) -> list[Entry]:
    """Return the samples of as many steps as the page can hold, evenly chosen, the last first."""
    sizes = [len(json.dumps(entry, ensure_ascii=False).encode()) for entry in samples]
    count = min(len(samples), SAMPLED_STEPS)
    while count > 1:
        places = [round(i * (len(samples) - 1) / (count - 1)) for i in range(count)]
        if sum(sizes[i] for i in places) <= SAMPLES_BYTES:
            return [samples[i] for i in reversed(places)]
        count = count * 3 // 4
    return list(samples[-1:])


def recipe_rows(recipe: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the fields that are set, those of tables as table.field, in the recipe's order."""
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            yield from recipe_rows(value, f"{path}{name}.")
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{path}{name}", text


def _late_mean(values: Sequence[float]) -> float | None:
    """Return the mean of the second half, which warming up has no part in."""
    half = values[len(values) // 2 :]
    return sum(half) / len(half) if half else None
