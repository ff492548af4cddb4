"""A draft model: a smaller one, whose guesses the model checks (2211.17192).

It draws its guesses with the very random numbers that the model's tokens will be
drawn with. A number depends on the seed, the place and the token alone (native/sampling), so that
the two draw the same token as often as their distributions let them: they are coupled.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qingtan import native
from qingtan.engine.budget import StepBudget
from qingtan.engine.grammar import GrammarState
from qingtan.engine.kv_cache import CachedSequence, KVCache
from qingtan.engine.requests import Generation
from qingtan.engine.runner import Chunk, Runner
from qingtan.engine.speculation import StepTimes
from qingtan.errors import UserError

# A guessing step has the tokens that came true since the last one, usually one or two a sequence.
# Where there are more it reads, and says nothing about how fast guesses are.
_USUAL_TOKENS = 4


class _Reader(CachedSequence):
    """A generation's tokens in the draft model's cache.

    Attributes:
        guessed: tokens that stand in the cache behind the computed ones, and may come true.
    """

    def __init__(self, generation: Generation) -> None:
        super().__init__(generation.tokens)  # the list itself, which grows by what is certain
        self.guessed: list[int] = []

    def known(self) -> int:
        """Return how many tokens need not be read, with the guesses that have come true."""
        known = self.computed
        # Of the last token the logits are wanted, even where it was guessed.
        while known < len(self.tokens) - 1 and known - self.computed < len(self.guessed):
            if self.tokens[known] != self.guessed[known - self.computed]:
                break
            known += 1
        return known


@dataclass
class _Guess:
    """A generation's guesses in the making.

    Attributes:
        count: how many there shall be.
        sampler, grammar: its own, as they will be after the guesses.
    """

    generation: Generation
    reader: _Reader
    count: int
    sampler: native.Sampler
    grammar: GrammarState | None
    tokens: list[int] = field(default_factory=list)
    done: bool = False

    @property
    def unread(self) -> int:
        """How many of the generation's tokens the draft model has not seen."""
        return len(self.reader.tokens) - self.reader.computed

    def take(self, token: int) -> None:
        """Add a drawn token, unless it ends the text: the model draws that one by itself."""
        if self.done or token in self.generation.stop_ids:
            self.done = True
            return
        self.tokens.append(token)
        if self.grammar is not None:
            self.grammar.accept([token])
            self.done = self.grammar.finished
        self.done = self.done or len(self.tokens) >= self.count


