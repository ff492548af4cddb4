"""The Python face of a model: conversations and text, whole or in pieces.

    with ChatGLM.from_pretrained("qingtan") as model:
        print(model.chat("你好"))

Everything goes through `start_chat` and `start_generate`, which tell of their progress by
callbacks: the methods here wait for them on the caller's thread, the server on its event loop.
"""

import queue
import weakref
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack

from qingtan.engine.engine import (
    ContextExceeded,
    Delta,
    Engine,
    Event,
    Failed,
    Generation,
    Reason,
    Usage,
)
from qingtan.engine.sampling import SamplingParams
from qingtan.errors import UserError
from qingtan.files import read_json
from qingtan.glm.catalogue import find_model
from qingtan.glm.conversation import Message, Reply, ReplyStream, encode_prompt, stop_ids

# No piece of the vocabulary is longer, so a text has at least a 16th as many tokens as characters.
_MAX_PIECE = 16
# From so many parameters on, the speed of float32 on a CPU is not worth twice the memory.
_LARGE = 1_000_000_000
# What a checkpoint's generation_config.json may say about sampling.
_DEFAULTS_READ = ("temperature", "top_p", "repetition_penalty")


class SamplingOptions(TypedDict, total=False):
    """Keywords of the methods below; None or absent means the model's default."""

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    repetition_penalty: float | None
    seed: int | None
    stop: str | Iterable[str] | None


@dataclass(frozen=True)
class Answer:
    """The end of a generation: all that was said, why it ended, and what it took."""

    reply: Reply
    reason: Reason
    usage: Usage


Progress = Delta | Answer | Failed
OnProgress = Callable[[Progress], None]


