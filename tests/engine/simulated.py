"""A scheduler with a simulated runner, which keeps what was written into the cache."""

from collections import Counter

import pytest

from qingtan.engine.runner import Chunk
from qingtan.engine.scheduler import MIN_PROMPT_TOKENS, Request, Scheduler

PREFIXES = {None: 0, "a": 5, "b": 8}
VOCABULARY = 3


def follow(state: int, token: int) -> int:
    """The keys and values of a token, which depend on all that stands before it."""
    return hash((state, token))


def before(adapter: str | None) -> int:
    """What a sequence's first token follows: the last place of the adapter's prefix."""
    return hash((PREFIXES[adapter], -1))


def reference(adapter: str | None, tokens: list[int]) -> list[int]:
    """The keys and values of all tokens; the token predicted after each is its remainder."""
    states = [before(adapter)]
    for token in tokens:
        states.append(follow(states[-1], token))
    return states[1:]


class Job(Request):
    """A request that checks what it gets when it ends."""

    def __init__(self, tokens: list[int], limit: int = 1, **options) -> None:
        super().__init__(tokens, context=len(tokens) + limit, **options)
        self.limit = limit
        self.scores: dict[int, int] = {}
        self.hidden = 0

    @property
    def is_done(self) -> bool:
        return len(self.tokens) == self.context

    def check(self) -> None:
        states = reference(self.adapter, self.tokens)
        predicted = [state % VOCABULARY for state in states]
        first = self.prompt_tokens
        assert self.tokens[first:] == predicted[first - 1 : -1]
        if self.logits_from is not None:
            wanted = range(max(0, self.logits_from - 1), first)
            assert {i: self.scores[i] for i in wanted} == {i: predicted[i] for i in wanted}
        if self.wants_hidden:
            assert self.hidden == sum(states[:-1])


