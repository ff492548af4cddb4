"""Excerpts of a corpus as HTML: whatever they hold, it is shown and does nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby

from markupsafe import Markup, escape

from qingtan.corpus.statistics import Sample

# What the samples of a page may take in all, so that it stays easy to send and to open.
SAMPLES_BYTES = 1_300_000
_FRAME_BYTES = 400  # of the HTML around one sample: where it is from, what was measured

_AS_IT_IS = "\n\t\u3000"
_WITHOUT_THESE = str.maketrans("", "", _AS_IT_IS)


@dataclass(frozen=True)
class Excerpt:
    """A sample ready for the page.

    Attributes:
        sample: where it is from.
        text: the excerpt; for a changed one, with the difference marked.
        kept: the document that a duplicate duplicates, to be shown beside it.
    """

    sample: Sample
    text: Markup
    kept: Markup | None = None

    @property
    def bytes(self) -> int:
        """What it takes of the page, in UTF-8."""
        return len((self.text + (self.kept or "")).encode()) + _FRAME_BYTES


def show_samples(
    samples: Mapping[str, Sequence[Sample]], changed: Collection[str]
) -> dict[str, list[Excerpt]]:
    """Return the samples of each rule, the same number for each, as many as the page can hold.

    Args:
        samples: by rule or cleaning step.
        changed: the names of the cleaning steps, whose samples show the change in one text.
    """
    shown = {
        name: [_excerpt(sample, name in changed) for sample in each]
        for name, each in samples.items()
    }
    most = max(map(len, shown.values()), default=0)
    while sum(e.bytes for each in shown.values() for e in each[:most]) > SAMPLES_BYTES:
        most -= 1
    return {name: each[:most] for name, each in shown.items()}


def _excerpt(sample: Sample, changed: bool) -> Excerpt:
    if sample.after is None:
        return Excerpt(sample, visible(sample.text))
    if changed:
        return Excerpt(sample, mark_change(sample.text, sample.after))
    return Excerpt(sample, *mark_both(sample.text, sample.after))


def visible(text: str) -> Markup:
    """Escape a text, and show characters that have no picture as their code points.

    So a direction override cannot turn the page's own text around, and what a cleaning step
    removes can be seen. Ideographic spaces, tabs and line ends stay.
    """
    if text.translate(_WITHOUT_THESE).isprintable():
        return escape(text)
    return Markup("".join(_show(character, len(list(run))) for character, run in groupby(text)))


def _show(character: str, times: int) -> str:
    """Return a run of one character as HTML."""
    if character in _AS_IT_IS or character.isprintable():
        return str(escape(character * times))
    repeated = f"×{times}" if times > 1 else ""
    return f"<i>U+{ord(character):04X}{repeated}</i>"


def mark_change(before: str, after: str) -> Markup:
    """Return one text with what was removed in <del> and what was added in <ins>."""
    return Markup("").join(
        visible(old) if old == new else _mark("del", old) + _mark("ins", new)
        for old, new in _align(before, after)
    )


def mark_both(first: str, second: str) -> tuple[Markup, Markup]:
    """Return both texts, what only one of them has in <del> and <ins>."""
    pairs = _align(first, second)
    return (
        Markup("").join(visible(a) if a == b else _mark("del", a) for a, b in pairs),
        Markup("").join(visible(b) if a == b else _mark("ins", b) for a, b in pairs),
    )


def _align(first: str, second: str) -> list[tuple[str, str]]:
    """Return pieces of both texts that belong together, in order; equal ones stayed."""
    # What both begin and end with is most of it, and the matcher is slow where text repeats.
    head = _common_start(first, second)
    first, second = first.removeprefix(head), second.removeprefix(head)
    tail = _common_start(first[::-1], second[::-1])[::-1]
    first, second = first.removesuffix(tail), second.removesuffix(tail)
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    middle = [(first[a:b], second[c:d]) for _, a, b, c, d in matcher.get_opcodes()]
    return [(head, head), *middle, (tail, tail)]


def _common_start(first: str, second: str) -> str:
    pairs = enumerate(zip(first, second, strict=False))
    return first[: next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))]


def _mark(element: str, text: str) -> Markup:
    if not text:
        return Markup()
    # A line end has no ground to be coloured, so it gets a sign.
    inner = visible(text).replace("\n", "↵\n").replace("\t", "⇥\t")
    return Markup("<{0}>{1}</{0}>").format(element, inner)
