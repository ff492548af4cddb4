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

import numpy as np
from numpy.typing import NDArray

from qingtan.engine.answer import (
    Answer,
    OnProgress,
    PlainText,
    last,
    listener,
    outcomes,
    pieces,
)
from qingtan.engine.blank import blank_end, encode_blank
from qingtan.engine.engine import MAX_RUNNING, Engine
from qingtan.engine.events import ContextExceeded, Encoded, OnEvent, Scored
from qingtan.engine.grammar import Grammar
from qingtan.engine.open import EngineName, RunnerOptions, open_draft, open_runner
from qingtan.engine.requests import Generation
from qingtan.engine.sampling import SamplingParams
from qingtan.errors import UserError
from qingtan.files import read_json
from qingtan.glm.catalogue import find_model
from qingtan.glm.conversation import Message, Reply, ReplyStream, encode_prompt, stop_ids
from qingtan.glm.tokenizer import load_tokenizer

# No piece of the vocabulary is longer, so a text has at least a 16th as many tokens as characters.
_MAX_PIECE = 16
# What a checkpoint's generation_config.json may say about sampling.
_DEFAULTS_READ = ("temperature", "top_p", "repetition_penalty")
# Transformers looks for repeated n-grams in the prompt, too, so its field of that name would keep a
# model from quoting; ours stands apart.
_OWN_DEFAULTS_READ = ("no_repeat_ngram_size",)


class SamplingOptions(TypedDict, total=False):
    """How tokens are drawn; None or absent means the model's default."""

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    repetition_penalty: float | None
    no_repeat_ngram_size: int | None
    logit_bias: Mapping[int, float] | None
    logprobs: int | None
    seed: int | None
    stop: str | Iterable[str] | None


class Options(SamplingOptions, total=False):
    """Keywords of the methods below.

    `adapter` is the name of the adapter that answers, None for the model itself; `grammar` is what
    the answer must keep to; `key` says whose the request is, among whom the engine divides its
    time evenly, and of two requests that of the lower `priority` goes first.
    """

    adapter: str | None
    grammar: Grammar | None
    key: str
    priority: int


