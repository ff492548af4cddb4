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

    A grammar that leaves no choice goes first, then what the text repeats, which is free, and
    then the draft model.

    Args:
        draft: None to go without; it is closed with this object.

    Attributes:
        counts: the guesses of each source.
    """

    def __init__(self, draft: DraftModel | None = None) -> None:
        self._draft = draft
        self._times = StepTimes()
        self._overall: dict[GuessSource, Acceptance] = {}
        self._trials: Mapping[GuessSource, Trials] = {"lookup": Trials(), "draft": Trials()}
        self.counts: dict[GuessSource, GuessCount] = dict.fromkeys(
            ("grammar", "lookup", "draft"), GuessCount()
        )

    def guess(self, generations: Sequence[Generation]) -> None:
        """Set the drafts of generations, all of which the next step goes on with."""
        checking, drafting = self._costs(len(generations))
        asks = []
        for generation in generations:
            generation.drafts = self._certain(generation) or self._looked_up(generation, checking)
            if not generation.drafts and (count := self._worth_drafting(generation, drafting)):
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

    def observe(self, generation: Generation, guessed: int, accepted: int) -> None:
        """Learn how many of a generation's drafts were checked, and how many came true."""
        source = generation.source
        if not guessed:
            return
        count = self.counts[source]
        self.counts[source] = GuessCount(count.guessed + guessed, count.accepted + accepted)
        self._length(generation, source).observe(guessed, accepted)

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
        if generation.grammar is None or generation.room < 2:
            return []
        generation.source = "grammar"
        return generation.grammar.forced()[: min(generation.room - 1, _MOST_CERTAIN)]

    def _looked_up(self, generation: Generation, cost: float) -> list[int]:
        """Return what the text so far may go on with."""
        if generation.lookup is None or generation.room < 2:
            return []
        generation.source = "lookup"
        worth = self._length(generation, "lookup").tokens(cost)
        count = min(max(worth, 1), generation.room - 1)
        tokens = _allowed(generation, generation.lookup.propose(generation.tokens, count))
        if tokens and not worth and not self._trials["lookup"].afford(self._times.row):
            return []
        return tokens

    def _worth_drafting(self, generation: Generation, cost: float) -> int:
        """Return how many tokens the draft model shall guess."""
        begun = len(generation.tokens) > generation.prompt_tokens
        if self._draft is None or generation.room < 2 or not begun:
            return 0
        worth = self._length(generation, "draft").tokens(cost)
        if not worth:
            rows = self._draft.unread(generation)
            needed = self._draft.times.seconds(rows) + self._times.row
            worth = int(self._trials["draft"].afford(needed))
        return min(worth, generation.room - 1)

    def _length(self, generation: Generation, source: GuessSource) -> DraftLength:
        length = generation.lengths.get(source)
        if length is None:
            overall = self._overall.setdefault(source, Acceptance())
            length = generation.lengths[source] = DraftLength(overall)
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
