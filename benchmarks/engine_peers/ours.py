"""Our engine's runner as a side: steps of chunks on blocks of its cache, as the engine asks them.

The likeliest token is found in the logits by numpy, as for llama.cpp.
"""

import queue
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine_peers.likelihood import nats
from engine_peers.precisions import PRECISIONS
from engine_peers.processes import BUILT_IN
from engine_peers.side import Tokens
from qingtan import native
from qingtan.engine.engine import Engine
from qingtan.engine.events import Event, Finished
from qingtan.engine.native_runner import NativeRunner
from qingtan.engine.runner import Chunk
from qingtan.engine.sampling import SamplingParams
from qingtan.engine.weights import Weights, load_weights
from qingtan.glm.tokenizer import load_tokenizer


def open_side(folder: Path, precision: str, threads: int) -> "Ours":
    """Return the checkpoint of a shape's folder, its weights packed in a precision."""
    layers, head = PRECISIONS[precision]
    # Tied to processors where all are used, as `NativeRunner.open` does.
    pool = native.Pool(threads, pin=threads == native.usable_processors())
    weights = load_weights(folder / "checkpoint", layers, pool, head=head)
    return Ours(weights, pool)


class Ours:
    """A runner whose cache is dealt out anew for each kind of work."""

    def __init__(self, weights: Weights, pool: native.Pool) -> None:
        self._weights, self._pool = weights, pool
        self._runner = NativeRunner(weights, pool)
        self._tokenizer = load_tokenizer(BUILT_IN)

    def read(self, tokens: Tokens) -> float:
        """See `Side`."""
        blocks = self._deal(1, len(tokens))
        start = time.perf_counter()
        self._forward([tokens], 0, blocks)
        return time.perf_counter() - start

    def write(self, prompts: Sequence[Tokens], count: int) -> float:
        """See `Side`."""
        length = len(prompts[0])
        blocks = self._deal(len(prompts), length + count)
        last = self._forward(prompts, 0, blocks)
        start = time.perf_counter()
        self._write(last, length, blocks, count)
        return time.perf_counter() - start

    def share(self, beginning: Tokens, rests: Sequence[Tokens], count: int) -> float:
        """See `Side`; whole blocks are shared, and one that is not full is copied."""
        length, own = len(beginning), len(rests[0]) + count
        full = length // self._runner.block_tokens
        (shared,) = self._deal(1, length)
        first = len(shared)
        tails = self._deal(len(rests), length + own - full * self._runner.block_tokens, first)
        blocks = [[*shared[:full], *tail] for tail in tails]
        copies = [(source, tail[0]) for source in shared[full:] for tail in tails]
        start = time.perf_counter()
        self._runner.forward([Chunk(beginning, 0, shared, logits=0)])
        last = self._forward(rests, length, blocks, copies)
        self._write(last, length + len(rests[0]), blocks, count)
        return time.perf_counter() - start

    def serve(self, beginning: Tokens, rests: Sequence[Tokens], count: int) -> float:
        """See `Side`; an engine with nothing in its cache is asked, as the server asks it."""
        engine = Engine(NativeRunner(self._weights, self._pool), self._tokenizer, lookup=False)
        params = SamplingParams(temperature=0, max_tokens=count)
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        start = time.perf_counter()
        for rest in rests:
            engine.generate([*beginning, *rest], params, [], [events.put])
        waiting = len(rests)
        while waiting:
            waiting -= isinstance(events.get(), Finished)
        seconds = time.perf_counter() - start
        engine.close()
        return seconds

    def predict(self, tokens: Tokens) -> list[int]:
        """See `Side`."""
        return _likeliest(self._all_logits(tokens))

    def score(self, tokens: Tokens) -> float:
        """See `Side`."""
        return nats(self._all_logits(tokens), tokens)

    def _all_logits(self, tokens: Tokens) -> NDArray[np.float32]:
        (blocks,) = self._deal(1, len(tokens))
        return self._runner.forward([Chunk(tokens, 0, blocks, logits=len(tokens))]).logits

    def _deal(self, sequences: int, tokens: int, first: int = 0) -> list[list[int]]:
        """Return so many sequences' blocks, from the `first` on, with room for so many tokens."""
        each = -(-tokens // self._runner.block_tokens)
        if first + sequences * each > self._runner.blocks:
            raise RuntimeError(f"the cache's {self._runner.blocks} blocks do not hold this")
        return [list(range(first + i * each, first + (i + 1) * each)) for i in range(sequences)]

    def _write(
        self, last: Tokens, position: int, blocks: Sequence[Sequence[int]], count: int
    ) -> None:
        for i in range(count):
            last = self._forward([[token] for token in last], position + i, blocks)

    def _forward(
        self,
        rows: Sequence[Tokens],
        position: int,
        blocks: Sequence[Sequence[int]],
        copies: Sequence[tuple[int, int]] = (),
    ) -> list[int]:
        """Compute each sequence's tokens from a position, and return what follows each."""
        chunks = [Chunk(row, position, own) for row, own in zip(rows, blocks, strict=True)]
        return _likeliest(self._runner.forward(chunks, copies).logits)


def _likeliest(logits: NDArray[np.float32]) -> list[int]:
    chosen: list[int] = logits.argmax(-1).tolist()
    return chosen
