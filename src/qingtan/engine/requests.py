"""What the engine is asked for: a text, the likelihood of one, or a vector for one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qingtan import native
from qingtan.engine.events import (
    Cancelled,
    Delta,
    Encoded,
    Event,
    Failed,
    Finished,
    OnEvent,
    Reason,
    Scored,
    TokenLogprob,
    Usage,
)
from qingtan.engine.grammar import GrammarState
from qingtan.engine.runner import Chunk
from qingtan.engine.sampling import SamplingParams
from qingtan.engine.scheduler import Request
from qingtan.engine.speculation import DraftLength, PromptLookup
from qingtan.engine.text import TextStream

GuessSource = Literal["grammar", "lookup", "draft"]
"""Who guessed tokens: the grammar that leaves no choice, the text so far, or the draft model."""


@dataclass(frozen=True)
class Terms:
    """For whom a request is computed, and how; see `Request`.

    Attributes:
        answer: the most tokens that it generates.
    """

    adapter: str | None = None
    prefix: int = 0
    key: str = ""
    priority: int = 0
    answer: int = 0


class Work(Request):
    """A request of the engine. The last of its events is its end.

    Attributes:
        on_event: called with each event, on the engine's thread.
    """

    def __init__(self, tokens: Sequence[int], on_event: OnEvent, terms: Terms) -> None:
        super().__init__(
            list(tokens),
            terms.adapter,
            prefix=terms.prefix,
            key=terms.key,
            priority=terms.priority,
            context=len(tokens) + terms.answer,
        )
        self.on_event = on_event

    def cancel(self) -> None:
        """End it at the next step; from any thread, and as often as you like."""
        self.cancelled = True

    def cancellation(self) -> Event:
        """Return the event that says that it was cancelled."""
        return Failed(Cancelled("the request was cancelled"))


class Generation(Work):
    """One prompt on its way to a text. Its end is a `Finished` or a `Failed`.

    Args:
        params: how its tokens are drawn; with a seed, which is the sampler's.

    Attributes:
        grammar: what the text must keep to.
        lookup: guesses its next tokens; None to go without.
        source: who made its `drafts`.
        lengths: how many tokens each source should guess; a lookup is one for each number of
            tokens that it goes by.
        length: the one of its `drafts`.
        siblings: generations of the same prompt, which begin when it has been read.
        cached: tokens of the prompt that the cache held; None before its first step.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        params: SamplingParams,
        sampler: native.Sampler,
        stop_ids: Sequence[int],
        text: TextStream,
        on_event: OnEvent,
        terms: Terms,
    ) -> None:
        super().__init__(prompt, on_event, terms)
        self.params = params
        self.sampler = sampler
        self.stop_ids = frozenset(stop_ids)
        self.text = text
        self.grammar: GrammarState | None = None
        self.lookup: PromptLookup | None = None
        self.source: GuessSource = "lookup"
        self.lengths: dict[tuple[GuessSource, int], DraftLength] = {}
        self.length: DraftLength | None = None
        self.siblings: list[Generation] = []
        self.cached: int | None = None

    @property
    def usage(self) -> Usage:
        """The tokens so far."""
        return Usage(self.prompt_tokens, len(self.tokens) - self.prompt_tokens, self.cached or 0)

    @property
    def room(self) -> int:
        """How many tokens it may still generate."""
        return self.context - len(self.tokens)

    def cancellation(self) -> Event:
        """See `Work`."""
        return Finished("cancelled", self.usage)

    def fork_sampler(self) -> native.Sampler:
        """Return a sampler that draws what this one's will draw from the same logits."""
        return self.sampler.fork((self.params.seed or 0) % 2**64)

    def extend(
        self, drawn: Sequence[int], logprobs: Sequence[TokenLogprob]
    ) -> tuple[Delta, Reason | None]:
        """Add drawn tokens up to the one that ends the text.

        Args:
            logprobs: of the drawn tokens, or none.

        Returns:
            What they add to the text, and why it ends with them; None where it goes on.
        """
        text, kept = "", 0
        reason: Reason | None = None
        for token in drawn:
            self.tokens.append(token)
            if token in self.stop_ids:
                reason = "stop"
                break
            kept += 1
            text += self.text.feed(token)
            reason = self._reason_to_end(token)
            if reason is not None:
                break
        return Delta(text, tuple(drawn[:kept]), tuple(logprobs[:kept])), reason

    def _reason_to_end(self, token: int) -> Reason | None:
        if self.grammar is not None:
            self.grammar.accept([token])
        if self.text.stopped or (self.grammar is not None and self.grammar.finished):
            return "stop"
        return "length" if self.room < 1 else None

    def logprobs_of(
        self, logits: NDArray[np.float32], drawn: Sequence[int], vocab: int
    ) -> tuple[TokenLogprob, ...]:
        """Return the logprobs of the drawn tokens, where they were asked for.

        Args:
            logits: (at least len(drawn), vocab or more).
        """
        if self.params.logprobs is None:
            return ()
        found = []
        for row, token in zip(logits, drawn, strict=False):
            logprob, ids, values = native.logprobs(row, vocab, token, self.params.logprobs)
            top = tuple(zip(map(int, ids), map(float, values), strict=True))
            found.append(TokenLogprob(token, logprob, top))
        return tuple(found)


class Scoring(Work):
    """Asks how likely the model finds a text. Its end is a `Scored` or a `Failed`.

    Args:
        first: the first token whose logprob is wanted; at least 1, for nothing precedes the first.
    """

    def __init__(self, tokens: Sequence[int], first: int, on_event: OnEvent, terms: Terms) -> None:
        super().__init__(tokens, on_event, terms)
        self.logits_from = first
        self._first = first
        self._logprobs = [0.0] * (len(tokens) - first)

    def receive(self, chunk: Chunk, logits: NDArray[np.float32], vocab: int) -> Event | None:
        """Take a step's logits (chunk.logits, vocab or more); return the end when it is there."""
        end = chunk.start + len(chunk.tokens)
        # By their places: those of a request that was preempted come twice.
        for place, row in enumerate(logits, start=end - chunk.logits + 1):
            if place < len(self.tokens):
                logprob, _, _ = native.logprobs(row, vocab, self.tokens[place], 0)
                self._logprobs[place - self._first] = logprob
        done = end >= len(self.tokens)
        return Scored(tuple(self._logprobs)) if done else None


class Encoding(Work):
    """Asks for a vector: the mean of the last hidden states. Its end is `Encoded` or `Failed`."""

    def __init__(self, tokens: Sequence[int], on_event: OnEvent, terms: Terms) -> None:
        super().__init__(tokens, on_event, terms)
        self.wants_hidden = True
        self._sum: NDArray[np.float64] | float = 0.0

    def receive(self, chunk: Chunk, hidden: NDArray[np.float32]) -> Event | None:
        """Take a step's sum of hidden states (hidden_size,); return the end when it is there."""
        # From the start again where it was preempted.
        before = self._sum if chunk.start else 0.0
        self._sum = before + hidden.astype(np.float64)
        if chunk.start + len(chunk.tokens) < len(self.tokens):
            return None
        return Encoded((self._sum / len(self.tokens)).astype(np.float32))
