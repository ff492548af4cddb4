"""The answers of the OpenAI API, whole and in chunks. An answer has one choice or several."""

import json
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from qingtan.engine.answer import Answer
from qingtan.engine.events import Delta, Usage
from qingtan.glm.conversation import ToolCall
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.server.logprobs import ShownToken, ShownTokens, Spelling

Json = dict[str, Any]


class Form(Protocol):
    """One answer's form: `whole`; or of each choice `opening`, many a `piece` and `closing`."""

    def whole(self, answers: Sequence[Answer]) -> Json:
        """Return all choices in one object."""

    def opening(self, index: int) -> list[Json]:
        """Return a choice's chunks before any text."""

    def piece(self, index: int, delta: Delta) -> list[Json]:
        """Return the chunks that add to a choice's text."""

    def closing(self, index: int, answer: Answer) -> list[Json]:
        """Return a choice's chunks after all text."""

    def usage(self, answers: Sequence[Answer]) -> Json:
        """Return the chunk that tells the tokens used."""


class Tokens:
    """The tokens of each choice's text, where their logprobs were asked for.

    Args:
        count: of choices; 0 where none were asked for.
        trim: see `ShownTokens`.
    """

    def __init__(
        self, tokenizer: GLMTokenizer, count: int, trim: Callable[[str], str] = str.lstrip
    ) -> None:
        self._shown = [ShownTokens(tokenizer, trim) for _ in range(count)]
        self.spelling = Spelling(tokenizer)

    def of_answer(self, index: int, answer: Answer) -> list[ShownToken] | None:
        """Return the tokens of a whole text; None where they were not asked for."""
        if not self._shown:
            return None
        self._shown[index].feed(answer.logprobs)
        return self._shown[index].take(answer.reply.content, final=True)

    def of_piece(self, index: int, delta: Delta) -> list[ShownToken] | None:
        """Return the tokens that a piece of the text shows to their ends."""
        if not self._shown:
            return None
        self._shown[index].feed(delta.logprobs)
        return self._shown[index].take(delta.text)

    def rest(self, index: int) -> list[ShownToken] | None:
        """Return those at the end of a text that was told in pieces."""
        return self._shown[index].take("", final=True) if self._shown else None


class ChatForm:
    """Answers of /v1/chat/completions."""

    def __init__(self, model: str, tokens: Tokens) -> None:
        self._head = _head("chatcmpl", model)
        self._tokens = tokens

    def whole(self, answers: Sequence[Answer]) -> Json:
        """See `Form`."""
        choices = [self._whole_choice(i, answer) for i, answer in enumerate(answers)]
        head = self._head | {"object": "chat.completion"}
        return head | {"choices": choices, "usage": _usage(answers)}

    def opening(self, index: int) -> list[Json]:
        """See `Form`."""
        return [self._chunk(index, {"role": "assistant", "content": ""})]

    def piece(self, index: int, delta: Delta) -> list[Json]:
        """See `Form`."""
        shown = self._tokens.of_piece(index, delta)
        return [self._chunk(index, {"content": delta.text}, shown)] if delta.text else []

    def closing(self, index: int, answer: Answer) -> list[Json]:
        """See `Form`."""
        calls = [{"index": i} | _call(call) for i, call in enumerate(answer.reply.tool_calls)]
        chunks = [self._chunk(index, {"tool_calls": calls})] if calls else []
        rest = self._tokens.rest(index)
        return [*chunks, self._chunk(index, {}, rest, _finish_reason(answer))]

    def usage(self, answers: Sequence[Answer]) -> Json:
        """See `Form`."""
        told = {"choices": [], "usage": _usage(answers)}
        return self._head | {"object": "chat.completion.chunk"} | told

    def _whole_choice(self, index: int, answer: Answer) -> Json:
        calls = [_call(call) for call in answer.reply.tool_calls]
        message: Json = {"role": "assistant", "content": answer.reply.content}
        if calls:
            message |= {"content": None, "tool_calls": calls}
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(self._tokens.of_answer(index, answer)),
            "finish_reason": _finish_reason(answer),
        }

    def _chunk(
        self,
        index: int,
        delta: Json,
        shown: Sequence[ShownToken] | None = None,
        finish_reason: str | None = None,
    ) -> Json:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": self._logprobs(shown),
            "finish_reason": finish_reason,
        }
        return self._head | {"object": "chat.completion.chunk", "choices": [choice]}

    def _logprobs(self, shown: Sequence[ShownToken] | None) -> Json | None:
        return None if shown is None else self._tokens.spelling.of_chat(shown)


class TextForm:
    """Answers of /v1/completions."""

    def __init__(self, model: str, tokens: Tokens) -> None:
        self._head = _head("cmpl", model) | {"object": "text_completion"}
        self._tokens = tokens

    def whole(self, answers: Sequence[Answer]) -> Json:
        """See `Form`."""
        choices = [
            self._choice(
                i, answer.reply.content, self._tokens.of_answer(i, answer), _finish_reason(answer)
            )
            for i, answer in enumerate(answers)
        ]
        return self._head | {"choices": choices, "usage": _usage(answers)}

    def opening(self, index: int) -> list[Json]:
        """See `Form`."""
        return []

    def piece(self, index: int, delta: Delta) -> list[Json]:
        """See `Form`."""
        shown = self._tokens.of_piece(index, delta)
        return [self._chunk(self._choice(index, delta.text, shown))] if delta.text else []

    def closing(self, index: int, answer: Answer) -> list[Json]:
        """See `Form`."""
        rest = self._tokens.rest(index)
        return [self._chunk(self._choice(index, "", rest, _finish_reason(answer)))]

    def usage(self, answers: Sequence[Answer]) -> Json:
        """See `Form`."""
        return self._head | {"choices": [], "usage": _usage(answers)}

    def _chunk(self, choice: Json) -> Json:
        return self._head | {"choices": [choice]}

    def _choice(
        self,
        index: int,
        text: str,
        shown: Sequence[ShownToken] | None,
        finish_reason: str | None = None,
    ) -> Json:
        return {
            "index": index,
            "text": text,
            "logprobs": None if shown is None else self._tokens.spelling.of_text(shown),
            "finish_reason": finish_reason,
        }


def to_json(value: Json) -> str:
    """Write JSON in one line, Chinese as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _head(prefix: str, model: str) -> Json:
    return {"id": f"{prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}


def _finish_reason(answer: Answer) -> str:
    if answer.reply.tool_calls:
        return "tool_calls"
    return "length" if answer.reason == "length" else "stop"


def _usage(answers: Sequence[Answer]) -> Json:
    """Return the tokens used: the prompt, which all choices share, counts once."""
    read: Usage = answers[0].usage
    generated = sum(answer.usage.completion_tokens for answer in answers)
    return {
        "prompt_tokens": read.prompt_tokens,
        "completion_tokens": generated,
        "total_tokens": read.prompt_tokens + generated,
        "prompt_tokens_details": {"cached_tokens": read.cached_tokens},
    }


def _call(call: ToolCall) -> Json:
    # The model can write half of a surrogate pair, which is no UTF-8.
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    written = arguments.encode("utf-8", "replace").decode()
    function = {"name": call.name, "arguments": written}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}