_ENGINE_OPTIONS = ("adapter", "grammar", "key", "priority")


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
        engine: EngineName | None = None,
        max_running: int = MAX_RUNNING,
        context: int | None = None,
        cache_bytes: int | None = None,
        threads: int | None = None,
        adapters: Mapping[str, str | Path] | None = None,
        draft: str | Path | None = None,
        lookup: bool = True,
    ) -> "ChatGLM":
        """Load a model.

        Args:
            name_or_path: a built-in model, or a checkpoint's folder.
            device: "cpu", or where torch runs it: "cuda", "mps".
            dtype: of the weights: "float32", "bfloat16", and on the native engine "int8", "int4",
                on torch "float16". By default what the checkpoint holds, but for float32 on a CPU
                below a billion parameters, and on the native engine int8 from there on.
            engine: "native", the default on a CPU, or "torch", which is the other devices'.
            max_running: the most answers that are computed at once; the others wait.
            context: the most tokens of a conversation; by default the model's.
            cache_bytes: the most memory for what the model keeps of conversations, 2 GiB by
                default; it is taken as it is used.
            threads: of the native engine; by default one for each processor.
            adapters: folders of LoRA adapters and P-Tuning v2 prefixes, by names of your choice;
                the methods' `adapter` takes such a name, and without one the model itself
                answers.
            draft: a smaller model with the same tokenizer, which guesses tokens for this one to
                check several at once: faster where they agree often, and the same text. It takes
                up to `cache_bytes` of its own.
            lookup: guess in the same way that a text goes on as it did before.

        Raises:
            UserError: there is no such model or adapter, it is damaged, an adapter or the draft
                model does not fit the model, or an argument is wrong.
        """
        folder = find_model(name_or_path)
        options = RunnerOptions(
            device=device,
            dtype=dtype,
            engine=engine,
            context=context,
            cache_bytes=cache_bytes,
            threads=threads,
            adapters={name: Path(path) for name, path in (adapters or {}).items()},
        )
        guesser = None if draft is None else open_draft(find_model(draft), folder, options)
        runner = open_runner(folder, options)
        loaded = Engine(
            runner, load_tokenizer(folder), max_running=max_running, lookup=lookup, draft=guesser
        )
        return cls(loaded, defaults=_read_defaults(folder), eos_ids=runner.config.eos_token_id)

    def chat(
        self,
        question: str | Sequence[Message],
        *,
        tools: Sequence[Message] | None = None,
        **options: Unpack[Options],
    ) -> str:
        """Answer a question, or a conversation in OpenAI's messages.

        With `tools`, use `reply`: an answer that calls one has no text.

        Raises:
            UserError: the question or an option cannot be used, or there is no such adapter.
            QueueFull: too many questions are waiting.
        """
        return self.reply(question, tools=tools, **options).content

    def reply(
        self,
        question: str | Sequence[Message],
        *,
        tools: Sequence[Message] | None = None,
        **options: Unpack[Options],
    ) -> Reply:
        """Answer like `chat`, with text or with calls of tools."""
        return last(self.stream_chat(question, tools=tools, **options)).reply

    def stream_chat(
        self,
        question: str | Sequence[Message],
        *,
        tools: Sequence[Message] | None = None,
        **options: Unpack[Options],
    ) -> Generator[str, None, Answer]:
        """Answer like `chat`, in pieces of text; closing the generator ends the answer."""
        return pieces(lambda listen: self.start_chat(question, [listen], tools=tools, **options)[0])

    def generate(
        self, prompt: str, *, suffix: str | None = None, **options: Unpack[Options]
    ) -> str:
        """Continue a plain text, or fill a blank in one, and return what comes after it.

        Args:
            suffix: the text after the blank that follows `prompt`, for a model that was trained
                with blanks. None or empty: nothing comes after, and the text is continued.

        Raises:
            UserError, QueueFull: see `chat`.
        """
        return last(self.stream_generate(prompt, suffix=suffix, **options)).reply.content

    def stream_generate(
        self, prompt: str, *, suffix: str | None = None, **options: Unpack[Options]
    ) -> Generator[str, None, Answer]:
        """Do the same as `generate` in pieces; closing the generator ends it."""
        return pieces(
            lambda listen: self.start_generate(prompt, [listen], suffix=suffix, **options)[0]
        )

    def embed(
        self, texts: Sequence[str], *, adapter: str | None = None, key: str = ""
    ) -> NDArray[np.float32]:
        """Return a vector of length 1 for each text (texts, hidden_size): its mean hidden state.

        Raises:
            UserError, QueueFull: see `chat`.
        """
        prompts = [self._encode_text(text) for text in texts]
        ends = outcomes(
            lambda prompt, listen: self.engine.encode(prompt, listen, adapter=adapter, key=key),
            prompts,
        )
        vectors = np.array([end.vector for end in ends if isinstance(end, Encoded)])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        normal: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-12)
        return normal

    def score(
        self, prompt: str, text: str, *, adapter: str | None = None, key: str = ""
    ) -> tuple[float, ...]:
        """Return the natural logarithms of the probabilities of a text's tokens after a prompt.

        Raises:
            UserError, QueueFull: see `chat`.
        """
        before = self._encode_text(prompt)
        tokens = [*before, *self.engine.tokenizer.encode(text)]
        (end,) = outcomes(
            lambda ids, listen: self.engine.score(
                ids, len(before), listen, adapter=adapter, key=key
            ),
            [tokens],
        )
        return end.logprobs if isinstance(end, Scored) else ()

    def start_chat(
        self,
        question: str | Sequence[Message],
        listeners: Sequence[OnProgress],
        *,
        tools: Sequence[Message] | None = None,
        **options: Unpack[Options],
    ) -> list[Generation]:
        """Begin an answer for each listener, and return at once; they share the prompt's reading.

        Args:
            listeners: called on the engine's thread with pieces of the answer, and last with an
                `Answer` or a `Failed`. They must be quick.

        Raises:
            UserError, QueueFull: see `chat`. Then there are no calls.
        """
        asked = [{"role": "user", "content": question}] if isinstance(question, str) else question
        self._check_length(_characters(asked))
        prompt = encode_prompt(self.engine.tokenizer, asked, tools)
        listens = [listener(ReplyStream(expect_calls=bool(tools)), each) for each in listeners]
        return self._start(
            prompt, self._stop_ids, listens, options, opening="answer", stop_at_start=False
        )

    def start_generate(
        self,
        prompt: str,
        listeners: Sequence[OnProgress],
        *,
        suffix: str | None = None,
        **options: Unpack[Options],
    ) -> list[Generation]:
        """Begin to continue a text or to fill its blank, and return at once.

        See `generate` and `start_chat`.
        """
        tokenizer, stops = self.engine.tokenizer, self._stop_ids
        before = ids = self._encode_text(prompt, suffix)
        if suffix:
            ids = [*before, *encode_blank(tokenizer, suffix)]
            stops = (*stops, blank_end(tokenizer))
        listens = [listener(PlainText(), each) for each in listeners]
        opening = "continuation" if prompt else "text"
        return self._start(ids, stops, listens, options, opening=opening, follows=before)

    def sampling(self, **options: Unpack[SamplingOptions]) -> SamplingParams:
        """Return the model's defaults with these options; UserError when one is out of range."""
        given: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
        if "stop" in given:
            stop = given["stop"]
            given["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
        if "logit_bias" in given:
            given["logit_bias"] = tuple(given["logit_bias"].items())
        return replace(self.defaults, **given)

    def close(self, timeout: float | None = None) -> None:
        """End what is running, and free the model; `timeout` as in `Engine.close`."""
        if self._finalizer.detach():
            self.engine.close(timeout)

    def __enter__(self) -> "ChatGLM":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(
        self,
        prompt: Sequence[int],
        stops: Sequence[int],
        listeners: Sequence[OnEvent],
        options: Mapping[str, Any],
        **text: Any,
    ) -> list[Generation]:
        sampling = {name: v for name, v in options.items() if name not in _ENGINE_OPTIONS}
        given = {name: options[name] for name in _ENGINE_OPTIONS if name in options}
        params = self.sampling(**sampling)
        return self.engine.generate(prompt, params, stops, listeners, **given, **text)

    def _encode_text(self, text: str, suffix: str | None = None) -> list[int]:
        """Return the tokens of a plain text as a prompt; what cannot fit is refused at once."""
        self._check_length(len(text) + len(suffix or ""))
        tokenizer = self.engine.tokenizer
        return [*tokenizer.prefix, *tokenizer.encode(text)]

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
    own = values.get("qingtan", {})
    if not isinstance(own, dict):
        raise UserError(f"{path}: qingtan: holds no JSON object")
    given = {name: values[name] for name in _DEFAULTS_READ if values.get(name) is not None}
    given |= {name: own[name] for name in _OWN_DEFAULTS_READ if own.get(name) is not None}
    try:
        return SamplingParams(**given)
    except (TypeError, UserError) as error:
        raise UserError(f"{path}: {error}") from None
