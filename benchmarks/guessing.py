"""What guessing tokens ahead brings: to answers from documents, summaries and conversation.

The evaluation's items are answered one by one by the same model, in turn: without guesses, guessing
what the text repeats (lookup), with a draft model, and with both. Each must write the very same
text, or this stops. Every question is read once before the clock runs, so that the figures are
those of writing.

    python benchmarks/guessing.py --draft qingtan-pocket

Prints tokens a second without guesses, and for each way of guessing how many times as fast it is in
the median of the rounds, which share of the guesses came true, and how many there were.
"""

import argparse
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from qingtan.chat import ChatGLM
from qingtan.engine.answer import last
from qingtan.engine.guessing import GuessCount
from qingtan.engine.requests import GuessSource
from qingtan.evaluation.items import choose, read_items
from qingtan.evaluation.task import Task
from qingtan.evaluation.tasks.registry import choose_tasks
from qingtan.glm.conversation import Message

DATA = Path(__file__).resolve().parents[1] / "../shared/data/eval"
TASKS = ("cited", "customer-service", "law", "doc-summaries", "leads", "dialogue")
Questions = Sequence[Sequence[Message]]
Counts = Mapping[GuessSource, GuessCount]


def main() -> None:
    """Read the command line, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="qingtan", help="a built-in model's name, or a folder")
    parser.add_argument("--draft", help="a smaller model of the same tokenizer")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--items", type=int, default=20, help="of each task")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--dtype", help="as `qingtan serve --dtype`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    with ExitStack() as stack:
        sides = {name: stack.enter_context(each) for name, each in open_sides(options).items()}
        heads = ["task", "tokens", "tokens/s", *(f"{name}, times" for name in [*sides][1:])]
        print("| " + " | ".join([*heads, "came true"]) + " |")
        print("|" + "---|" * (len(heads) + 1), flush=True)
        for task in choose_tasks(options.tasks):
            print_row(task, sides, options)


def open_sides(options: argparse.Namespace) -> dict[str, ChatGLM]:
    """Return the model as often as there are ways of guessing, the first one without."""
    ways = {"none": (False, None), "lookup": (True, None)}
    if options.draft:
        ways |= {"draft": (False, options.draft), "both": (True, options.draft)}
    return {
        name: ChatGLM.from_pretrained(
            options.model, dtype=options.dtype, threads=options.threads, lookup=lookup, draft=draft
        )
        for name, (lookup, draft) in ways.items()
    }


def print_row(task: Task, sides: dict[str, ChatGLM], options: argparse.Namespace) -> None:
    """Let all sides answer a task's items in turn, and print what it took."""
    items = choose(read_items(task, options.data), options.items, seed=0)
    questions = [task.ask(item) for item in items]
    texts: dict[str, list[str]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    before: dict[str, Counts] = {}
    tokens = 0
    for name, model in sides.items():  # questions are read, and what guesses bring is learnt
        _, texts[name], tokens = answer(model, questions, task.max_tokens, options.temperature)
        if texts[name] != texts["none"]:
            raise SystemExit(f"{task.name}: {name} writes another text")
        before[name] = model.engine.guesses
    for _ in range(options.rounds):
        for name, model in sides.items():
            took, *_ = answer(model, questions, task.max_tokens, options.temperature)
            seconds[name].append(took)
    plain, *others = (statistics.median(took) for took in seconds.values())
    cells = [task.name, f"{tokens}", f"{tokens / plain:,.0f}"]
    cells += [f"{plain / other:.2f}" for other in others]
    shares = [f"{n} {came_true(before[n], model)}" for n, model in sides.items() if n != "none"]
    print("| " + " | ".join([*cells, "; ".join(shares)]) + " |", flush=True)


def answer(
    model: ChatGLM, questions: Questions, most: int, temperature: float
) -> tuple[float, list[str], int]:
    """Answer one question after the other; return the seconds, the texts, and how many tokens."""
    texts, tokens = [], 0
    start = time.perf_counter()
    for seed, question in enumerate(questions):
        ended = last(
            model.stream_chat(question, max_tokens=most, temperature=temperature, seed=seed)
        )
        texts.append(ended.reply.content)
        tokens += ended.usage.completion_tokens
    return time.perf_counter() - start, texts, tokens


def came_true(before: Counts, model: ChatGLM) -> str:
    """Return which share of a model's guesses came true since then, and of how many."""
    guessed = accepted = 0
    for source, count in model.engine.guesses.items():
        guessed += count.guessed - before[source].guessed
        accepted += count.accepted - before[source].accepted
    return f"{accepted / guessed:.0%} of {guessed:,}" if guessed else "–"


if __name__ == "__main__":
    main()
