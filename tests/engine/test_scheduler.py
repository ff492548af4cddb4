from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.engine.scheduler import QueueFull, Request, Scheduler


@dataclass
class Plan:
    """A request of the simulation: when it comes, how long it is, when it is cancelled."""

    arrival: int
    prompt: int
    output: int
    cancelled_after: int | None


class Simulated(Request):
    def __init__(self, number: int, plan: Plan) -> None:
        super().__init__(list(range(plan.prompt)))
        self.number, self.plan = number, plan
        self.generated = 0
        self.first_seen: int | None = None


PLANS = st.lists(
    st.builds(
        Plan,
        arrival=st.integers(0, 20),
        prompt=st.integers(1, 40),
        output=st.integers(1, 10),
        cancelled_after=st.none() | st.integers(0, 30),
    ),
    min_size=1,
    max_size=12,
)


def run(scheduler: Scheduler[Simulated], plans: list[Plan], slots: int) -> list[Simulated]:
    """Let the requests through, check each step, and return them."""
    requests = [Simulated(i, plan) for i, plan in enumerate(plans)]
    ended: set[int] = set()
    for step in range(1000):
        for request in requests:
            if request.plan.arrival == step:
                scheduler.add(request)
            if request.plan.cancelled_after == step:
                request.cancelled = True
        for request in scheduler.cancelled():
            scheduler.remove(request)
            ended.add(request.number)
        chunks = scheduler.plan()
        check_step(scheduler, chunks, slots)
        for request, chunk in chunks:
            assert not request.cancelled
            assert chunk.tokens == request.tokens[chunk.start : chunk.start + len(chunk.tokens)]
            request.first_seen = step if request.first_seen is None else request.first_seen
            request.seen += len(chunk.tokens)
            if request.pending == 0:
                request.tokens.append(-1)
                request.generated += 1
                if request.generated == request.plan.output:
                    scheduler.remove(request)
                    ended.add(request.number)
        if len(ended) == len(requests):
            return requests
    pytest.fail("some request never ended")


def check_step(scheduler: Scheduler[Simulated], chunks: list, slots: int) -> None:
    used = [chunk.slot for _, chunk in chunks]
    assert len(set(used)) == len(used)
    assert all(0 <= slot < slots for slot in used)
    assert sum(len(chunk.tokens) for _, chunk in chunks) <= scheduler.step_tokens
    held = [request.slot for request in scheduler.running]
    assert len(set(held)) == len(held) <= slots
    assert all(request.slot is None for request in scheduler.waiting)
    # Whoever generates has a part in each step.
    planned = {request.number for request, _ in chunks}
    assert all(r.number in planned for r in scheduler.running if r.generated)
    # Nobody waits beside a free slot, and no step with work to do is empty.
    assert not scheduler.waiting or len(held) == slots
    assert bool(chunks) == bool(scheduler.running)


@settings(deadline=None, max_examples=200)
@given(PLANS, st.integers(1, 4), st.integers(1, 30))
def test_everyone_is_served_within_the_budget(plans: list[Plan], slots: int, spare: int) -> None:
    scheduler = Scheduler[Simulated](slots, slots + spare, max_waiting=100)
    requests = run(scheduler, plans, slots)
    assert len(scheduler) == 0
    for request in requests:
        if request.plan.cancelled_after is None:
            assert request.generated == request.plan.output
    # First come, first served: of two that came one after the other, the first began no later.
    begun = [r for r in requests if r.plan.cancelled_after is None]
    for first in begun:
        for second in begun:
            if first.plan.arrival < second.plan.arrival:
                assert first.first_seen <= second.first_seen


def test_a_long_prompt_does_not_stop_the_others() -> None:
    scheduler = Scheduler[Simulated](2, 16, 10)
    talker, reader = Simulated(0, Plan(0, 1, 100, None)), Simulated(1, Plan(0, 100, 1, None))
    scheduler.add(talker)
    scheduler.add(reader)
    steps = 0
    while reader.pending:
        steps += 1
        for request, chunk in scheduler.plan():
            request.seen += len(chunk.tokens)
            if request.pending == 0 and request is talker:
                request.tokens.append(-1)
    assert steps == 7  # 100 tokens, 15 at a time
    assert talker.seen == steps


def test_the_queue_is_bounded() -> None:
    scheduler = Scheduler[Request](1, 2, max_waiting=2)
    for _ in range(3):  # one for the free slot, two that wait
        scheduler.add(Request([1]))
    with pytest.raises(QueueFull):
        scheduler.add(Request([1]))
    scheduler.plan()
    with pytest.raises(QueueFull):
        scheduler.add(Request([1]))
    scheduler.remove(scheduler.running[0])
    scheduler.add(Request([1]))


@pytest.mark.parametrize("wrong", [(0, 10, 1), (4, 4, 1), (4, 8, 0)])
def test_impossible_limits_are_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="slots"):
        Scheduler[Request](*wrong)
