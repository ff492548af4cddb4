"""Writing speed of the engine against transformers' `generate`, on the same checkpoint.

    python benchmarks/generation.py --model qingtan

Both run in float32 on the same threads, greedy, on prompts of the same length, alternately; an end
of text does not stop either. Prints the medians in tokens a second, and the ratio.
"""

import argparse
import queue
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers

from qingtan import ChatGLM
from qingtan.engine.engine import Event, Finished
from qingtan.engine.sampling import SamplingParams
from qingtan.glm.catalogue import find_model


def ours(model: ChatGLM, prompts: list[list[int]], tokens: int) -> float:
    """Return the seconds that the engine takes for all prompts, submitted at once."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    params = SamplingParams(max_tokens=tokens, temperature=0)
    start = time.perf_counter()
    for prompt in prompts:
        model.engine.submit(prompt, params, (), events.put)
    left = len(prompts)
    while left:
        left -= isinstance(events.get(), Finished)
    return time.perf_counter() - start


def theirs(model: Any, prompts: list[list[int]], tokens: int) -> float:
    """Return the seconds that transformers takes for all prompts as one batch."""
    start = time.perf_counter()
    with torch.inference_mode():
        batch = torch.tensor(prompts)
        model.generate(
            batch,
            attention_mask=torch.ones_like(batch),
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            do_sample=False,
        )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="qingtan", help="a built-in model's name, or a folder")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of each prompt")
    parser.add_argument("--tokens", type=int, default=128, help="tokens to write for each")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    peer = transformers.GlmForCausalLM.from_pretrained(
        find_model(arguments.model), dtype=torch.float32
    )
    with ChatGLM.from_pretrained(arguments.model, slots=max(arguments.batches)) as model:
        print(f"{arguments.model}, {torch.get_num_threads()} threads, tokens a second")
        print(f"{'at once':>8} {'qingtan':>9} {'transformers':>13} {'ratio':>6}")
        for batch in arguments.batches:
            prompts = [list(range(10 + i, 10 + i + arguments.prompt)) for i in range(batch)]
            runs: list[tuple[Callable[..., float], Any]] = [(ours, model), (theirs, peer)]
            times: list[list[float]] = [[], []]
            for _ in range(arguments.rounds):
                for (run, side), taken in zip(runs, times, strict=True):
                    taken.append(run(side, prompts, arguments.tokens))
            mine, other = (batch * arguments.tokens / statistics.median(t) for t in times)
            print(f"{batch:>8} {mine:>9.0f} {other:>13.0f} {mine / other:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
