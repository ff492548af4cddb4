"""Continuous batching: what each step computes. Pure logic; the engine holds the lock.

Requests wait in a bounded queue, first come, first served, until a slot is free. A step carries
one token of every sequence that is generating, and fills the rest of its budget with prompts in
the order of arrival, cut where the budget ends: so a long prompt slows the others' streams down by
one bounded step at a time and does not stop them.
"""

import heapq
from collections import deque
from typing import Generic, TypeVar

from qingtan.engine.runner import Chunk


class QueueFull(RuntimeError):  # noqa: N818 - what it says, not that something is broken
    """As many requests wait as may; ask again later."""


class Request:
    """A sequence of tokens on its way through the scheduler.

    Attributes:
        tokens: the prompt, and after it what was generated.
        seen: how many of them the runner has computed.
        slot: its place in the runner's cache; None while it waits, and when it is done.
        adapter: which adapter of the runner computes it; None for the base model.
        cancelled: set it from any thread; the next step leaves the request out.
    """

    def __init__(self, tokens: list[int], adapter: str | None = None) -> None:
        self.tokens = tokens
        self.adapter = adapter
        self.seen = 0
        self.slot: int | None = None
        self.cancelled = False

    @property
    def pending(self) -> int:
        """Tokens still to compute; when none are, the next token can be sampled."""
        return len(self.tokens) - self.seen

    @property
    def is_flowing(self) -> bool:
        """Whether one more token completes what the runner knows: it generates, or is about to."""
        return self.seen > 0 and self.pending == 1


R = TypeVar("R", bound=Request)


class Scheduler(Generic[R]):
    """Decides which tokens of which requests a step computes.

    Args:
        slots: the most sequences that run at once.
        step_tokens: the most tokens of a step; more than `slots`, so that prompts move on even
            while all others generate.
        max_waiting: the most requests that wait for a slot.
    """

    def __init__(self, slots: int, step_tokens: int, max_waiting: int) -> None:
        if slots < 1 or step_tokens <= slots or max_waiting < 1:
            raise ValueError(f"slots {slots}, step_tokens {step_tokens}, max_waiting {max_waiting}")
        self.step_tokens = step_tokens
        self.max_waiting = max_waiting
        self.waiting: deque[R] = deque()
        self.running: list[R] = []
        self._free = list(range(slots))

    def __len__(self) -> int:
        """Requests that wait or run."""
        return len(self.waiting) + len(self.running)

    def add(self, request: R) -> None:
        """Put a request into the queue.

        Raises:
            QueueFull: too many wait already.
        """
        # A free slot takes one from the queue at the next step.
        if len(self.waiting) >= self.max_waiting + len(self._free):
            raise QueueFull(f"{len(self.waiting)} requests are waiting already")
        self.waiting.append(request)

    def plan(self) -> list[tuple[R, Chunk]]:
        """Give free slots to those who wait, and return the next step's chunks."""
        while self.waiting and self._free:
            request = self.waiting.popleft()
            request.slot = heapq.heappop(self._free)
            self.running.append(request)
        budget = self.step_tokens
        step = []
        # Stable: the generating ones first, and within each kind the order of arrival.
        for request in sorted(self.running, key=lambda request: not request.is_flowing):
            size = min(request.pending, budget)
            if size and request.slot is not None:
                tokens = request.tokens[request.seen : request.seen + size]
                step.append((request, Chunk(request.slot, request.seen, tokens, request.adapter)))
                budget -= size
        return step

    def remove(self, request: R) -> int | None:
        """Take a request out, wherever it stands; return the slot that this frees."""
        slot, request.slot = request.slot, None
        if slot is None:
            self.waiting.remove(request)
        else:
            self.running.remove(request)
            heapq.heappush(self._free, slot)
        return slot

    def cancelled(self) -> list[R]:
        """Return the requests in here that were cancelled."""
        return [request for request in (*self.running, *self.waiting) if request.cancelled]