class ChatGLM:
    """A model to talk to, from any number of threads at once.

    Args:
        engine: runs the model; it is closed with this object.
        defaults: the sampling of calls that do not say otherwise.
        eos_ids: tokens that end an answer, beside those of the conversation format.

    Attributes:
        engine, defaults: as given.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        defaults: SamplingParams | None = None,
        eos_ids: Sequence[int] = (),
    ) -> None:
        self.engine = engine
        self.defaults = defaults or SamplingParams()
        self._stop_ids = (*stop_ids(engine.tokenizer), *eos_ids)
        # The engine's thread keeps the engine alive; nothing keeps this object.
        self._finalizer = weakref.finalize(self, engine.close)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "qingtan",
        *,
        device: str = "cpu",
        dtype: str | None = None,
        slots: int = 8,
        context: int | None = None,
    ) -> "ChatGLM":
        """Load a model.

        Args:
            name_or_path: a built-in model, or a checkpoint's folder.
            device: where torch runs it: "cpu", "cuda", "mps".
            dtype: "float32", "bfloat16" or "float16"; by default what the checkpoint holds, but
                for float32 on a CPU below a billion parameters.
            slots: the most conversations that generate at once; the others wait.
            context: the most tokens of a conversation, to save memory; by default the model's.

        Raises:
            UserError: there is no such model, it is damaged, or an argument is wrong.
        """
        folder = find_model(name_or_path)
        from qingtan.engine.torch_runner import TorchRunner, parse_dtype
        from qingtan.glm.checkpoint import load_config, load_model, load_tokenizer

        wanted = parse_dtype(dtype)
        if wanted is None and device == "cpu" and load_config(folder).num_parameters < _LARGE:
            wanted = parse_dtype("float32")
        model = load_model(folder, dtype=wanted, device=device)
        runner = TorchRunner(model, slots=slots, context=context)
        engine = Engine(runner, load_tokenizer(folder))
        return cls(engine, defaults=_read_defaults(folder), eos_ids=model.config.eos_token_id)

    def chat(
        self,
        question: str | Sequence[Message],
        *,
        tools: Sequence[Message] | None = None,
        **options: Unpack[SamplingOptions],
    ) -> str:
        """Answer a question, or a conversation in OpenAI's messages.

        With `tools`, use `reply`: an answer that calls one has no text.

        Raises:
            UserError: the question or an option cannot be used.
            QueueFull: too many questions are waiting.
        """
        return self.reply(question, tools=tools, **options).content

    def reply(
        self,
        question: str | Sequence[Message],
        *,
        tools: Sequence[Message] | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Reply:
        """Answer like `chat`, with text or with calls of tools."""
        pieces = _pieces(lambda listen: self.start_chat(question, listen, tools=tools, **options))
        return _last(pieces).reply

    def stream_chat(
        self,
        question: str | Sequence[Message],
        *,
        tools: Sequence[Message] | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Generator[str, None, Answer]:
        """Answer like `chat`, in pieces of text; closing the generator ends the answer."""
        return _pieces(lambda listen: self.start_chat(question, listen, tools=tools, **options))

    def generate(self, prompt: str, **options: Unpack[SamplingOptions]) -> str:
        """Continue a plain text, and return what comes after it."""
        pieces = _pieces(lambda listen: self.start_generate(prompt, listen, **options))
        return _last(pieces).reply.content

    def stream_generate(
        self, prompt: str, **options: Unpack[SamplingOptions]
    ) -> Generator[str, None, Answer]:
        """Continue a plain text in pieces; closing the generator ends it."""
        return _pieces(lambda listen: self.start_generate(prompt, listen, **options))

    def start_chat(
        self,
        question: str | Sequence[Message],
        on_progress: OnProgress,
        *,
        tools: Sequence[Message] | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Generation:
        """Begin an answer, and return at once.

        Args:
            on_progress: called on the engine's thread with pieces of the answer, and last with an
                `Answer` or a `Failed`. It must be quick.

        Raises:
            UserError, QueueFull: see `chat`. Then there are no calls.
        """
        asked = [{"role": "user", "content": question}] if isinstance(question, str) else question
        self._check_length(_characters(asked))
        prompt = encode_prompt(self.engine.tokenizer, asked, tools)
        listen = _listener(ReplyStream(expect_calls=bool(tools)), on_progress)
        return self.engine.submit(
            prompt, self.sampling(**options), self._stop_ids, listen, stop_at_start=False
        )

    def start_generate(
        self, prompt: str, on_progress: OnProgress, **options: Unpack[SamplingOptions]
    ) -> Generation:
        """Begin to continue a text, and return at once; see `start_chat`."""
        self._check_length(len(prompt))
        tokenizer = self.engine.tokenizer
        ids = [*tokenizer.prefix, *tokenizer.encode(prompt)]
        listen = _listener(_PlainText(), on_progress)
        return self.engine.submit(ids, self.sampling(**options), self._stop_ids, listen)

    def sampling(self, **options: Unpack[SamplingOptions]) -> SamplingParams:
        """Return the model's defaults with these options; UserError when one is out of range."""
        given: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
        if "stop" in given:
            stop = given["stop"]
            given["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
        return replace(self.defaults, **given)

    def close(self, timeout: float | None = None) -> None:
        """End what is running, and free the model; `timeout` as in `Engine.close`."""
        if self._finalizer.detach():
            self.engine.close(timeout)

    def __enter__(self) -> "ChatGLM":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _check_length(self, characters: int) -> None:
        """Refuse what cannot fit before time is spent on encoding it."""
        least, context = characters // _MAX_PIECE, self.engine.runner.context
        if least >= context:
            raise ContextExceeded(
                f"the prompt has at least {least} tokens, and the model's context is "
                f"{context} tokens, prompt and answer together"
            )


class _Splitter(Protocol):
    """What makes text to show, and a reply, of generated text; see `ReplyStream`."""

    def feed(self, piece: str) -> str: ...

    def finish(self) -> tuple[str, Reply]: ...


class _PlainText:
    """Shows the text as it comes."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def feed(self, piece: str) -> str:
        self._pieces.append(piece)
        return piece

    def finish(self) -> tuple[str, Reply]:
        return "", Reply("".join(self._pieces))


def _listener(splitter: _Splitter, on_progress: OnProgress) -> Callable[[Event], None]:
    def on_event(event: Event) -> None:
        try:
            told = _translate(event, splitter)
        except Exception as error:  # whoever waits for the end must hear of one
            told = [Failed(error)]
        for progress in told:
            on_progress(progress)

    return on_event


def _translate(event: Event, splitter: _Splitter) -> list[Progress]:
    if isinstance(event, Delta):
        return [Delta(splitter.feed(event.text), event.tokens)]
    if isinstance(event, Failed):
        return [event]
    rest, reply = splitter.finish()
    return [Delta(rest), Answer(reply, event.reason, event.usage)]


def _pieces(start: Callable[[OnProgress], Generation]) -> Generator[str, None, Answer]:
    progress: queue.SimpleQueue[Progress] = queue.SimpleQueue()
    generation = start(progress.put)
    try:
        while True:
            event = progress.get()
            if isinstance(event, Answer):
                return event
            if isinstance(event, Failed):
                raise event.error
            if event.text:
                yield event.text
    finally:
        generation.cancel()


def _last(pieces: Generator[str, None, Answer]) -> Answer:
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def _characters(messages: Sequence[Message]) -> int:
    contents = (message.get("content") for message in messages if isinstance(message, dict))
    return sum(len(content) for content in contents if isinstance(content, str))


def _read_defaults(folder: Path) -> SamplingParams:
    path = folder / "generation_config.json"
    values = read_json(path) if path.exists() else {}
    given = {name: values[name] for name in _DEFAULTS_READ if values.get(name) is not None}
    try:
        return SamplingParams(**given)
    except (TypeError, UserError) as error:
        raise UserError(f"{path}: {error}") from None
