"""Teachers that answer questions: behind an OpenAI-compatible API, or a GLM checkpoint."""

import os
import queue
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from qingtan.engine.engine import Engine
from qingtan.engine.events import ContextExceeded, Delta, Event, Failed, Finished
from qingtan.engine.open import RunnerOptions, open_runner
from qingtan.engine.sampling import SamplingParams
from qingtan.errors import UserError
from qingtan.files import read_json
from qingtan.glm.catalogue import find_model
from qingtan.glm.conversation import Message, encode_prompt, parse_reply, stop_ids
from qingtan.glm.layouts import GENERATION_FILE
from qingtan.glm.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from openai import OpenAI

API_KEY_VARIABLE = "OPENAI_API_KEY"
# Answers that wait for a slot: `concurrency` bounds the questions, and a question asks for few.
_MAX_WAITING = 1 << 16


class QuestionRefused(Exception):  # noqa: N818 - of one question; the others go on
    """The teacher does not take this question, for example because it is too long."""


@dataclass(frozen=True)
class Candidate:
    """One answer.

    Attributes:
        finish_reason: "stop"; "length" where `max_tokens` cut it off; or what else an API says.
    """

    text: str
    finish_reason: str


@dataclass(frozen=True)
class AnswerOptions:
    """How is asked.

    Attributes:
        samples: answers to each question.
        temperature, top_p, max_tokens: as in OpenAI's API.
    """

    samples: int = 1
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 512

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UserError(f"samples: {self.samples} is less than 1")
        # It says whether the others are in their range.
        self.sampling(seed=0)

    def sampling(self, seed: int) -> SamplingParams:
        """Return them as the engine takes them; UserError when one is out of range."""
        return SamplingParams(self.max_tokens, self.temperature, self.top_p, seed=seed)


class AnsweringTeacher(Protocol):
    """Answers questions, from several threads at once.

    Attributes:
        name: whom to name as the author of the answers.
        concurrency: from how many threads it is best asked.
    """

    name: str
    concurrency: int

    def answer(
        self, messages: Sequence[Message], options: AnswerOptions, seeds: Sequence[int]
    ) -> list[Candidate]:
        """Return an answer for each seed.

        Raises:
            QuestionRefused: it does not take this question.
            UserError: it takes none, and why.
        """


class ApiTeacher:
    """A model behind an OpenAI-compatible API; the key is in the variable OPENAI_API_KEY.

    Each answer is a request of its own, since not all servers give several at once. A request that
    fails for the moment is made again, later and later.

    Args:
        base_url: such as http://127.0.0.1:8000/v1.
        model: its name there.

    Raises:
        UserError: the package `openai` is missing.
    """

    def __init__(
        self, base_url: str, model: str, *, concurrency: int = 4, max_retries: int = 5
    ) -> None:
        self.name = model
        self.concurrency = concurrency
        self._base_url = base_url
        self._client = _open_client(base_url, max_retries)

    def answer(
        self, messages: Sequence[Message], options: AnswerOptions, seeds: Sequence[int]
    ) -> list[Candidate]:
        """Return an answer for each seed; see `AnsweringTeacher`."""
        return [self._answer_once(messages, options, seed) for seed in seeds]

    def _answer_once(
        self, messages: Sequence[Message], options: AnswerOptions, seed: int
    ) -> Candidate:
        import openai

        try:
            completion = self._client.chat.completions.create(
                model=self.name,
                messages=cast(Any, list(messages)),
                temperature=options.temperature,
                top_p=options.top_p,
                max_tokens=options.max_tokens,
                seed=seed,
            )
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise QuestionRefused(error.message) from None
        except openai.APIConnectionError as error:
            raise UserError(
                f"{self._base_url}: cannot be reached ({error.__cause__ or error}); start the "
                "server, or name another address"
            ) from None
        except openai.APIError as error:
            raise UserError(f"{self._base_url}: {error.message}") from None
        choices = getattr(completion, "choices", None)  # a web page comes back as a string
        if not choices:
            raise UserError(f"{self._base_url}: gave no answer; it is no OpenAI-compatible API")
        choice = choices[0]
        return Candidate((choice.message.content or "").strip(), choice.finish_reason)


class LocalTeacher:
    """A GLM checkpoint, run here; `close` frees it.

    A repetition penalty that its generation_config.json asks for is applied.

    Args:
        name_or_path: a built-in model, or a checkpoint's folder.
        device: "cpu", or where torch runs it.
        concurrency: the most questions at once.

    Raises:
        UserError: there is no such model, or it is damaged.
    """

    def __init__(
        self, name_or_path: str | Path, *, device: str = "cpu", concurrency: int = 8
    ) -> None:
        folder = find_model(name_or_path)
        self.name = folder.resolve().name
        self.concurrency = concurrency
        self._tokenizer = load_tokenizer(folder)
        generation = folder / GENERATION_FILE
        values = read_json(generation) if generation.exists() else {}
        self._repetition_penalty = float(values.get("repetition_penalty") or 1.0)
        runner = open_runner(folder, RunnerOptions(device=device))
        self._stop_ids = (*stop_ids(self._tokenizer), *runner.config.eos_token_id)
        self._engine = Engine(
            runner, self._tokenizer, max_running=concurrency, max_waiting=_MAX_WAITING
        )

    def answer(
        self, messages: Sequence[Message], options: AnswerOptions, seeds: Sequence[int]
    ) -> list[Candidate]:
        """Return an answer for each seed, generated together; see `AnsweringTeacher`."""
        prompt = encode_prompt(self._tokenizer, messages)
        penalty = self._repetition_penalty
        events: list[queue.SimpleQueue[Event]] = []
        for seed in seeds:
            events.append(queue.SimpleQueue())
            params = replace(options.sampling(seed), repetition_penalty=penalty)
            listen = events[-1].put
            try:
                self._engine.generate(prompt, params, self._stop_ids, [listen], stop_at_start=False)
            except ContextExceeded as error:
                raise QuestionRefused(str(error)) from None
        return [_collect(each) for each in events]

    def close(self) -> None:
        """End the engine's thread."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _open_client(base_url: str, max_retries: int) -> "OpenAI":
    try:
        from openai import OpenAI
    except ImportError:
        raise UserError(
            "a teacher behind an API needs the package openai; install it: pip install openai"
        ) from None
    key = os.environ.get(API_KEY_VARIABLE) or "none"
    return OpenAI(base_url=base_url, api_key=key, max_retries=max_retries)


def _collect(events: "queue.SimpleQueue[Event]") -> Candidate:
    """Wait for a generation's end, and return what it said."""
    text = ""
    while True:
        event = events.get()
        if isinstance(event, Delta):
            text += event.text
        elif isinstance(event, Failed):
            raise event.error
        elif isinstance(event, Finished):
            return Candidate(parse_reply(text).content, event.reason)
