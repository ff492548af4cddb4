"""Who guesses the next tokens: a grammar, the text itself, or a draft model."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qingtan.engine.drafting import DraftModel
from qingtan.engine.requests import Generation, GuessSource
from qingtan.engine.speculation import Acceptance, DraftLength, StepTimes, Trials

logger = logging.getLogger(__name__)

# What is believed before anything was measured, as shares of a step: checking a guess, and making
# one with the draft model.
_CHECKING = 0.15
_DRAFTING = 0.3
# A step checks no more tokens of a grammar's than this; they are certain, but not free.
_MOST_CERTAIN = 16


@dataclass(frozen=True)
class GuessCount:
    """For monitoring.

    Attributes:
        guessed: tokens that were guessed and checked.
        accepted: those of them that came true.
    """

    guessed: int = 0
    accepted: int = 0


class Speculation:
    """Decides who guesses for which generation and how much, and learns what it brings.

    A grammar that leaves no choice goes first. Of what the text repeats, which is free, and the
    draft model that one guesses which has lately brought more.

    Args:
        draft: None to go without; it is closed with this object.

    Attributes:
        counts: the guesses of each source.
    """

    def __init__(self, draft: DraftModel | None = None) -> None:
        self._draft = draft
        self._times = StepTimes()
        self._overall: dict[tuple[GuessSource, int], Acceptance] = {}
        self._trials: Mapping[GuessSource, Trials] = {"lookup": Trials(), "draft": Trials()}
        self.counts: dict[GuessSource, GuessCount] = dict.fromkeys(
            ("grammar", "lookup", "draft"), GuessCount()
        )

    def guess(self, generations: Sequence[Generation]) -> None:
        """Set the drafts of generations, all of which the next step goes on with."""
        checking, drafting = self._costs(len(generations))
        asks = []
        for generation in generations:
            generation.drafts = []
            if generation.room < 2:
                continue
            generation.drafts = self._certain(generation)
            if not generation.drafts and (count := self._uncertain(generation, checking, drafting)):
                asks.append((generation, count))
        if self._draft is None or not asks:
            return
        try:
            proposed = self._draft.propose(asks)
        except Exception:
            logger.exception("the draft model failed; the model goes on without it")
            self.close()
            return
        for (generation, _), tokens in zip(asks, proposed, strict=True):
            generation.drafts, generation.source = tokens, "draft"
            generation.length = self._length(generation, "draft")

    def observe(self, generation: Generation, guessed: int, accepted: int) -> None:
        """Learn how many of a generation's drafts were checked, and how many came true."""
        source = generation.source
        if not guessed:
            return
        count = self.counts[source]
        self.counts[source] = GuessCount(count.guessed + guessed, count.accepted + accepted)
        if generation.length is not None:
            generation.length.observe(guessed, accepted)

    def observe_step(self, rows: int, seconds: float) -> None:
        """Learn what a step of the model took that computed so many tokens, each with logits."""
        self._times.observe(rows, seconds)
        for trials in self._trials.values():
            trials.earn(seconds)

    def forget(self, generation: Generation) -> None:
        """Free what a generation holds."""
        if self._draft is not None:
            self._draft.forget(generation)

    def close(self) -> None:
        """Free the draft model."""
        draft, self._draft = self._draft, None
        if draft is not None:
            draft.close()

    def _costs(self, streams: int) -> tuple[float, float]:
        """Return what a guess of every stream adds to a step: of the text, and of the draft model.

        As shares of a step without guesses; all streams wait for what any of them adds.
        """
        step = self._times.seconds(streams)
        checking = self._times.row * streams / step if step else _CHECKING
        if self._draft is None or not self._draft.times.known or not step:
            return checking, checking + _DRAFTING
        return checking, checking + self._draft.times.seconds(streams) / step

    def _certain(self, generation: Generation) -> list[int]:
        """Return the tokens that a grammar leaves no choice about."""
        if generation.grammar is None:
            return []
        generation.source, generation.length = "grammar", None
        return generation.grammar.forced()[: min(generation.room - 1, _MOST_CERTAIN)]

    def _uncertain(self, generation: Generation, checking: float, drafting: float) -> int:
        """Set drafts that the text repeats, or return how many the draft model shall make."""
        begun = len(generation.tokens) > generation.prompt_tokens
        if self._draft is None or not begun:
            generation.drafts = self._repeated(generation, checking, 1.0)
            return 0
        worth = self._length(generation, "draft").worth(drafting)
        generation.drafts = self._repeated(generation, checking, worth.gain)
        if generation.drafts:
            return 0
        if not worth.tokens:
            needed = self._draft.times.seconds(self._draft.unread(generation)) + self._times.row
            return int(self._trials["draft"].afford(needed))
        return min(worth.tokens, generation.room - 1)

    def _repeated(self, generation: Generation, cost: float, least: float) -> list[int]:
        """Return what the text so far may go on with, where that gains at least so much."""
        if generation.lookup is None:
            return []
        place, size = generation.lookup.find(generation.tokens)
        if not size:
            return []
        length = self._length(generation, "lookup", size)
        worth = length.worth(cost)
        if worth.gain < least:
            return []
        count = min(max(worth.tokens, 1), generation.room - 1)
        drafts = _allowed(generation, generation.lookup.repeat(generation.tokens, place, count))
        if drafts and not worth.tokens and not self._trials["lookup"].afford(self._times.row):
            return []
        generation.source, generation.length = "lookup", length
        return drafts

    def _length(self, generation: Generation, source: GuessSource, size: int = 0) -> DraftLength:
        """Return how much a source should guess that goes by so many last tokens, or by all."""
        key = source, size
        length = generation.lengths.get(key)
        if length is None:
            overall = self._overall.setdefault(key, Acceptance())
            length = generation.lengths[key] = DraftLength(overall)
        return length


def _allowed(generation: Generation, tokens: list[int]) -> list[int]:
    """Return the first tokens, up to one that ends the text or that the grammar does not allow."""
    stops = generation.stop_ids
    end = next((i for i, token in enumerate(tokens) if token in stops), len(tokens))
    tokens = tokens[:end]
    if generation.grammar is None or not tokens:
        return tokens
    grammar = generation.grammar.fork()
    for i, token in enumerate(tokens):
        try:
            grammar.accept([token])
        except ValueError:
            return tokens[:i]
    return tokens
