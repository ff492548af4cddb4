"""Guessing tokens ahead, so that one step of the model checks several (2211.17192).

Every token is drawn from the model's own distribution with its own random numbers, and a guess
counts only where it is the token that was drawn: the text is the same, bit for bit, as without
guesses.

How many tokens are guessed follows from how often guesses come true and from what they cost, both
as measured; see `DraftLength` and `StepTimes`.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

# An occurrence of so many last tokens says what may follow; the longer is asked first.
_NGRAMS = (3, 2, 1)
# How fast what was seen of guesses fades, for each time that some were checked: in one text, and
# over all texts.
_FADING = 0.9
_FADING_OVERALL = 0.99
# The share of guesses that is believed to come true before any was checked, and how many guesses
# that belief counts as.
_HOPE = 0.75
_PATIENCE = 4
# What is left of a step's time in what is believed, with each newer one.
_FADING_TIMES = 0.98
# What a row adds to a step, as a share of the whole, while only steps of the same size were seen.
_ROW_SHARE = 0.15
_LEAST_ROW_SHARE = 0.01
# A step that takes more than so many times what was expected was held up by something else.
_OUTLIER = 1.5
# The least that guessing must be expected to gain: what it costs is known no better.
_LEAST_GAIN = 0.05
# The share of all time for guesses that are not expected to pay, and the most seconds saved up.
_TRIAL_SHARE = 0.01
_MOST_SAVED = 1.0


class Acceptance:
    """The share of guesses that come true; what is long past counts less.

    Args:
        overall: what was seen in all texts, from which a new text's belief begins; it learns what
            this one learns. None where this is itself about all texts.
    """

    def __init__(self, overall: "Acceptance | None" = None) -> None:
        self._overall = overall
        self._fading = _FADING_OVERALL if overall is None else _FADING
        self._accepted = self._refused = 0.0

    @property
    def share(self) -> float:
        """How likely a guess comes true where those before it did, above 0 and below 1."""
        hope = _HOPE if self._overall is None else self._overall.share
        return (self._accepted + _PATIENCE * hope) / (self._accepted + self._refused + _PATIENCE)

    def observe(self, guessed: int, accepted: int) -> None:
        """Learn how many of the guesses in a step came true, before the first that did not."""
        if not guessed:
            return
        self._accepted = self._fading * self._accepted + accepted
        self._refused = self._fading * self._refused + (accepted < guessed)
        if self._overall is not None:
            self._overall.observe(guessed, accepted)


class Worth(NamedTuple):
    """How many tokens to guess; with 0, guessing does not pay.

    Attributes:
        gain: times as many tokens in the same time as without guesses, as far as is known.
    """

    tokens: int
    gain: float


class DraftLength:
    """How many tokens of a text are worth guessing.

    With a share a of guesses that come true, k of them bring (1 − a^(k+1)) / (1 − a) tokens a step
    (2211.17192, equation 1), and a step takes 1 + cost · k: the k of the best ratio is taken.

    Args:
        overall: of all texts; see `Acceptance`.
        most: the most tokens.
    """

    def __init__(self, overall: Acceptance | None = None, most: int = 12) -> None:
        self._acceptance = Acceptance(Acceptance() if overall is None else overall)
        self._most = most

    def worth(self, cost: float) -> Worth:
        """Return how many tokens to guess now.

        Args:
            cost: what making and checking one more guess adds to a step, as a share of a step
                without guesses.
        """
        share = self._acceptance.share
        count, best = 0, 1 + _LEAST_GAIN
        # Of a concave function by a linear one there is one maximum.
        while count < self._most and (gain := _gain(share, count + 1, cost)) > best:
            count, best = count + 1, gain
        return Worth(count, best if count else 1.0)

    def observe(self, guessed: int, accepted: int) -> None:
        """See `Acceptance.observe`."""
        self._acceptance.observe(guessed, accepted)


def _gain(share: float, count: int, cost: float) -> float:
    return (1 - share ** (count + 1)) / (1 - share) / (1 + cost * count)


class StepTimes:
    """Learns what steps take: a part for each, and a part for each of its rows.

    Both come from a line through the newest steps by least squares. While those are all alike its
    slope is a guess.
    """

    def __init__(self) -> None:
        self._weight = self._rows = self._seconds = self._squares = self._products = 0.0

    @property
    def known(self) -> bool:
        """Whether a step was seen."""
        return self._weight > 0

    @property
    def row(self) -> float:
        """Seconds that one more row adds to a step; 0 where nothing is known."""
        if not self.known:
            return 0.0
        rows, seconds = self._rows / self._weight, self._seconds / self._weight
        variance = self._squares / self._weight - rows**2
        covariance = self._products / self._weight - rows * seconds
        slope = (covariance + _ROW_SHARE * seconds) / (variance + 1)
        return min(max(slope, _LEAST_ROW_SHARE * seconds), seconds / rows)

    def seconds(self, rows: int) -> float:
        """Return what a step of so many rows takes; 0 where nothing is known."""
        if not self.known:
            return 0.0
        return self._seconds / self._weight + self.row * (rows - self._rows / self._weight)

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from a step of so many rows, at least 1."""
        if self.known:
            seconds = min(seconds, _OUTLIER * self.seconds(rows))
        self._weight = _FADING_TIMES * self._weight + 1
        self._rows = _FADING_TIMES * self._rows + rows
        self._seconds = _FADING_TIMES * self._seconds + seconds
        self._squares = _FADING_TIMES * self._squares + rows**2
        self._products = _FADING_TIMES * self._products + rows * seconds


