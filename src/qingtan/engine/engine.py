"""The engine: takes requests from any thread, and computes all of them together on its own."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from qingtan.engine.drafting import DraftModel
from qingtan.engine.events import ContextExceeded, OnEvent
from qingtan.engine.grammar import Grammar, GrammarCompiler, Opening
from qingtan.engine.guessing import GuessCount
from qingtan.engine.loop import Loop
from qingtan.engine.requests import Encoding, Generation, GuessSource, Scoring, Terms, Work
from qingtan.engine.runner import Runner
from qingtan.engine.sampling import SamplingParams, new_sampler
from qingtan.engine.scheduler import Scheduler
from qingtan.engine.speculation import PromptLookup
from qingtan.engine.text import TextStream
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer

# Sequences that generate at once; more only make each other wait.
MAX_RUNNING = 32


class Engine:
    """Runs requests through a runner, many at once, on a thread of its own.

    Args:
        runner: computes the steps; it is closed with the engine.
        tokenizer: makes text of tokens. Its vocabulary bounds what is sampled: the rows of the
            embedding beyond it are padding.
        step_tokens: the most tokens of a step. While others generate, steps carry as much of the
            prompts as keeps their streams smooth.
        max_running: the most requests that are computed at once.
        max_waiting: the most requests that wait.
        lookup: guess tokens from what was said before; see `PromptLookup`.
        draft: a smaller model of the same tokenizer, which guesses tokens where nothing was said
            before; see `DraftModel`. It is closed with the engine.

    Raises:
        UserError: the tokenizer has more tokens than the model or the draft model.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: GLMTokenizer,
        *,
        step_tokens: int = 512,
        max_running: int = MAX_RUNNING,
        max_waiting: int = 64,
        lookup: bool = True,
        draft: Runner | None = None,
    ) -> None:
        if tokenizer.vocab_size > runner.config.vocab_size:
            raise UserError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the model only "
                f"{runner.config.vocab_size}: they do not belong together"
            )
        self.runner = runner
        self.tokenizer = tokenizer
        self.max_running = max_running
        self._lookup = lookup
        scheduler = Scheduler[Work](
            runner.blocks,
            runner.block_tokens,
            max_running=max_running,
            step_tokens=step_tokens,
            max_waiting=max_waiting,
        )
        vocab = tokenizer.vocab_size
        guesser = None if draft is None else DraftModel(draft, vocab, step_tokens=step_tokens)
        self._loop = Loop(runner, scheduler, vocab, guesser)

    @property
    def running(self) -> int:
        """Requests that are being computed."""
        return self._loop.running

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return self._loop.waiting

    @property
    def guesses(self) -> Mapping[GuessSource, GuessCount]:
        """How many tokens each source has guessed since the start, and how many came true."""
        return dict(self._loop.speculation.counts)

    @property
    def closed(self) -> bool:
        """Whether it takes no more requests."""
        return self._loop.closed

    def generate(
        self,
        prompt: Sequence[int],
        params: SamplingParams,
        stop_ids: Sequence[int],
        listeners: Sequence[OnEvent],
        *,
        adapter: str | None = None,
        grammar: Grammar | None = None,
        opening: Opening = "continuation",
        follows: Sequence[int] | None = None,
        stop_at_start: bool = True,
        key: str = "",
        priority: int = 0,
    ) -> list[Generation]:
        """Queue a prompt, and generate a text for each listener; they share its reading.

        Args:
            prompt: token ids.
            stop_ids: tokens that end the text, and are left out of it.
            listeners: called with the events of each text, on the engine's thread, so they must
                be quick. When one raises, its generation is cancelled.
            adapter: one of the runner's adapters, which answers; None for the base model.
            grammar: what the texts must keep to.
            opening: where the text stands; see `GrammarCompiler.start`.
            follows: the tokens that the text stands after, by default the prompt; see
                `TextStream`.
            stop_at_start: see `TextStream`.
            key: whose request it is; the engine divides its time evenly between keys.
            priority: a lower one goes first.

        Raises:
            ContextExceeded: the prompt is too long.
            UserError: the prompt is empty, there is no such adapter, or an option or the grammar
                cannot be used.
            QueueFull: too many requests are waiting.
            EngineClosed: the engine was closed.
        """
        room = self._room(prompt, adapter, answer=1)
        limit = room if params.max_tokens is None else min(room, params.max_tokens)
        terms = self._terms(adapter, key, priority, limit)
        constraint = None if grammar is None else self._grammars.start(grammar, opening, stop_ids)
        # Whoever draws along must know it, so it is made here where none is given.
        seed = secrets.randbits(64) if params.seed is None else params.seed
        generations = []
        for i, on_event in enumerate(listeners):
            own = replace(params, seed=seed + i)
            sampler = new_sampler(own, self.tokenizer.vocab_size, prompt)
            text = TextStream(self.tokenizer, follows or prompt, params.stop, stop_at_start)
            generation = Generation(prompt, own, sampler, stop_ids, text, on_event, terms)
            generation.grammar = constraint if not i or constraint is None else constraint.fork()
            generation.lookup = PromptLookup() if self._lookup else None
            generations.append(generation)
        generations[0].siblings = generations[1:]
        self._loop.add(generations[0])
        return generations

    def score(
        self,
        tokens: Sequence[int],
        first: int,
        on_event: OnEvent,
        *,
        adapter: str | None = None,
        key: str = "",
        priority: int = 0,
    ) -> Scoring:
        """Ask for the logprobs of the tokens from `first` on, each after those before it.

        Raises:
            ContextExceeded, UserError, QueueFull, EngineClosed: see `generate`; UserError also
                where `first` is no place of the tokens, or the first one, which follows nothing.
        """
        self._room(tokens, adapter, answer=0)
        if not 1 <= first < len(tokens):
            raise UserError(f"first: {first} is not between 1 and {len(tokens) - 1}")
        scoring = Scoring(tokens, first, on_event, self._terms(adapter, key, priority))
        self._loop.add(scoring)
        return scoring

    def encode(
        self,
        tokens: Sequence[int],
        on_event: OnEvent,
        *,
        adapter: str | None = None,
        key: str = "",
        priority: int = 0,
    ) -> Encoding:
        """Ask for the mean of the tokens' last hidden states.

        Raises:
            ContextExceeded, UserError, QueueFull, EngineClosed: see `generate`.
        """
        self._room(tokens, adapter, answer=0)
        encoding = Encoding(tokens, on_event, self._terms(adapter, key, priority))
        self._loop.add(encoding)
        return encoding

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until nothing runs or waits; return false when `timeout` seconds were too few."""
        return self._loop.wait_idle(timeout)

    def close(self, timeout: float | None = None) -> None:
        """End the thread after the step it is in; what is left fails with `EngineClosed`.

        Args:
            timeout: wait no more seconds than these for that step.
        """
        self._loop.close(timeout)

    @cached_property
    def _grammars(self) -> GrammarCompiler:
        return GrammarCompiler(self.tokenizer, ())

    def _room(self, tokens: Sequence[int], adapter: str | None, answer: int) -> int:
        """Check a request's tokens and adapter; return how many more tokens the context holds.

        Args:
            answer: how many it must have room for.
        """
        if not tokens:
            raise UserError("the prompt is empty")
        if adapter is not None and adapter not in self.runner.adapters:
            raise UserError(_unknown_adapter(adapter, self.runner.adapters))
        room = self.runner.context - len(tokens)
        if room < answer:
            raise ContextExceeded(
                f"the prompt has {len(tokens)} tokens, and the model's context is "
                f"{self.runner.context} tokens, prompt and answer together"
            )
        return room

    def _terms(self, adapter: str | None, key: str, priority: int, answer: int = 0) -> Terms:
        return Terms(adapter, self.runner.prefix_tokens(adapter), key, priority, answer)


def _unknown_adapter(adapter: str, known: Sequence[str]) -> str:
    has = f"has {', '.join(map(repr, known))}" if known else "was loaded without adapters"
    return f"adapter: there is no adapter {adapter!r}; this model {has}"