class DraftModel:
    """Guesses the next tokens of many generations together, with a smaller model.

    Each has its tokens in the draft model's own cache. What the cache has no room for, or what is
    longer than the draft model's context, goes without guesses.

    Args:
        runner: computes the draft model; it is closed with this object.
        vocab_size: tokens that may be guessed.
        step_tokens: the most tokens that it reads before the model's next step.

    Attributes:
        times: what its steps take.

    Raises:
        UserError: the draft model has fewer tokens.
    """

    def __init__(self, runner: Runner, vocab_size: int, *, step_tokens: int = 512) -> None:
        if vocab_size > runner.config.vocab_size:
            raise UserError(
                f"draft: the draft model has {runner.config.vocab_size} tokens, and the model's "
                f"tokenizer {vocab_size}: use a draft model of the same tokenizer"
            )
        self._runner = runner
        self._vocab = vocab_size
        self._kv = KVCache(runner.blocks, runner.block_tokens)
        self._budget = StepBudget(step_tokens)
        self._pool = native.Pool(min(4, native.usable_processors()))
        self._readers: dict[Generation, _Reader] = {}
        self.times = StepTimes()

    @property
    def blocks_held(self) -> int:
        """Blocks of its cache that generations hold."""
        return len(self._kv.pool) - self._kv.pool.available

    def unread(self, generation: Generation) -> int:
        """Return how many of a generation's tokens it would have to read before it guesses."""
        reader = self._readers.get(generation)
        return len(generation.tokens) - (0 if reader is None else reader.known())

    def propose(self, asks: Sequence[tuple[Generation, int]]) -> list[list[int]]:
        """Guess the next tokens of generations, each at most so many.

        Long texts are read over several calls, so that nobody waits long for one; until then there
        are no guesses for them.
        """
        guesses = [self._begin(generation, count) for generation, count in asks]
        begun = [guess for guess in guesses if guess is not None]
        ready = self._read(begun)
        while ready:
            for guess in ready:
                guess.reader.guessed.append(guess.tokens[-1])
            self._compute([(guess, self._next_chunk(guess)) for guess in ready])
            ready = [guess for guess in ready if not guess.done]
        return [[] if guess is None else guess.tokens for guess in guesses]

    def forget(self, generation: Generation) -> None:
        """Free what a generation holds, if anything."""
        reader = self._readers.pop(generation, None)
        if reader is not None:
            self._kv.release(reader)

    def close(self) -> None:
        """Free the model and its cache."""
        self._readers.clear()
        self._runner.close()

    def _begin(self, generation: Generation, count: int) -> _Guess | None:
        """Get blocks for guesses; None where there are none, or the context is too short."""
        tokens = generation.tokens
        count = min(count, self._runner.context - len(tokens))
        if count < 1:
            return None
        reader = self._readers.get(generation)
        if reader is None:
            reader = _Reader(generation)
            if not self._kv.begin(reader, len(tokens) - 1, headroom=0):
                return None
            self._readers[generation] = reader
        self._kv.commit(reader, reader.known())
        reader.guessed.clear()
        # The last guess is not computed any more.
        needed = len(tokens) + count - 1
        if not self._kv.can_extend(reader, needed):
            return None
        self._kv.extend(reader, needed, [])  # only forks would have blocks to copy
        grammar = None if generation.grammar is None else generation.grammar.fork()
        return _Guess(generation, reader, count, generation.fork_sampler(), grammar)

    def _read(self, guesses: Sequence[_Guess]) -> list[_Guess]:
        """Read what the generations have that is new; return those that can guess on."""
        budget = self._budget.tokens(len(guesses))
        chunks: list[tuple[_Guess, Chunk]] = []
        for guess in sorted(guesses, key=lambda guess: guess.unread):
            reader, size = guess.reader, min(guess.unread, budget)
            if size:
                tokens = reader.tokens[reader.computed : reader.computed + size]
                logits = int(size == guess.unread)
                chunks.append((guess, Chunk(tokens, reader.computed, list(reader.blocks), logits)))
                budget -= size
        if chunks:
            self._compute(chunks)
        for guess, chunk in chunks:
            self._kv.commit(guess.reader, chunk.start + len(chunk.tokens))
        return [guess for guess, chunk in chunks if chunk.logits and not guess.done]

    @staticmethod
    def _next_chunk(guess: _Guess) -> Chunk:
        start = len(guess.reader.tokens) + len(guess.tokens) - 1
        return Chunk([guess.tokens[-1]], start, list(guess.reader.blocks))

    def _compute(self, parts: Sequence[tuple[_Guess, Chunk]]) -> None:
        """Compute a step, and draw the next guess of each whose chunk asks for logits."""
        started = time.perf_counter()
        logits = self._runner.forward([chunk for _, chunk in parts]).logits
        read = time.perf_counter() - started
        drawing = [guess for guess, chunk in parts if chunk.logits]
        if drawing:
            self._draw(drawing, logits)
        tokens = sum(len(chunk.tokens) for _, chunk in parts)
        self._budget.observe(tokens, read)
        if tokens <= _USUAL_TOKENS * len(drawing):
            self.times.observe(tokens, time.perf_counter() - started)

    def _draw(self, guesses: Sequence[_Guess], logits: np.ndarray) -> None:
        masks = self._masks(guesses)
        samplers = [guess.sampler for guess in guesses]
        rows, drafts = np.ones(len(guesses), np.int32), np.zeros(0, np.int32)
        drawn = native.draw_all(samplers, logits, rows, drafts, masks, self._pool)
        for guess, (token,) in zip(guesses, drawn, strict=True):
            guess.take(token)

    def _masks(self, guesses: Sequence[_Guess]) -> np.ndarray | None:
        if not any(guess.grammar for guess in guesses):
            return None
        masks = np.full((len(guesses), -(-self._vocab // 32)), -1, np.int32)
        for guess, row in zip(guesses, masks, strict=True):
            try:
                if guess.grammar is not None:
                    guess.grammar.mask(row)
            except UserError:  # too complex: the model's own step will say so
                row[:] = -1
                guess.done = True
        return masks
