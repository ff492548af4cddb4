"""The Python face of a model: conversations and text, whole or in pieces.

    with ChatGLM.from_pretrained("qingtan") as model:
        print(model.chat("你好"))

Everything goes through `start_chat` and `start_generate`, which tell of their progress by
callbacks: the methods here wait for them on the caller's thread, the server on its event loop.
"""

import weakref
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from qingtan.engine.answer import Answer, OnProgress, PlainText, last, listener, pieces
from qingtan.engine.blank import blank_end, encode_blank
from qingtan.engine.engine import ContextExceeded, Engine, Generation
from qingtan.engine.sampling import SamplingParams
from qingtan.errors import UserError
from qingtan.files import read_json
from qingtan.glm.catalogue import find_model
from qingtan.glm.conversation import Message, Reply, ReplyStream, encode_prompt, stop_ids

# No piece of the vocabulary is longer, so a text has at least a 16th as many tokens as characters.
_MAX_PIECE = 16
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
        adapters: Mapping[str, str | Path] | None = None,
    ) -> "ChatGLM":
        """Load a model.

        Args:
            name_or_path: a built-in model, or a checkpoint's folder.
            device: where torch runs it: "cpu", "cuda", "mps".
            dtype: "float32", "bfloat16" or "float16"; by default what the checkpoint holds, but
                for float32 on a CPU below a billion parameters.
            slots: the most conversations that generate at once; the others wait.
            context: the most tokens of a conversation, to save memory; by default the model's.
            adapters: folders of LoRA adapters and P-Tuning v2 prefixes, by names of your choice;
                the methods' `adapter` takes such a name, and without one the model itself
                answers.

        Raises:
            UserError: there is no such model or adapter, it is damaged, an adapter does not fit
                the model, or an argument is wrong.
        """
        folder = find_model(name_or_path)
        from qingtan.engine.torch_runner import TorchRunner, parse_dtype
        from qingtan.glm.checkpoint import load_model, load_tokenizer, working_dtype

        wanted = parse_dtype(dtype)
        if wanted is None and device == "cpu":
            wanted = working_dtype(folder)
        model = load_model(folder, dtype=wanted, device=device)
        folders = {name: Path(path) for name, path in (adapters or {}).items()}
        runner = TorchRunner(model, slots=slots, context=context, adapters=folders)
        engine = Engine(runner, load_tokenizer(folder))
        return cls(engine, defaults=_read_defaults(folder), eos_ids=model.config.eos_token_id)

    def chat(
        self,
        question: str | Sequence[Message],
        *,
        tools: Sequence[Message] | None = None,
        adapter: str | None = None,
        **options: Unpack[SamplingOptions],
    ) -> str:
        """Answer a question, or a conversation in OpenAI's messages.

        With `tools`, use `reply`: an answer that calls one has no text.

        Args:
            adapter: the name of the adapter that answers; None for the model itself.

        Raises:
            UserError: the question or an option cannot be used, or there is no such adapter.
            QueueFull: too many questions are waiting.
        """
        return self.reply(question, tools=tools, adapter=adapter, **options).content

    def reply(
        self,
        question: str | Sequence[Message],
        *,
        tools: Sequence[Message] | None = None,
        adapter: str | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Reply:
        """Answer like `chat`, with text or with calls of tools."""
        return last(self.stream_chat(question, tools=tools, adapter=adapter, **options)).reply

    def stream_chat(
        self,
        question: str | Sequence[Message],
        *,
        tools: Sequence[Message] | None = None,
        adapter: str | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Generator[str, None, Answer]:
        """Answer like `chat`, in pieces of text; closing the generator ends the answer."""
        return pieces(
            lambda listen: self.start_chat(
                question, listen, tools=tools, adapter=adapter, **options
            )
        )

    def generate(
        self,
        prompt: str,
        *,
        suffix: str | None = None,
        adapter: str | None = None,
        **options: Unpack[SamplingOptions],
    ) -> str:
        """Continue a plain text, or fill a blank in one, and return what comes after it.

        Args:
            suffix: the text after the blank that follows `prompt`, for a model that was trained
                with blanks. None or empty: nothing comes after, and the text is continued.
            adapter: see `chat`.

        Raises:
            UserError, QueueFull: see `chat`.
        """
        stream = self.stream_generate(prompt, suffix=suffix, adapter=adapter, **options)
        return last(stream).reply.content

    def stream_generate(
        self,
        prompt: str,
        *,
        suffix: str | None = None,
        adapter: str | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Generator[str, None, Answer]:
        """Do the same as `generate` in pieces; closing the generator ends it."""
        return pieces(
            lambda listen: self.start_generate(
                prompt, listen, suffix=suffix, adapter=adapter, **options
            )
        )

    def start_chat(
        self,
        question: str | Sequence[Message],
        on_progress: OnProgress,
        *,
        tools: Sequence[Message] | None = None,
        adapter: str | None = None,
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
        listen = listener(ReplyStream(expect_calls=bool(tools)), on_progress)
        return self.engine.submit(
            prompt,
            self.sampling(**options),
            self._stop_ids,
            listen,
            adapter=adapter,
            stop_at_start=False,
        )

    def start_generate(
        self,
        prompt: str,
        on_progress: OnProgress,
        *,
        suffix: str | None = None,
        adapter: str | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Generation:
        """Begin to continue a text or to fill its blank, and return at once.

        See `generate` and `start_chat`.
        """
        self._check_length(len(prompt) + len(suffix or ""))
        tokenizer, stops = self.engine.tokenizer, self._stop_ids
        before = ids = [*tokenizer.prefix, *tokenizer.encode(prompt)]
        if suffix:
            ids = [*before, *encode_blank(tokenizer, suffix)]
            stops = (*stops, blank_end(tokenizer))
        listen = listener(PlainText(), on_progress)
        return self.engine.submit(
            ids, self.sampling(**options), stops, listen, adapter=adapter, follows=before
        )

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
