"""The engine's thread: plans steps, computes them, and tells of what they gave."""

import logging
import threading
import time
from collections.abc import Sequence

import numpy as np

from qingtan import native
from qingtan.engine.budget import StepBudget
from qingtan.engine.drafting import DraftModel
from qingtan.engine.drawing import Logits, Part, draw, hand_out, mask_rows
from qingtan.engine.events import Delta, EngineClosed, Event, Failed, Finished, Reason
from qingtan.engine.guessing import Speculation
from qingtan.engine.requests import Encoding, Generation, Scoring, Work
from qingtan.engine.runner import Chunk, Runner, StepResult
from qingtan.engine.scheduler import Plan, QueueFull, Scheduler

logger = logging.getLogger(__name__)


class Loop:
    """Computes requests until it is closed, on a thread of its own.

    Args:
        runner: computes the steps; it is closed with the loop.
        scheduler: decides what a step computes. Nobody else may touch it from now on.
        vocab_size: tokens that may be sampled; the rows of logits may be longer.
        draft: guesses tokens for the runner to check; it is closed with the loop.

    Attributes:
        speculation: makes the guesses, and counts them.
    """

    def __init__(
        self,
        runner: Runner,
        scheduler: Scheduler[Work],
        vocab_size: int,
        draft: DraftModel | None = None,
    ) -> None:
        self._runner = runner
        self._scheduler = scheduler
        self._vocab = vocab_size
        self._budget = StepBudget(scheduler.step_tokens)
        self.speculation = Speculation(draft)
        self._pool = native.Pool(min(4, native.usable_processors()))
        self._wake = threading.Condition()
        self._closed = False
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="qingtan-engine", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """Requests that are being computed."""
        return self._scheduler.running

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return self._scheduler.waiting

    @property
    def closed(self) -> bool:
        """Whether it takes no more requests."""
        return self._closed

    def add(self, work: Work) -> None:
        """Queue a request.

        Raises:
            QueueFull, UserError: see `Scheduler.add`.
            EngineClosed: the loop was closed.
        """
        with self._wake:
            if self._closed:
                raise EngineClosed("the engine is closed")
            self._scheduler.add(work)
            self._idle.clear()
            self._wake.notify()

    def wait_idle(self, timeout: float | None = None) -> bool:
        """See `Engine.wait_idle`."""
        return self._idle.wait(timeout)

    def close(self, timeout: float | None = None) -> None:
        """See `Engine.close`."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while (plan := self._next()) is not None:
                self._compute(plan)
        finally:
            with self._wake:
                self._closed = True
                left = list(self._scheduler)
            for work in left:
                self._end(work, Failed(EngineClosed("the engine was closed")))
            self._runner.close()
            self.speculation.close()
            self._idle.set()

    def _next(self) -> Plan[Work] | None:
        """Wait for work and plan a step of it; None when the loop is closed."""
        with self._wake:
            while not self._closed and not len(self._scheduler):
                self._idle.set()
                self._wake.wait()
            if self._closed:
                return None
            cancelled = self._scheduler.cancelled()
        for work in cancelled:
            self._end(work, work.cancellation())
        with self._wake:
            flowing = [w for w in self._scheduler if isinstance(w, Generation) and w.is_flowing]
        # The draft model computes meanwhile, and nobody shall have to wait for it to ask.
        self._guess(flowing)
        with self._wake:
            return self._scheduler.plan(self._budget.tokens(len(flowing)))

    def _guess(self, generations: Sequence[Generation]) -> None:
        try:
            self.speculation.guess(generations)
        except Exception:
            logger.exception("no tokens could be guessed")
            for generation in generations:
                generation.drafts = []

    def _compute(self, plan: Plan[Work]) -> None:
        if not plan.chunks:
            return
        started = time.perf_counter()
        parts = [Part(work, chunk) for work, chunk in plan.chunks]
        drawing = [part for part in parts if part.draws]
        try:
            masks = mask_rows(drawing, self._vocab)
            result = self._forward(parts, plan.copies)
        except Exception as error:
            logger.exception("a step of %d sequences failed", len(parts))
            for part in parts:
                self._end(part.work, Failed(error))
            return
        hand_out(parts, result)
        if drawing:
            alone = sum(part.chunk.logits for part in drawing) == len(result.logits)
            own = result.logits if alone else np.concatenate([part.logits for part in drawing])
            draw(drawing, own, masks, self._pool)
        for part in parts:
            self._take(part)
        if all(part.chunk.logits == len(part.chunk.tokens) for part in parts):
            # No prompts among them: this is what a guess more or less makes a difference to.
            rows = sum(part.chunk.logits for part in parts)
            self.speculation.observe_step(rows, time.perf_counter() - started)

    def _forward(self, parts: Sequence[Part], copies: Sequence[tuple[int, int]]) -> StepResult:
        started = time.perf_counter()
        result = self._runner.forward([part.chunk for part in parts], copies)
        tokens = sum(len(part.chunk.tokens) for part in parts)
        self._budget.observe(tokens, time.perf_counter() - started)
        return result

    def _take(self, part: Part) -> None:
        """Note what a step computed of a request, and what follows from it."""
        work, chunk = part.work, part.chunk
        if isinstance(work, Generation):
            self._take_generation(work, part)
            return
        self._commit(work, part.end)
        end: Event | None = None
        if isinstance(work, Scoring):
            end = work.receive(chunk, part.logits, self._vocab)
        elif isinstance(work, Encoding) and part.hidden is not None:
            end = work.receive(chunk, part.hidden)
        if end is not None:
            self._end(work, end)

    def _take_generation(self, generation: Generation, part: Part) -> None:
        if generation.cached is None:
            generation.cached = part.chunk.start
        if part.error is not None:
            logger.error("no token could be drawn", exc_info=part.error)
            self._end(generation, Failed(part.error))
            return
        confirmed = part.end - len(part.drafts)
        if generation.siblings and part.drawn:
            self._commit(generation, confirmed)
            self._begin_siblings(generation, part.logits[:1])
        if part.drawn:
            self.speculation.observe(generation, len(part.drafts), len(part.drawn) - 1)
            self._extend(generation, part.drawn, part.logits, confirmed)
        else:
            self._commit(generation, confirmed)

    def _begin_siblings(self, generation: Generation, logits: Logits) -> None:
        """Let the generations of the same prompt go on from here, each with a token of its own.

        Args:
            logits: (1, columns), those after the prompt.
        """
        siblings, generation.siblings = generation.siblings, []
        for sibling in siblings:
            with self._wake:
                runs = self._scheduler.fork(generation, sibling)
            if not runs:
                continue  # it reads the prompt itself, or finds it in the cache
            sibling.cached = generation.prompt_tokens
            own = Part(sibling, Chunk(sibling.tokens, 0, ()), logits)
            draw([own], logits, mask_rows([own], self._vocab), self._pool)
            if own.error is not None:
                self._end(sibling, Failed(own.error))
            else:
                self._extend(sibling, own.drawn, logits, generation.prompt_tokens)

    def _extend(
        self, generation: Generation, drawn: Sequence[int], logits: Logits, confirmed: int
    ) -> None:
        """Add drawn tokens to a generation, and say what they add to its text.

        Args:
            confirmed: how many of its tokens are computed; so are all drawn ones but the last.
        """
        logprobs = generation.logprobs_of(logits, drawn, self._vocab)
        try:
            delta, reason = generation.extend(drawn, logprobs)
        except Exception as error:
            logger.exception("no text could be made of a token")
            self._end(generation, Failed(error))
            return
        self._commit(generation, min(confirmed + len(drawn) - 1, len(generation.tokens)))
        if delta.tokens:
            self._emit(generation, delta)
        if reason is not None:
            self._finish(generation, reason)

    def _finish(self, generation: Generation, reason: Reason) -> None:
        rest = generation.text.finish()
        if rest:
            self._emit(generation, Delta(rest))
        if generation.text.stopped:
            reason = "stop"  # what was held back held a stop string
        self._end(generation, Finished(reason, generation.usage))

    def _commit(self, work: Work, computed: int) -> None:
        with self._wake:
            self._scheduler.commit(work, computed)

    def _end(self, work: Work, event: Event) -> None:
        """Free what a request holds, and only then say so: who hears of the end may count on it."""
        with self._wake:
            self._scheduler.remove(work)
        if isinstance(work, Generation):
            self.speculation.forget(work)
        self._emit(work, event)
        if isinstance(work, Generation):
            self._release_siblings(work, event)

    def _release_siblings(self, generation: Generation, event: Event) -> None:
        """Let those who waited for a prompt to be read fail with it, or read it themselves."""
        siblings, generation.siblings = generation.siblings, []
        for sibling in siblings:
            if isinstance(event, Failed):
                self._emit(sibling, event)
                continue
            try:
                self.add(sibling)
            except (EngineClosed, QueueFull) as error:
                self._emit(sibling, Failed(error))

    def _emit(self, work: Work, event: Event) -> None:
        try:
            work.on_event(event)
        except Exception:
            # Nobody listens any more, for example because an event loop was closed.
            logger.warning("a listener failed; its request is cancelled", exc_info=True)
            work.cancel()
