"""Asking a model all questions of a task, many at once, so that a stopped evaluation can go on."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from qingtan.chat import ChatGLM
from qingtan.engine.answer import Answer as Ended
from qingtan.engine.answer import Progress
from qingtan.engine.events import ContextExceeded, Failed
from qingtan.engine.requests import Generation
from qingtan.engine.scheduler import QueueFull
from qingtan.errors import UserError
from qingtan.evaluation.metrics.metric import Answer, Item
from qingtan.evaluation.results import RESULTS_FILE
from qingtan.evaluation.task import Task
from qingtan.files import read_json, write_json
from qingtan.i18n import tr

ANSWERS_FOLDER = "answers"
SETTINGS_FILE = "settings.json"
# Questions under way for each slot of the engine: as many wait as are answered, so that a slot
# that becomes free is filled at once.
_WINDOW = 2


class Question(BaseModel):
    """A question as the model gets it: all that its answer depends on, beside the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    messages: tuple[dict[str, Any], ...]
    max_tokens: int
    temperature: float
    seed: int

    @classmethod
    def of(cls, task: Task, item: Item, temperature: float, seed: int) -> Self:
        """Make an item's question.

        Args:
            temperature: of the tasks that sample; the others take the likeliest token.
            seed: the evaluation's, of which each item gets one of its own.
        """
        digest = hashlib.sha256(f"{seed}/{task.name}/{item['id']}".encode()).digest()
        return cls(
            id=item["id"],
            messages=tuple(dict(message) for message in task.ask(item)),
            max_tokens=task.max_tokens,
            temperature=0.0 if task.decoding == "greedy" else temperature,
            # Six bytes, which every reader of JSON takes as a whole number.
            seed=int.from_bytes(digest[:6]),
        )


class Answered(Question):
    """A question with its answer: a line of the file of answers.

    Attributes:
        answer: the text, without white space around it.
        ended: it ended by itself.
        tokens: how many were generated.
        too_long: the question does not fit the model's context, and there is no answer.
    """

    answer: str
    ended: bool
    tokens: int
    too_long: bool = False

    def to(self, question: Question) -> bool:
        """Whether this answers that very question."""
        return question == Question(**self.model_dump(include=set(Question.model_fields)))

    def as_answer(self) -> Answer:
        """Return what metrics look at."""
        return Answer(self.answer, self.ended)


class AnswersFolder:
    """The answers so far, a file for each task, and the settings that they depend on.

    Args:
        folder: of the evaluation; it is made where there is none.
        settings: what the answers depend on.
        force: take away what an evaluation with other settings has left.

    Raises:
        UserError: the folder has answers of other settings, or is of something else.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, force: bool = False) -> None:
        self._folder = folder / ANSWERS_FOLDER
        path = folder / SETTINGS_FILE
        if folder.exists() and not path.exists() and any(folder.iterdir()):
            raise UserError(f"{folder}: is not an evaluation's; name another folder with --output")
        if force:
            _empty(folder)
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_json(path, dict(settings))
        _check_settings(path, settings)

    def path(self, task: Task) -> Path:
        """Return the file of a task's answers."""
        self._folder.mkdir(exist_ok=True)
        return self._folder / f"{task.name}.jsonl"


def answer_task(
    model: ChatGLM, task: Task, items: Sequence[Item], path: Path, seed: int
) -> list[Answered]:
    """Return the answers to all items, in their order.

    Answers that the file has already are taken from there; the others are added as they come. What
    an answer is depends neither on the order nor on what else is asked.

    Raises:
        UserError: the file is damaged, or an answer in it is to another question.
    """
    temperature = model.defaults.temperature
    questions = [Question.of(task, item, temperature, seed) for item in items]
    answers = _read_answers(path)
    for question in questions:
        if question.id in answers and not answers[question.id].to(question):
            raise UserError(
                f"{path}: {question.id} was asked in another way; begin anew with --force"
            )
    missing = [question for question in questions if question.id not in answers]
    bar = tqdm(
        desc=tr(task.english, task.chinese),
        total=len(questions),
        initial=len(questions) - len(missing),
        unit=tr("item", "题"),
        disable=None,
    )
    with bar, path.open("ab") as file:
        for answered in ask_all(model, missing):
            file.write(orjson.dumps(answered.model_dump(), option=orjson.OPT_APPEND_NEWLINE))
            file.flush()
            answers[answered.id] = answered
            bar.update()
    return [answers[question.id] for question in questions]


def ask_all(model: ChatGLM, questions: Sequence[Question]) -> Iterator[Answered]:
    """Ask all questions, and yield the answers as they come.

    Raises:
        Exception: what a generation failed with. Then, and when the caller stops, those under way
            are cancelled.
    """
    window = _WINDOW * model.engine.max_running
    ended: SimpleQueue[Answered | Failed] = SimpleQueue()
    running: dict[str, Generation] = {}

    def take() -> Answered:
        answered = ended.get()
        if isinstance(answered, Failed):
            raise answered.error
        running.pop(answered.id, None)
        return answered

    try:
        for question in questions:
            while len(running) >= window:
                yield take()
            while (generation := _start(model, question, ended, bool(running))) is None:
                yield take()
            if isinstance(generation, Answered):
                yield generation
            else:
                running[question.id] = generation
        while running:
            yield take()
    finally:
        for generation in running.values():
            generation.cancel()


def _start(
    model: ChatGLM,
    question: Question,
    ended: "SimpleQueue[Answered | Failed]",
    others_run: bool,
) -> Generation | Answered | None:
    """Begin an answer; return it whole where there can be none.

    Where too many wait, return None: one of the others' ends makes room.
    """

    def listen(progress: Progress) -> None:
        if isinstance(progress, Ended):
            ended.put(_answered(question, progress))
        elif isinstance(progress, Failed):
            ended.put(progress)

    try:
        return model.start_chat(
            question.messages,
            [listen],
            max_tokens=question.max_tokens,
            temperature=question.temperature,
            seed=question.seed,
        )[0]
    except ContextExceeded:
        return Answered(**dict(question), answer="", ended=False, tokens=0, too_long=True)
    except QueueFull:
        if not others_run:
            raise
        return None


def _answered(question: Question, end: Ended) -> Answered:
    return Answered(
        **dict(question),
        answer=end.reply.content.strip(),
        ended=end.reason == "stop",
        tokens=end.usage.completion_tokens,
    )


def _read_answers(path: Path) -> dict[str, Answered]:
    """Read the answers by id, and cut off a last line that a killed process has not finished."""
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
    answers = {}
    for number, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            answered = Answered.model_validate_json(line)
        except ValidationError as error:
            raise UserError(
                f"{path}, line {number}: no answer ({error.errors()[0]['msg']}); begin anew with "
                "--force"
            ) from None
        answers[answered.id] = answered
    return answers


def _check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    before = read_json(path)
    changed = [
        f"{name} {before.get(name)}, not {value}"
        for name, value in settings.items()
        if value != before.get(name)
    ]
    if changed:
        raise UserError(
            f"{path}: the answers here are of other settings ({'; '.join(changed)}); name another "
            "folder with --output, or replace them with --force"
        )


def _empty(folder: Path) -> None:
    """Remove what an earlier evaluation goes on from, and what it found."""
    shutil.rmtree(folder / ANSWERS_FOLDER, ignore_errors=True)
    for name in (RESULTS_FILE, SETTINGS_FILE):
        (folder / name).unlink(missing_ok=True)
