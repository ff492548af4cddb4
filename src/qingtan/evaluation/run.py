"""An evaluation from its beginning to its reports: tasks, baselines, held-out text, conversations.

It writes into one folder: `results.json` and the reports made of it, and `answers/`, of which a
stopped evaluation goes on.
"""

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from qingtan.chat import ChatGLM
from qingtan.corpus.shards import Corpus
from qingtan.engine.torch_runner import TorchRunner
from qingtan.errors import UserError
from qingtan.evaluation.answering import Answered, AnswersFolder, answer_task
from qingtan.evaluation.conversations import hold_conversations
from qingtan.evaluation.figures import make_figure
from qingtan.evaluation.items import choose, read_items
from qingtan.evaluation.likelihood import (
    BitsPerByte,
    Perplexity,
    measure_held_out,
    measure_references,
    open_corpus,
)
from qingtan.evaluation.metrics.metric import Answer, Item, Metric
from qingtan.evaluation.metrics.poems import read_known
from qingtan.evaluation.metrics.text import EndsByItself, Repeats
from qingtan.evaluation.report import write_reports
from qingtan.evaluation.results import Conversation, Estimate, Figure, Results, TaskResult
from qingtan.evaluation.summary import print_results
from qingtan.evaluation.task import Task
from qingtan.evaluation.tasks.registry import choose_tasks
from qingtan.glm.catalogue import find_model
from qingtan.glm.checkpoint import load_model
from qingtan.glm.digests import digest_weights
from qingtan.i18n import tr
from qingtan.provenance import Step
from qingtan.training.subject import Subject

OUTPUT_FOLDER = Path("runs/evaluation")


