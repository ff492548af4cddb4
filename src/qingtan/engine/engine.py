"""The engine: takes prompts from any thread, and generates all of them together on its own."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qingtan.engine.runner import Chunk, Runner
from qingtan.engine.sampling import SamplingParams, sample
from qingtan.engine.scheduler import Request, Scheduler
from qingtan.engine.text import TextStream
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer

logger = logging.getLogger(__name__)

Reason = Literal["stop", "length", "cancelled"]


class ContextExceeded(UserError):  # noqa: N818 - named like the API's code
    """The prompt leaves no room for an answer in the model's context."""


class EngineClosed(RuntimeError):  # noqa: N818 - a state, not a fault
    """The engine was closed before the generation was finished."""


@dataclass(frozen=True)
class Usage:
    """Tokens of the prompt, and tokens generated, the one that ended the text included."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Delta:
    """More of the text. `tokens` are those sampled since the last one; the text may be empty."""

    text: str
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class Finished:
    """The end: a stop token or string, the limit of tokens, or a cancellation."""

    reason: Reason
    usage: Usage


@dataclass(frozen=True)
class Failed:
    """The end: something broke, and the engine's log says what."""

    error: Exception


Event = Delta | Finished | Failed
OnEvent = Callable[[Event], None]


class Generation(Request):
    """One prompt on its way. The last of its events is a `Finished` or a `Failed`.

    Attributes:
        prompt: the prompt's tokens.
        limit: the most tokens that will be generated.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        params: SamplingParams,
        limit: int,
        stop_ids: Sequence[int],
        text: TextStream,
        on_event: OnEvent,
        adapter: str | None,
    ) -> None:
        super().__init__(list(prompt), adapter)
        self.prompt = tuple(prompt)
        self.params = params
        self.limit = limit
        self.stop_ids = frozenset(stop_ids)
        self.text = text
        self.on_event = on_event
        self.rng = params.new_rng()

    @property
    def output(self) -> list[int]:
        """The tokens generated so far."""
        return self.tokens[len(self.prompt) :]

    @property
    def usage(self) -> Usage:
        """The tokens so far."""
        return Usage(len(self.prompt), len(self.tokens) - len(self.prompt))

    def cancel(self) -> None:
        """End it at the next step, with a `Finished`; from any thread, and as often as you like."""
        self.cancelled = True


class Engine:
    """Runs prompts through a runner, many at once, on a thread of its own.

    Args:
        runner: computes the steps.
        tokenizer: makes text of tokens. Its vocabulary bounds what is sampled: the rows of the
            embedding beyond it are padding.
        step_tokens: the most tokens of a step; fewer keep the streams smoother while a long
            prompt is read, more read it faster.
        max_waiting: the most requests that wait for a slot.

    Raises:
        UserError: the tokenizer has more tokens than the model.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: GLMTokenizer,
        *,
        step_tokens: int = 256,
        max_waiting: int = 64,
    ) -> None:
        if tokenizer.vocab_size > runner.config.vocab_size:
            raise UserError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the model only "
                f"{runner.config.vocab_size}: they do not belong together"
            )
        self.runner = runner
        self.tokenizer = tokenizer
        self._scheduler = Scheduler[Generation](
            runner.slots, max(step_tokens, runner.slots + 1), max_waiting
        )
        self._wake = threading.Condition()
        self._closed = False
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="qingtan-engine", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """Generations that hold a slot."""
        return len(self._scheduler.running)

    @property
    def waiting(self) -> int:
        """Generations that wait for a slot."""
        return len(self._scheduler.waiting)

    @property
    def closed(self) -> bool:
        """Whether it takes no more prompts."""
        return self._closed

    def submit(
        self,
        prompt: Sequence[int],
        params: SamplingParams,
        stop_ids: Sequence[int],
        on_event: OnEvent,
        *,
        adapter: str | None = None,
        follows: Sequence[int] | None = None,
        stop_at_start: bool = True,
    ) -> Generation:
        """Queue a prompt.

        Args:
            prompt: token ids.
            stop_ids: tokens that end the text, and are left out of it.
            on_event: called with each event on the engine's thread, so it must be quick. When it
                raises, the generation is cancelled.
            adapter: one of the runner's adapters, which answers; None for the base model.
            follows: the tokens that the text stands after, by default the prompt; see
                `TextStream`.
            stop_at_start: see `TextStream`.

        Raises:
            ContextExceeded: the prompt is too long.
            UserError: the prompt is empty, or there is no such adapter.
            QueueFull: too many requests are waiting.
            EngineClosed: the engine was closed.
        """
        if not prompt:
            raise UserError("the prompt is empty")
        if adapter is not None and adapter not in self.runner.adapters:
            raise UserError(_unknown_adapter(adapter, self.runner.adapters))
        room = self.runner.context - len(prompt)
        if room < 1:
            raise ContextExceeded(
                f"the prompt has {len(prompt)} tokens, and the model's context is "
                f"{self.runner.context} tokens, prompt and answer together"
            )
        limit = room if params.max_tokens is None else min(room, params.max_tokens)
        text = TextStream(self.tokenizer, follows or prompt, params.stop, stop_at_start)
        generation = Generation(prompt, params, limit, stop_ids, text, on_event, adapter)
        with self._wake:
            if self._closed:
                raise EngineClosed("the engine is closed")
            self._scheduler.add(generation)
            self._idle.clear()
            self._wake.notify()
        return generation

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until nothing runs or waits; return false when `timeout` seconds were too few."""
        return self._idle.wait(timeout)

    def close(self, timeout: float | None = None) -> None:
        """End the thread after the step it is in; what is left fails with `EngineClosed`.

        Args:
            timeout: wait no more seconds than these for that step.
        """
        with self._wake:
            self._closed = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while (step := self._next_step()) is not None:
                self._compute(step)
        finally:
            with self._wake:
                self._closed = True
                left = [*self._scheduler.running, *self._scheduler.waiting]
            for generation in left:
                self._end(generation, Failed(EngineClosed("the engine was closed")))
            self._idle.set()

    def _next_step(self) -> list[tuple[Generation, Chunk]] | None:
        """Wait for work and plan a step of it; None when the engine is closed."""
        with self._wake:
            while not self._closed and not len(self._scheduler):
                self._idle.set()
                self._wake.wait()
            if self._closed:
                return None
            cancelled = self._scheduler.cancelled()
        for generation in cancelled:
            self._end(generation, Finished("cancelled", generation.usage))
        with self._wake:
            return self._scheduler.plan()

    def _compute(self, step: list[tuple[Generation, Chunk]]) -> None:
        if not step:
            return
        try:
            logits = self.runner.forward([chunk for _, chunk in step])
        except Exception as error:
            logger.exception("a step of %d sequences failed", len(step))
            for generation, _ in step:
                self._end(generation, Failed(error))
            return
        for (generation, chunk), row in zip(step, logits, strict=True):
            generation.seen += len(chunk.tokens)
            if generation.pending == 0:
                self._extend(generation, row)

    def _extend(self, generation: Generation, logits: NDArray[np.floating[Any]]) -> None:
        """Sample a generation's next token, and say what it adds to the text."""
        try:
            token = sample(
                logits[: self.tokenizer.vocab_size],
                generation.params,
                generation.rng,
                generation.prompt,
                generation.output,
            )
        except Exception as error:
            logger.exception("no token could be sampled")
            self._end(generation, Failed(error))
            return
        generation.tokens.append(token)
        if token in generation.stop_ids:
            self._finish(generation, "stop")
            return
        self._emit(generation, Delta(generation.text.feed(token), (token,)))
        if generation.text.stopped:
            self._finish(generation, "stop")
        elif generation.usage.completion_tokens >= generation.limit:
            self._finish(generation, "length")

    def _finish(self, generation: Generation, reason: Reason) -> None:
        rest = generation.text.finish()
        if rest:
            self._emit(generation, Delta(rest))
        if generation.text.stopped:
            reason = "stop"  # what was held back held a stop string
        self._end(generation, Finished(reason, generation.usage))

    def _end(self, generation: Generation, event: Finished | Failed) -> None:
        """Free the slot, and only then say so: who hears of the end may count on it."""
        with self._wake:
            slot = self._scheduler.remove(generation)
        if slot is not None:
            try:
                self.runner.release(slot)
            except Exception:  # the others must still hear of their ends
                logger.exception("slot %d could not be released", slot)
        self._emit(generation, event)

    def _emit(self, generation: Generation, event: Event) -> None:
        try:
            generation.on_event(event)
        except Exception:
            # Nobody listens any more, for example because an event loop was closed.
            logger.warning("a listener failed; its generation is cancelled", exc_info=True)
            generation.cancel()


def _unknown_adapter(adapter: str, known: Sequence[str]) -> str:
    has = f"has {', '.join(map(repr, known))}" if known else "was loaded without adapters"
    return f"adapter: there is no adapter {adapter!r}; this model {has}"
