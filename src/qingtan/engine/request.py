"""A request on its way through the scheduler."""

from qingtan.engine.kv_cache import CachedSequence
from qingtan.engine.runner import Chunk


class Request(CachedSequence):
    """A sequence of tokens on its way through the scheduler.

    One that is preempted computes its tokens again, so that sums of hidden states begin anew with
    the chunk that starts at 0, and logits of the same token may come twice.

    Args:
        tokens: the prompt, and after it what was generated. The scheduler reads the list itself.
        adapter: which adapter of the runner computes it; None for the base model.
        prefix: places of the cache that the adapter takes before the tokens.
        key: whose it is; the keys are served alike.
        priority: lower numbers go first.
        context: the most tokens that it will ever have; by default no more than now.
        wants_hidden: whether the sum of its tokens' hidden states is wanted.
        logits_from: the first token that is to be scored. The logits wanted are those after the
            token before it and after all later ones, the last included. None for only the last.

    Attributes:
        drafts: tokens guessed to follow, set before `plan`, which cuts them to those that it lets
            be computed. Only what `is_flowing` has any. Their keys and values count only when
            they are committed.
        cancelled: set it from any thread; the engine then takes the request out.
        arrival: its place in the order of arrival; a fork stands right behind what it comes from.
        charged: how many of its tokens its key has paid for.
    """

    def __init__(
        self,
        tokens: list[int],
        adapter: str | None = None,
        *,
        prefix: int = 0,
        key: str = "",
        priority: int = 0,
        context: int | None = None,
        wants_hidden: bool = False,
        logits_from: int | None = None,
    ) -> None:
        super().__init__(tokens, adapter, prefix)
        self.key = key
        self.priority = priority
        self.context = len(tokens) if context is None else context
        self.wants_hidden = wants_hidden
        self.logits_from = logits_from
        self.prompt_tokens = len(tokens)
        self.drafts: list[int] = []
        self.cancelled = False
        self.arrival = (0, 0)
        self.charged = 0

    @property
    def pending(self) -> int:
        """Tokens still to compute; when none are, the next token can be sampled."""
        return len(self.tokens) - self.computed

    @property
    def is_flowing(self) -> bool:
        """Whether one more token completes what the cache holds: it generates, or is about to."""
        return self.computed > 0 and len(self.tokens) - self.computed == 1

    @property
    def first_logits(self) -> int:
        """The first token after which logits are wanted."""
        last = len(self.tokens) - 1
        return last if self.logits_from is None else max(0, min(self.logits_from - 1, last))

    @property
    def reusable(self) -> int:
        """How many leading tokens may be found in the cache, because nothing of them is wanted."""
        return 0 if self.wants_hidden else self.first_logits

    def take(self, size: int) -> Chunk:
        """Return the next `size` pending tokens as a part of a step, and behind them the drafts."""
        start = self.computed
        tokens = self.tokens[start : start + size] + self.drafts
        logits = max(0, start + len(tokens) - max(start, self.first_logits))
        # The table goes on growing while the runner may still read this one.
        blocks = self.blocks.copy()
        return Chunk(tokens, start, blocks, logits, self.wants_hidden, self.adapter)