@dataclass(frozen=True)
class Settings:
    """What is asked of a model, and how.

    Attributes:
        data: the folder of the evaluation's files.
        tasks: names; none for all.
        limit: the most items of a task; 0 for all.
        seed: chooses the items, and is that of the sampling.
        known: texts that poems must not copy; without any this is not measured.
        corpus: whose held-out documents are measured; None for none.
        held_out_tokens: the most of each of its sources.
        temperature, top_p, repetition_penalty, no_repeat_ngram_size: instead of the model's
            defaults; None keeps them.
        device: where torch runs the model.
        slots: the most answers that are generated at once.

    Raises:
        UserError: a number is out of range.
    """

    data: Path
    tasks: tuple[str, ...] = ()
    limit: int = 300
    seed: int = 0
    known: tuple[Path, ...] = ()
    corpus: Path | None = None
    held_out_tokens: int = 20_000
    temperature: float | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    device: str = "cpu"
    slots: int = 16

    def __post_init__(self) -> None:
        for name, least in (("limit", 0), ("seed", 0), ("held_out_tokens", 1), ("slots", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name}: {getattr(self, name)} is less than {least}")


@dataclass(frozen=True)
class _Asked:
    """A task with its items, and how many there are to choose from."""

    task: Task
    items: list[Item]
    available: int


def evaluate(
    model: str | Path, settings: Settings, output: str | Path | None = None, *, force: bool = False
) -> Results:
    """Evaluate a model, and write results and reports.

    Stopped or killed, the same call goes on from the answers that it has.

    Args:
        model: a built-in model's name, or a checkpoint's folder.
        output: the evaluation's folder; by default one of the model's name in runs/evaluation.
        force: replace what an evaluation with other settings has left there.

    Raises:
        UserError: there is no such model, task or file, an item is malformed, the corpus is of
            another tokenizer, or the folder is in the way.
    """
    begun = time.monotonic()
    checkpoint = find_model(model)
    folder = Path(output) if output else OUTPUT_FOLDER / checkpoint.resolve().name
    # All that can be wrong is found before the model is asked anything.
    asked = _read_tasks(settings)
    corpus = open_corpus(settings.corpus, checkpoint) if settings.corpus else None
    weights = digest_weights(checkpoint)
    with _load(checkpoint, settings) as chat_model:
        answers = AnswersFolder(folder, _depends_on(chat_model, weights, settings), force=force)
        subject = _load_subject(checkpoint, chat_model)
        found = _Evaluation(chat_model, subject, settings, answers).run(asked, corpus)
        seconds = time.monotonic() - begun
        results = _describe(str(model), weights, settings, chat_model, found, seconds)
    results.write(folder)
    pages = write_reports(folder)
    print_results(results, [folder, *pages])
    return results


@dataclass(frozen=True)
class _Found:
    """What an evaluation has found, as in `Results`."""

    tasks: tuple[TaskResult, ...]
    overall: tuple[Figure, ...]
    held_out: dict[str, Estimate]
    conversations: tuple[Conversation, ...]


class _Evaluation:
    """The parts of an evaluation that need the model.

    Args:
        chat_model: answers.
        subject: the same model, whose likelihoods are measured.
    """

    def __init__(
        self, chat_model: ChatGLM, subject: Subject, settings: Settings, answers: AnswersFolder
    ) -> None:
        self._chat_model = chat_model
        self._subject = subject
        self._settings = settings
        self._answers = answers

    def run(self, asked: Sequence[_Asked], corpus: Corpus | None) -> _Found:
        """Ask and measure all."""
        tasks = []
        said: list[tuple[Item, Answer]] = []
        for number, each in enumerate(asked, start=1):
            _tell(number, len(asked), each)
            answered = self._ask(each)
            tasks.append(self._measure_task(each, answered))
            said += _given(each.items, answered)
        held_out = self._measure_corpus(corpus) if corpus else {}
        print(tr("Ten conversations", "十段对话"), file=sys.stderr)
        conversations = hold_conversations(self._chat_model, self._settings.seed)
        return _Found(tuple(tasks), _measure_overall(said), held_out, conversations)

    def _ask(self, asked: _Asked) -> list[Answered]:
        path = self._answers.path(asked.task)
        return answer_task(self._chat_model, asked.task, asked.items, path, self._settings.seed)

    def _measure_task(self, asked: _Asked, answered: Sequence[Answered]) -> TaskResult:
        task, items = asked.task, asked.items
        answers = [each.as_answer() for each in answered]
        trivial = None
        if task.baseline:
            trivial = [Answer(text.strip()) for text in task.baseline.answer(items)]
        figures = [make_figure(metric, items, answers, trivial) for metric in task.metrics]
        tokenizer = self._chat_model.engine.tokenizer
        if likelihoods := measure_references(self._subject, tokenizer, task, items):
            for metric in (Perplexity(likelihoods), BitsPerByte(likelihoods)):
                figures.append(make_figure(metric, items, answers))
        return TaskResult(
            name=task.name,
            english=task.english,
            chinese=task.chinese,
            file=task.file,
            asked=len(items),
            available=asked.available,
            too_long=sum(each.too_long for each in answered),
            baseline_english=task.baseline.english if task.baseline else "",
            baseline_chinese=task.baseline.chinese if task.baseline else "",
            figures=tuple(_kept(figures)),
        )

    def _measure_corpus(self, corpus: Corpus) -> dict[str, Estimate]:
        print(tr("Held-out text", "留出文本"), file=sys.stderr)
        shards = corpus.select("valid")
        return measure_held_out(self._subject, shards, self._settings.held_out_tokens)


def _read_tasks(settings: Settings) -> list[_Asked]:
    known = read_known(settings.known) if settings.known else None
    tasks = choose_tasks(settings.tasks, known)
    read = [(task, read_items(task, settings.data)) for task in tasks]
    return [
        _Asked(task, choose(items, settings.limit, settings.seed), len(items))
        for task, items in read
    ]


def _load(checkpoint: Path, settings: Settings) -> ChatGLM:
    chat_model = ChatGLM.from_pretrained(
        checkpoint, device=settings.device, max_running=settings.slots
    )
    # What the tasks that sample do by default; the greedy ones keep the penalties.
    chat_model.defaults = chat_model.sampling(
        temperature=settings.temperature,
        top_p=settings.top_p,
        repetition_penalty=settings.repetition_penalty,
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
    )
    return chat_model


def _load_subject(checkpoint: Path, chat_model: ChatGLM) -> Subject:
    """Return the model for torch, in evaluation mode, so that measuring leaves it there."""
    runner = chat_model.engine.runner
    if isinstance(runner, TorchRunner):
        return Subject(runner.model).eval()
    return Subject(load_model(checkpoint, dtype=torch.float32)).eval()


def _describe(
    model: str,
    weights: str,
    settings: Settings,
    chat_model: ChatGLM,
    found: _Found,
    seconds: float,
) -> Results:
    """Return what was found with how it was found."""
    now, defaults = Step.now("evaluate"), chat_model.defaults
    return Results(
        model=model,
        weights_sha256=weights,
        parameters=chat_model.engine.runner.config.num_parameters,
        version=now.version,
        date=now.date,
        device=settings.device,
        seconds=round(seconds, 1),
        limit=settings.limit,
        seed=settings.seed,
        temperature=defaults.temperature,
        top_p=defaults.top_p,
        repetition_penalty=defaults.repetition_penalty,
        no_repeat_ngram_size=defaults.no_repeat_ngram_size,
        tasks=found.tasks,
        overall=found.overall,
        held_out=found.held_out,
        conversations=found.conversations,
    )


def _depends_on(
    chat_model: ChatGLM, weights: str, settings: Settings
) -> dict[str, str | int | float]:
    """Return what answers depend on, beside their questions."""
    defaults = chat_model.defaults
    return {
        "weights_sha256": weights,
        "device": settings.device,
        "seed": settings.seed,
        "temperature": defaults.temperature,
        "top_p": defaults.top_p,
        "repetition_penalty": defaults.repetition_penalty,
        "no_repeat_ngram_size": defaults.no_repeat_ngram_size,
    }


def _given(items: Sequence[Item], answered: Sequence[Answered]) -> list[tuple[Item, Answer]]:
    """Return items and answers, without the items that could not be asked."""
    pairs = zip(items, answered, strict=True)
    return [(item, each.as_answer()) for item, each in pairs if not each.too_long]


def _measure_overall(said: Sequence[tuple[Item, Answer]]) -> tuple[Figure, ...]:
    items, answers = [item for item, _ in said], [answer for _, answer in said]
    metrics: tuple[Metric, ...] = (Repeats(), EndsByItself())
    return tuple(_kept(make_figure(metric, items, answers) for metric in metrics)) if said else ()


def _kept(figures: Iterable[Figure | None]) -> list[Figure]:
    return [figure for figure in figures if figure is not None]


def _tell(number: int, total: int, asked: _Asked) -> None:
    count, available = len(asked.items), asked.available
    print(
        tr(
            f"Task {number} of {total}, {asked.task.name}: {count:,} of {available:,} items",
            f"任务 {number}/{total}，{asked.task.name}：{available:,} 题中取 {count:,} 题",
        ),
        file=sys.stderr,
    )
