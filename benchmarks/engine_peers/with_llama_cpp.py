"""llama.cpp as a side, through the low interface of llama-cpp-python, with its own defaults.

Sequences have caches of their own, as llama-server's slots have. Where a program knows that they
share a beginning, one cache holds all (`kv_unified`), whose cells belong to several sequences at no
cost (`llama_memory_seq_cp`); llama-server does not do that.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp  # type: ignore[import-not-found]
import numpy as np
from numpy.typing import NDArray

from engine_peers.likelihood import nats
from engine_peers.side import Tokens

# llama.cpp's own default: the most tokens of a call. It computes them in parts of 512.
BATCH = 2048
PADDING = 256


def open_side(folder: Path, precision: str, threads: int) -> "LlamaCpp":
    """Return the model of a shape's folder that `write_gguf` has written in a precision."""
    return LlamaCpp(folder / f"{precision}.gguf", threads)


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _say_nothing(level: int, text: bytes, data: object) -> None:
    pass


class LlamaCpp:
    """A model in llama.cpp, with the cache that was needed last."""

    def __init__(self, path: Path, threads: int) -> None:
        llama_cpp.llama_log_set(_say_nothing, None)
        llama_cpp.llama_backend_init()
        parameters = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(bytes(path), parameters)
        if not self._model:
            raise RuntimeError(f"{path}: llama.cpp cannot load it")
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._vocab_size = llama_cpp.llama_vocab_n_tokens(vocabulary)
        self._threads = threads
        self._batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        self._context: Any = None
        self._held: tuple[int, int, bool] | None = None

    def read(self, tokens: Tokens) -> float:
        """See `Side`."""
        self._empty_cache(1, len(tokens))
        start = time.perf_counter()
        self._decode([tokens], 0)
        return time.perf_counter() - start

    def write(self, prompts: Sequence[Tokens], count: int) -> float:
        """See `Side`."""
        length = len(prompts[0])
        self._empty_cache(len(prompts), length + count)
        last = self._decode(prompts, 0)
        start = time.perf_counter()
        self._write(last, length, count)
        return time.perf_counter() - start

    def share(self, beginning: Tokens, rests: Sequence[Tokens], count: int) -> float:
        """See `Side`."""
        own = len(rests[0]) + count
        self._empty_cache(len(rests), len(beginning) + len(rests) * own, unified=True)
        start = time.perf_counter()
        self._decode([beginning], 0)
        memory = llama_cpp.llama_get_memory(self._context)
        for sequence in range(1, len(rests)):
            llama_cpp.llama_memory_seq_cp(memory, 0, sequence, -1, -1)
        last = self._decode(rests, len(beginning))
        self._write(last, len(beginning) + len(rests[0]), count)
        return time.perf_counter() - start

    def serve(self, beginning: Tokens, rests: Sequence[Tokens], count: int) -> float:
        """See `Side`; each slot reads its whole prompt."""
        prompts = [[*beginning, *rest] for rest in rests]
        length = len(prompts[0])
        self._empty_cache(len(prompts), length + count)
        start = time.perf_counter()
        last = [self._decode([prompt], 0, slot)[0] for slot, prompt in enumerate(prompts)]
        self._write(last, length, count)
        return time.perf_counter() - start

    def predict(self, tokens: Tokens) -> list[int]:
        """See `Side`."""
        self._empty_cache(1, len(tokens))
        return self._decode([tokens], 0, last_only=False)

    def score(self, tokens: Tokens) -> float:
        """See `Side`."""
        self._empty_cache(1, len(tokens))
        return nats(self._compute([tokens], 0, last_only=False), tokens)

    def _empty_cache(self, sequences: int, tokens: int, unified: bool = False) -> None:
        """Have a cache of so many tokens a sequence, or of so many for all where it is unified."""
        wanted = (sequences, tokens, unified)
        if self._held != wanted:
            if self._context:
                llama_cpp.llama_free(self._context)
            self._context = self._new_context(*wanted)
            self._held = wanted
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), False)

    def _new_context(self, sequences: int, tokens: int, unified: bool) -> Any:
        parameters = llama_cpp.llama_context_default_params()
        padded = -(-tokens // PADDING) * PADDING
        parameters.n_ctx = padded if unified else padded * sequences
        parameters.n_batch = BATCH
        parameters.n_seq_max = sequences
        parameters.n_threads = parameters.n_threads_batch = self._threads
        parameters.kv_unified = unified
        parameters.no_perf = True
        context = llama_cpp.llama_init_from_model(self._model, parameters)
        if not context:
            raise RuntimeError(f"llama.cpp makes no context for {sequences} × {tokens} tokens")
        return context

    def _write(self, last: Tokens, position: int, count: int) -> None:
        for i in range(count):
            last = self._decode([[token] for token in last], position + i)

    def _decode(
        self, rows: Sequence[Tokens], position: int, first: int = 0, *, last_only: bool = True
    ) -> list[int]:
        """Compute sequences' tokens from a position, and return what follows the wanted.

        Args:
            first: the first sequence's number.
        """
        logits = self._compute(rows, position, first, last_only=last_only)
        chosen: list[int] = logits.argmax(-1).tolist()
        return chosen

    def _compute(
        self, rows: Sequence[Tokens], position: int, first: int = 0, *, last_only: bool
    ) -> NDArray[np.float32]:
        """Return the logits after the wanted tokens; they hold until the next step."""
        batch, i = self._batch, 0
        for sequence, tokens in enumerate(rows, start=first):
            for offset, token in enumerate(tokens):
                batch.token[i] = token
                batch.pos[i] = position + offset
                batch.n_seq_id[i] = 1
                batch.seq_id[i][0] = sequence
                batch.logits[i] = not last_only or offset == len(tokens) - 1
                i += 1
        batch.n_tokens = i
        if status := llama_cpp.llama_decode(self._context, batch):
            raise RuntimeError(f"llama_decode: {status}")
        outputs = len(rows) if last_only else i
        logits = llama_cpp.llama_get_logits(self._context)
        return np.ctypeslib.as_array(logits, (outputs, self._vocab_size))
