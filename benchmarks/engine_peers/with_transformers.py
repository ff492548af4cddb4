"""transformers' `GlmForCausalLM` as a side: float32, for it has no integer products of its own.

Its model is called step by step, which is somewhat faster than its `generate`.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from engine_peers.likelihood import nats
from engine_peers.side import Tokens


def open_side(folder: Path, precision: str, threads: int) -> "Transformers":
    """Return the checkpoint of a shape's folder in float32, whatever the precision asked for."""
    del precision
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    return Transformers(folder / "checkpoint")


class Transformers:
    """A model of transformers."""

    def __init__(self, checkpoint: Path) -> None:
        model: Any = transformers.GlmForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
        self._model = model.eval()

    def read(self, tokens: Tokens) -> float:
        """See `Side`."""
        rows = torch.tensor([tokens])
        start = time.perf_counter()
        self._forward(rows, self._new_cache())
        return time.perf_counter() - start

    def write(self, prompts: Sequence[Tokens], count: int) -> float:
        """See `Side`."""
        cache = self._new_cache()
        last = self._forward(torch.tensor(prompts), cache)
        start = time.perf_counter()
        self._write(last, cache, count)
        return time.perf_counter() - start

    def share(self, beginning: Tokens, rests: Sequence[Tokens], count: int) -> float:
        """See `Side`; the cache of the beginning is repeated for each."""
        start = time.perf_counter()
        cache = self._new_cache()
        self._forward(torch.tensor([beginning]), cache)
        cache.batch_repeat_interleave(len(rests))
        last = self._forward(torch.tensor(rests), cache)
        self._write(last, cache, count)
        return time.perf_counter() - start

    def serve(self, beginning: Tokens, rests: Sequence[Tokens], count: int) -> float:
        """See `Side`; a batch of whole prompts, as `generate` reads them."""
        start = time.perf_counter()
        cache = self._new_cache()
        last = self._forward(torch.tensor([[*beginning, *rest] for rest in rests]), cache)
        self._write(last, cache, count)
        return time.perf_counter() - start

    def predict(self, tokens: Tokens) -> list[int]:
        """See `Side`."""
        predicted: list[int] = self._all_logits(tokens).argmax(-1).tolist()
        return predicted

    def score(self, tokens: Tokens) -> float:
        """See `Side`."""
        return nats(self._all_logits(tokens).numpy(), tokens)

    def _all_logits(self, tokens: Tokens) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = self._model(torch.tensor([tokens])).logits[0]
        return logits

    def _new_cache(self) -> Any:
        return transformers.DynamicCache(config=self._model.config)

    def _write(self, last: Tensor, cache: Any, count: int) -> None:
        for _ in range(count):
            last = self._forward(last, cache)

    def _forward(self, rows: Tensor, cache: Any) -> Tensor:
        """Return the likeliest token after each row (rows, 1)."""
        with torch.inference_mode():
            output = self._model(rows, past_key_values=cache, use_cache=True, logits_to_keep=1)
        chosen: Tensor = output.logits.argmax(-1)
        return chosen