class Trials:
    """Time for guesses that are not expected to pay, but may show that they do again.

    A small share of all time is set aside for them, so that they can never cost more.
    """

    def __init__(self) -> None:
        self._saved = 0.0

    def earn(self, seconds: float) -> None:
        """Set a share aside of the time that the model has worked."""
        self._saved = min(self._saved + _TRIAL_SHARE * seconds, _MOST_SAVED)

    def afford(self, seconds: float) -> bool:
        """Return whether a trial of so many seconds may be made; then they are spent."""
        if seconds > self._saved:
            return False
        self._saved -= seconds
        return True


class PromptLookup:
    """Guesses that what followed the last tokens before follows them again.

    This pays where an answer repeats its prompt: summaries, answers from documents, corrections.
    What repeats a text leaves out parts of it, but seldom goes back: of several places the next
    one behind the last guess is taken.
    """

    def __init__(self) -> None:
        # For each n-gram, where what followed its occurrences begins, ascending.
        self._following: dict[tuple[int, ...], list[int]] = {}
        self._indexed = 0
        self._place = 0  # where the last guess began

    def find(self, tokens: Sequence[int]) -> tuple[int, int]:
        """Return where what may follow begins, and how many of the last tokens say so; or 0, 0.

        Args:
            tokens: the prompt and the text so far; the same ones as in the last call, and more.
        """
        self._index(tokens)
        length = len(tokens)
        for size in _NGRAMS:
            places = self._following.get(tuple(tokens[length - size :])) if size <= length else None
            if places:
                later = bisect_right(places, self._place)
                return places[later] if later < len(places) else places[-1], size
        return 0, 0

    def repeat(self, tokens: Sequence[int], place: int, count: int) -> list[int]:
        """Guess so many tokens: those that begin at a place that `find` gave."""
        self._place, length = place, len(tokens)
        guessed: list[int] = []
        for at in range(place, place + count):
            # A repetition may run into what is guessed.
            guessed.append(tokens[at] if at < length else guessed[at - length])
        return guessed

    def _index(self, tokens: Sequence[int]) -> None:
        for end in range(max(self._indexed, 1), len(tokens)):
            for size in _NGRAMS:
                if size <= end:
                    self._following.setdefault(tuple(tokens[end - size : end]), []).append(end)
        self._indexed = len(tokens)
