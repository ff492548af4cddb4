"""Writing speed of the engine against transformers' `generate`, on the same checkpoint.

    python benchmarks/generation.py --model qingtan

Both run on the same threads, greedy, on prompts of the same length, alternately; an end of text
does not stop either. The engine runs in what `--dtype` says, transformers in bfloat16 where that is
asked for and otherwise in float32. No token is guessed ahead: prompts that mean nothing would tell
nothing of it. Prints the medians in tokens a second, and the ratio.
"""

import argparse
import os
import queue
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers

from qingtan.engine.engine import Engine
from qingtan.engine.events import Event, Finished
from qingtan.engine.open import RunnerOptions, open_runner
from qingtan.engine.sampling import SamplingParams
from qingtan.glm.catalogue import find_model
from qingtan.glm.tokenizer import load_tokenizer


def ours(engine: Engine, prompts: list[list[int]], tokens: int) -> float:
    """Return the seconds that the engine takes for all prompts, submitted at once."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    params = SamplingParams(max_tokens=tokens, temperature=0)
    start = time.perf_counter()
    for prompt in prompts:
        engine.generate(prompt, params, (), [events.put])
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
    parser.add_argument("--engine", default="native", choices=["native", "torch"])
    parser.add_argument("--dtype", default="float32", help="as `qingtan serve --dtype`")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    compare(parser.parse_args())


def compare(arguments: argparse.Namespace) -> None:
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(arguments.threads)
    folder = find_model(arguments.model)
    dtype = torch.bfloat16 if arguments.dtype == "bfloat16" else torch.float32
    peer = transformers.GlmForCausalLM.from_pretrained(folder, dtype=dtype)
    options = RunnerOptions(
        engine=arguments.engine, dtype=arguments.dtype, threads=arguments.threads
    )
    runner = open_runner(folder, options)
    most = max(arguments.batches)
    engine = Engine(runner, load_tokenizer(folder), max_running=most, lookup=False)
    print(f"{arguments.model}, {arguments.threads} threads, tokens a second")
    print(f"{'at once':>8} {'qingtan':>9} {'transformers':>13} {'ratio':>6}")
    for batch in arguments.batches:
        runs: list[tuple[Callable[..., float], Any]] = [(ours, engine), (theirs, peer)]
        mine, other = (batch * arguments.tokens / t for t in seconds(runs, batch, arguments))
        print(f"{batch:>8} {mine:>9.0f} {other:>13.0f} {mine / other:>6.2f}", flush=True)
    engine.close()


def seconds(
    runs: list[tuple[Callable[..., float], Any]], batch: int, arguments: argparse.Namespace
) -> list[float]:
    """Return the median that each side takes, in alternate rounds.

    No prompt begins as another: neither side may find what it has computed already.
    """
    times: list[list[float]] = [[] for _ in runs]
    for number in range(arguments.rounds):
        first = 10 + number * batch
        prompts = [list(range(first + i, first + i + arguments.prompt)) for i in range(batch)]
        for (run, side), taken in zip(runs, times, strict=True):
            taken.append(run(side, prompts, arguments.tokens))
    return [statistics.median(taken) for taken in times]


if __name__ == "__main__":
    main()
