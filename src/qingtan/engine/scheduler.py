"""Continuous batching: what each step computes. Pure logic; the engine holds the lock.

A step carries one token of every sequence that generates, with the drafts that are to be verified,
and fills the rest of its budget with prompts, cut where the budget ends: so a long prompt slows the
others' streams down by one bounded step at a time and does not stop them.

Requests start in the order of a `FairQueue`, when there are blocks for all their tokens. When the
cache is full all the same, the running request that matters least gives its blocks back and waits
again.
"""

from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

from qingtan.engine.fair_queue import FairQueue, rank
from qingtan.engine.kv_cache import KVCache
from qingtan.engine.request import Request
from qingtan.engine.runner import Chunk
from qingtan.errors import UserError
from qingtan.i18n import tr

__all__ = ["MIN_PROMPT_TOKENS", "Plan", "QueueFull", "Request", "Scheduler", "SchedulerStats"]

MIN_PROMPT_TOKENS = 16
"""Tokens of prompts that a step reads even where generating ones use up its budget."""

_PROMPT_WEIGHT = 1
_GENERATED_WEIGHT = 2


class QueueFull(RuntimeError):  # noqa: N818 - what it says, not that something is broken
    """As many requests wait as may; ask again later."""


R = TypeVar("R", bound=Request)


@dataclass(frozen=True)
class Plan(Generic[R]):
    """A step.

    Attributes:
        chunks: who has which part in it; generating ones first.
        copies: blocks (from, to) to copy before, in this order.
    """

    chunks: list[tuple[R, Chunk]]
    copies: list[tuple[int, int]]


@dataclass(frozen=True)
class SchedulerStats:
    """For monitoring.

    Attributes:
        blocks: all blocks of the cache.
        used: those held by running requests.
        cached: those held by nobody that may still be found.
        prefix_asked: tokens, since the start, that might have been found in the cache.
        prefix_found: those of them that were, and so were not computed.
        preemptions: how often a running request had to give its blocks back.
    """

    blocks: int
    used: int
    cached: int
    prefix_asked: int
    prefix_found: int
    preemptions: int


