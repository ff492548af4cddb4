import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from qingtan.errors import UserError

from .simulated import PREFIXES, VOCABULARY, Job, World


class AnyTraffic(RuleBasedStateMachine):
    """Arrivals, cancellations, forks and steps of all sizes on caches of all sizes."""

    @initialize(
        blocks=st.integers(8, 40),
        block_tokens=st.integers(1, 6),
        max_running=st.integers(1, 5),
        step_tokens=st.integers(1, 40),
    )
    def start(self, blocks: int, block_tokens: int, **limits: int) -> None:
        self.world = World(blocks, block_tokens, **limits)
        self.jobs: list[Job] = []

    @rule(
        stem=st.integers(0, 30),
        tail=st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=8),
        adapter=st.sampled_from([None, None, "a", "b"]),
        key=st.sampled_from("xyz"),
        priority=st.sampled_from([0, 0, 0, 1]),
        limit=st.integers(1, 25),
        kind=st.sampled_from(["text", "text", "text", "hidden", "scores"]),
        scored=st.integers(0, 40),
    )
    def arrive(self, stem: int, tail: list[int], limit: int, kind: str, scored: int, **options):
        prompt = [i * i % VOCABULARY for i in range(stem)] + tail
        if kind == "hidden":
            options["wants_hidden"], limit = True, 1
        elif kind == "scores":
            options["logits_from"] = min(scored, len(prompt))
        longest = self.world.scheduler.longest(PREFIXES[options["adapter"]])
        if len(prompt) + limit > longest:
            with pytest.raises(UserError, match=f"room for {longest}"):
                self.world.add(prompt, limit, **options)
        else:
            self.jobs.append(self.world.add(prompt, limit, **options))

    @rule(budget=st.none() | st.integers(1, 50), drafts=st.integers(0, 4), right=st.integers(0, 4))
    def step(self, budget: int | None, drafts: int, right: int) -> None:
        self.world.step(budget, drafts, right)

    @precondition(lambda self: self.jobs)
    @rule(number=st.integers(0, 100))
    def cancel(self, number: int) -> None:
        job = self.jobs.pop(number % len(self.jobs))
        job.cancelled = True
        expected = [] if job in self.world.finished else [job]
        assert self.world.scheduler.cancelled() == expected
        for gone in expected:
            self.world.scheduler.remove(gone)

    @precondition(lambda self: any(job.is_flowing and job.blocks for job in self.jobs))
    @rule(number=st.integers(0, 100), token=st.integers(0, VOCABULARY - 1), limit=st.integers(1, 9))
    def fork(self, number: int, token: int, limit: int) -> None:
        able = [job for job in self.jobs if job.is_flowing and job.blocks]
        job = able[number % len(able)]
        tokens = [*job.tokens[: job.computed], token]
        limit = min(limit, self.world.scheduler.longest(job.prefix) - len(tokens))
        if limit < 1:
            return
        child = Job(tokens, limit, adapter=job.adapter, prefix=job.prefix, key=job.key)
        runs = self.world.scheduler.fork(job, child)
        assert runs == bool(child.blocks)
        self.jobs.append(child)

    @invariant()
    def blocks_add_up(self) -> None:
        if hasattr(self, "world"):
            self.world.check_blocks()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        # Whoever matters most gets on by a token or by 16 tokens of prompts with each step.
        self.world.run(20 + 4 * sum(job.context for job in self.jobs))
        assert set(self.world.finished) >= set(self.jobs)
        stats = self.world.scheduler.stats
        assert stats.used == 0
        assert stats.prefix_found <= stats.prefix_asked


TestAnyTraffic = AnyTraffic.TestCase
TestAnyTraffic.settings = settings(max_examples=40, stateful_step_count=50)