class World:
    """A scheduler, with a runner that keeps what is written into each place of its blocks."""

    def __init__(self, blocks: int = 100, block_tokens: int = 4, **options) -> None:
        options = {"max_running": 4, "step_tokens": 64, "max_waiting": 100, **options}
        self.scheduler = Scheduler[Job](blocks, block_tokens, **options)
        self.memory = [[0] * block_tokens for _ in range(blocks)]
        self.size = block_tokens
        self.finished: list[Job] = []
        self.work: Counter[str] = Counter()

    def add(self, *arguments, **options) -> Job:
        options = {"prefix": PREFIXES[options.get("adapter")], **options}
        job = Job(*arguments, **options)
        self.scheduler.add(job)
        return job

    def step(self, budget: int | None = None, drafts: int = 0, right: int = 0) -> dict[Job, Chunk]:
        """Plan, compute and settle a step; generating ones get drafts, some of them right."""
        for job in self.scheduler:
            if job.is_flowing:
                job.drafts = guess(job, drafts, right)
        plan = self.scheduler.plan(budget)
        self.check_budget(plan.chunks, budget)
        for source, target in plan.copies:
            self.memory[target] = list(self.memory[source])
        self.check_writes(plan.chunks)
        for job, chunk in plan.chunks:
            self.settle(job, chunk, self.compute(chunk))
        return dict(plan.chunks)

    def run(self, steps: int) -> None:
        """Until all are done, in no more than so many steps."""
        for _ in range(steps):
            if not len(self.scheduler):
                return
            self.step()
        pytest.fail(f"{len(self.scheduler)} requests are not done after {steps} steps")

    def compute(self, chunk: Chunk) -> list[int]:
        """Write a chunk's states on top of what the memory holds, and return them."""
        prefix = PREFIXES[chunk.adapter]
        if chunk.start == 0:
            for place in range(prefix):
                self.write(chunk, place, hash((prefix, place - prefix)))
        last = prefix + chunk.start - 1
        state = self.memory[chunk.blocks[last // self.size]][last % self.size] if last >= 0 else 0
        states = [before(chunk.adapter) if last < 0 else state]
        for i, token in enumerate(chunk.tokens):
            states.append(follow(states[-1], token))
            self.write(chunk, last + 1 + i, states[-1])
        return states[1:]

    def write(self, chunk: Chunk, place: int, state: int) -> None:
        self.memory[chunk.blocks[place // self.size]][place % self.size] = state

    def settle(self, job: Job, chunk: Chunk, states: list[int]) -> None:
        """What the engine does: verify the drafts, append the next token, end what is done."""
        predicted = [state % VOCABULARY for state in states]
        size = len(chunk.tokens) - len(job.drafts)
        computed = chunk.start + size
        new: list[int] = []
        for index in range(len(states) - chunk.logits, len(states)):
            job.scores[chunk.start + index] = predicted[index]
        if chunk.hidden:
            job.hidden = sum(states) + (job.hidden if chunk.start else 0)
        if computed == len(job.tokens):
            assert chunk.logits >= 1 + len(job.drafts)
            new = predicted[size - 1 : size]
            while len(new) <= len(job.drafts) and job.drafts[len(new) - 1] == new[-1]:
                new.append(predicted[size - 1 + len(new)])
            new = new[: job.context - len(job.tokens)]
        self.work[job.key] += max(0, computed - max(chunk.start, job.prompt_tokens)) + size
        job.tokens += new
        self.scheduler.commit(job, computed + max(0, len(new) - 1))
        if job.is_done:
            job.check()
            self.finished.append(job)
            self.scheduler.remove(job)

    def check_budget(self, chunks: list[tuple[Job, Chunk]], budget: int | None) -> None:
        budget = self.scheduler.step_tokens if budget is None else budget
        planned = dict(chunks)
        running = [job for job in self.scheduler if job.blocks]
        flowing = [job for job in running if job.is_flowing]
        assert all(job in planned for job in flowing)  # nobody's stream stalls
        total = sum(len(chunk.tokens) for chunk in planned.values())
        least = MIN_PROMPT_TOKENS if len(running) > len(flowing) else 0
        assert total <= max(budget, len(flowing) + least)
        read = [job for job in planned if not job.is_flowing]
        assert bool(read) == (len(running) > len(flowing))
        assert bool(planned) == bool(len(self.scheduler))

    def check_writes(self, chunks: list[tuple[Job, Chunk]]) -> None:
        """What was computed stands where it should, and nobody writes into what others hold."""
        held = Counter(block for job in self.scheduler for block in job.blocks)
        for job, chunk in chunks:
            prefix, size = PREFIXES[job.adapter], len(chunk.tokens)
            assert list(chunk.tokens) == (job.tokens + job.drafts)[chunk.start : chunk.start + size]
            for i, state in enumerate(reference(job.adapter, job.tokens[: chunk.start])):
                place = prefix + i
                assert self.memory[chunk.blocks[place // self.size]][place % self.size] == state
            first = prefix + chunk.start if chunk.start else 0
            written = range(first // self.size, (prefix + chunk.start + size - 1) // self.size + 1)
            assert all(held[chunk.blocks[index]] == 1 for index in written)

    def check_blocks(self) -> None:
        """No block is lost, and each has as many holders as it is in tables."""
        held = Counter(block for job in self.scheduler for block in job.blocks)
        pool, stats = self.scheduler.cache.pool, self.scheduler.stats
        assert [pool.holders(block) for block in range(len(pool))] == [
            held[block] for block in range(len(pool))
        ]
        assert stats.used == len(held) == len(pool) - pool.available
        assert stats.cached <= pool.available
        assert self.scheduler.running == sum(bool(job.blocks) for job in self.scheduler)
        assert self.scheduler.running <= self.scheduler.max_running


def guess(job: Job, count: int, right: int) -> list[int]:
    """Drafts of which so many are right and the next one is wrong."""
    state = reference(job.adapter, job.tokens)[-1]
    drafts = []
    for index in range(min(count, job.context - len(job.tokens) - 1)):
        token = (state + (index >= right)) % VOCABULARY
        drafts.append(token)
        state = follow(state, token)
    return drafts