class Scheduler(Generic[R]):
    """Decides which tokens of which requests a step computes, and where in the cache.

    Args:
        blocks: how many blocks the cache has.
        block_tokens: how many tokens a block holds.
        max_running: the most requests that hold blocks at once.
        step_tokens: the most tokens of a step, but for `MIN_PROMPT_TOKENS` and for one token of
            each generating request.
        max_waiting: the most requests that wait.

    Raises:
        ValueError: one of them is not positive.
    """

    def __init__(
        self,
        blocks: int,
        block_tokens: int,
        *,
        max_running: int,
        step_tokens: int,
        max_waiting: int,
    ) -> None:
        if max_running < 1 or step_tokens < 1 or max_waiting < 1:
            limits = f"max_running {max_running}, step_tokens {step_tokens}"
            raise ValueError(f"{limits}, max_waiting {max_waiting}: all must be positive")
        self.cache = KVCache(blocks, block_tokens)
        self.max_running = max_running
        self.step_tokens = step_tokens
        self.max_waiting = max_waiting
        self._running: list[R] = []  # those that matter most first
        self._waiting = FairQueue[R]()
        self._arrivals = count(1)
        self._asked = self._found = self._preemptions = 0

    def __len__(self) -> int:
        """Requests that wait or run."""
        return len(self._running) + len(self._waiting)

    def __iter__(self) -> Iterator[R]:
        """All requests, the running ones first."""
        yield from self._running
        yield from self._waiting

    @property
    def running(self) -> int:
        """Requests that hold blocks."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests that wait for a start."""
        return len(self._waiting)

    @property
    def served(self) -> Mapping[str, int]:
        """Virtual token counters of the keys: prompts' tokens count once, generated ones twice."""
        return self._waiting.counters

    @property
    def stats(self) -> SchedulerStats:
        """Counts for monitoring."""
        pool = self.cache.pool
        used = len(pool) - pool.available
        return SchedulerStats(
            len(pool), used, pool.cached, self._asked, self._found, self._preemptions
        )

    def longest(self, prefix: int = 0) -> int:
        """Return the greatest `context` for which the cache has room behind such a prefix."""
        return self.cache.places - prefix

    def cancelled(self) -> list[R]:
        """Return the requests in here that were cancelled."""
        return [request for request in self if request.cancelled]

    def add(self, request: R) -> None:
        """Put a request into the queue.

        Raises:
            UserError: its context could never fit in the cache.
            QueueFull: too many wait already.
        """
        self._check(request)
        if self.waiting >= self.max_waiting:
            self._admit()  # whoever can start does not wait
        if (waiting := self.waiting) >= self.max_waiting:
            raise QueueFull(
                tr(f"{waiting} requests are waiting already", f"已有 {waiting} 个请求在等待")
            )
        number = next(self._arrivals)
        request.arrival = (number, number)
        self._waiting.lift(request.key)
        self._waiting.put(request)

    def fork(self, request: R, child: R) -> bool:
        """Let a child go on from a running request that has read its prompt.

        It shares what is computed; the block in which they part is copied when one of them writes.

        Args:
            child: not added. It has the request's computed tokens and at most one more.

        Returns:
            Whether it runs already. Otherwise it waits, however many do, and begins anew with what
            the cache still holds.

        Raises:
            ValueError: the child does not go on from there.
            UserError: its context could never fit in the cache.
        """
        self._check(child)
        _check_fork(request, child)
        child.arrival = (request.arrival[0], next(self._arrivals))
        self._waiting.lift(child.key)
        running = len(self._running)
        if running >= self.max_running or running >= self.cache.pool.available:
            self._waiting.put(child)
            return False
        self.cache.fork(request, child)
        child.charged = child.computed
        insort(self._running, child, key=rank)
        return True

    def plan(self, step_tokens: int | None = None) -> Plan[R]:
        """Start who can start, and return the next step; without chunks when nobody is here.

        Args:
            step_tokens: this step's budget, by default the scheduler's.

        Raises:
            ValueError: a request has more tokens than its `context`.
        """
        self._admit()
        copies: list[tuple[int, int]] = []
        flowing = self._secure_flowing(copies)
        reading = [r for r in self._running if r.pending and not r.is_flowing]
        reserved = MIN_PROMPT_TOKENS if reading else 0
        budget = (self.step_tokens if step_tokens is None else step_tokens) - len(flowing)
        chunks = []
        for request in flowing:
            if request.drafts:
                self._cut_drafts(request, budget - reserved, copies)
                budget -= len(request.drafts)
            chunks.append((request, request.take(1)))
        chunks += self._read(reading, max(budget, reserved))
        return Plan(chunks, copies)

    def commit(self, request: R, computed: int) -> None:
        """Note after a step how many tokens of a running request are now in the cache.

        Args:
            computed: all of them since its beginning: where the chunk started, its tokens, and of
                its drafts those that were accepted and appended to `tokens`.

        Raises:
            ValueError: the cache cannot hold so many of its tokens.
        """
        room = len(request.blocks) * self.cache.block_tokens - request.prefix
        if not request.computed <= computed <= min(len(request.tokens), room):
            raise ValueError(
                f"computed {computed}: the request has {len(request.tokens)} tokens, of which "
                f"{request.computed} were computed, and room for {room}"
            )
        self.cache.commit(request, computed)
        if computed > request.charged:
            self._charge(request, computed)

    def remove(self, request: R) -> None:
        """Take a request out, wherever it stands; what it computed may still be found.

        Raises:
            ValueError: it is not in here.
        """
        if request.blocks:
            self._running.remove(request)
            self.cache.release(request)
        else:
            self._waiting.remove(request)
        self._waiting.forget(request.key for request in self)

    def _check(self, request: R) -> None:
        if not request.tokens or request.blocks:
            raise ValueError("a new request has tokens and holds no blocks")
        context, longest = max(request.context, len(request.tokens)), self.longest(request.prefix)
        if context > longest:
            raise UserError(
                tr(
                    f"the request may grow to {context} tokens, and the cache has room for "
                    f"{longest}: shorten the prompt, ask for fewer tokens or enlarge the cache",
                    f"请求最多可达 {context} 个词元，而缓存只容得下 {longest} 个："
                    f"请缩短提示、减少生成的词元数，或加大缓存",
                )
            )

    def _admit(self) -> None:
        """Start those who wait, in their order, until one does not fit: nobody overtakes it."""
        while self._waiting and len(self._running) < self.max_running:
            request = self._waiting.first(self._owed())
            # A block for each that runs: it would be preempted by them at once.
            if not self.cache.begin(request, request.reusable, headroom=len(self._running)):
                return
            self._waiting.remove(request)
            self._start(request)

    def _start(self, request: R) -> None:
        if not request.charged:  # not one that was preempted, and finds its own
            self._asked += request.reusable
            self._found += request.computed
        request.charged = max(request.charged, request.computed)  # what is found is free
        insort(self._running, request, key=rank)

    def _owed(self) -> dict[str, int]:
        """Return how many tokens of each key's running requests are to be computed and paid."""
        owed: dict[str, int] = {}
        for request in self._running:
            unpaid = len(request.tokens) - request.charged
            owed[request.key] = owed.get(request.key, 0) + unpaid
        return owed

    def _secure_flowing(self, copies: list[tuple[int, int]]) -> list[R]:
        """Get blocks for the next token of all that generate; return those that got them."""
        flowing = []
        for request in [r for r in self._running if r.is_flowing]:
            tokens = len(request.tokens)
            if tokens > request.context:
                raise ValueError(
                    f"a request has {tokens} tokens, and its context {request.context}"
                )
            # The last one that runs is never one that got its blocks already, as those come first.
            while request.blocks and not self.cache.can_extend(request, tokens):
                self._preempt(self._running[-1])
            if request.blocks:
                self.cache.extend(request, tokens, copies)
                flowing.append(request)
        return flowing

    def _cut_drafts(self, request: R, budget: int, copies: list[tuple[int, int]]) -> None:
        """Keep the drafts for which there are a budget and blocks, and get the blocks."""
        blocks = len(request.blocks) + self.cache.pool.available
        room = blocks * self.cache.block_tokens - request.prefix - len(request.tokens)
        request.drafts = request.drafts[: max(0, min(budget, room))]
        self.cache.extend(request, len(request.tokens) + len(request.drafts), copies)

    def _read(self, reading: list[R], budget: int) -> list[tuple[R, Chunk]]:
        """Spend a budget on prompts, whose blocks they have."""
        chunks = []
        for request in sorted(reading, key=self._waiting.turn):
            request.drafts = []
            if budget:
                self._catch_up(request)
            if size := min(request.pending, budget):
                chunks.append((request, request.take(size)))
                budget -= size
        return chunks

    def _catch_up(self, request: R) -> None:
        """Find what others have read while it waited for its turn: many may begin alike at once."""
        self._found += self.cache.catch_up(request, request.reusable)
        request.charged = max(request.charged, request.computed)

    def _preempt(self, request: R) -> None:
        self._running.remove(request)
        self.cache.release(request)
        request.drafts = []
        self._preemptions += 1
        self._waiting.put(request)

    def _charge(self, request: R, tokens: int) -> None:
        """Let a request's key pay for its tokens up to so many, for each only once."""
        read = max(0, min(tokens, request.prompt_tokens) - request.charged)
        generated = tokens - request.charged - read
        cost = _PROMPT_WEIGHT * read + _GENERATED_WEIGHT * generated
        self._waiting.charge(request.key, cost)
        request.charged = tokens


def _check_fork(request: Request, child: Request) -> None:
    shared = request.computed
    if not request.blocks or not shared or request.pending > 1:
        raise ValueError("only a running request that has read its prompt can be forked")
    if (request.adapter, request.prefix) != (child.adapter, child.prefix):
        raise ValueError("a fork keeps the adapter and its prefix")
    if len(child.tokens) - shared not in (0, 1) or child.tokens[:shared] != request.tokens[:shared]:
        raise ValueError(f"a fork has the {shared} computed tokens and at most one more")
