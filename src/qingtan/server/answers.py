"""The answers of the OpenAI API, whole and in chunks."""

import json
import time
import uuid
from typing import Any, Protocol

from qingtan.engine.answer import Answer
from qingtan.engine.engine import Usage
from qingtan.glm.conversation import ToolCall

Json = dict[str, Any]


class Form(Protocol):
    """One answer's form: `whole`, or `opening`, pieces of `text` and `closing`."""

    def whole(self, answer: Answer) -> Json:
        """Return the answer in one object."""

    def opening(self) -> list[Json]:
        """Return the chunks before any text."""

    def text(self, text: str) -> Json:
        """Return the chunk that adds a text."""

    def closing(self, answer: Answer) -> list[Json]:
        """Return the chunks after all text."""

    def usage(self, usage: Usage) -> Json:
        """Return the chunk that tells the tokens used."""


class ChatForm:
    """Answers of /v1/chat/completions."""

    def __init__(self, model: str) -> None:
        self._head = _head("chatcmpl", model)

    def whole(self, answer: Answer) -> Json:
        """See `Form`."""
        calls = [_call(call) for call in answer.reply.tool_calls]
        message: Json = {"role": "assistant", "content": answer.reply.content}
        if calls:
            message |= {"content": None, "tool_calls": calls}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": _finish_reason(answer),
        }
        head = self._head | {"object": "chat.completion"}
        return head | {"choices": [choice], "usage": _usage(answer.usage)}

    def opening(self) -> list[Json]:
        """See `Form`."""
        return [self._chunk({"role": "assistant", "content": ""})]

    def text(self, text: str) -> Json:
        """See `Form`."""
        return self._chunk({"content": text})

    def closing(self, answer: Answer) -> list[Json]:
        """See `Form`."""
        calls = [{"index": i} | _call(call) for i, call in enumerate(answer.reply.tool_calls)]
        chunks = [self._chunk({"tool_calls": calls})] if calls else []
        return [*chunks, self._chunk({}, _finish_reason(answer))]

    def usage(self, usage: Usage) -> Json:
        """See `Form`."""
        return self._head | {
            "object": "chat.completion.chunk",
            "choices": [],
            "usage": _usage(usage),
        }

    def _chunk(self, delta: Json, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._head | {"object": "chat.completion.chunk", "choices": [choice]}


class TextForm:
    """Answers of /v1/completions."""

    def __init__(self, model: str) -> None:
        self._head = _head("cmpl", model) | {"object": "text_completion"}

    def whole(self, answer: Answer) -> Json:
        """See `Form`."""
        chunk = self._chunk(answer.reply.content, _finish_reason(answer))
        return chunk | {"usage": _usage(answer.usage)}

    def opening(self) -> list[Json]:
        """See `Form`."""
        return []

    def text(self, text: str) -> Json:
        """See `Form`."""
        return self._chunk(text)

    def closing(self, answer: Answer) -> list[Json]:
        """See `Form`."""
        return [self._chunk("", _finish_reason(answer))]

    def usage(self, usage: Usage) -> Json:
        """See `Form`."""
        return self._head | {"choices": [], "usage": _usage(usage)}

    def _chunk(self, text: str, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
        return self._head | {"choices": [choice]}


def to_json(value: Json) -> str:
    """Write JSON in one line, Chinese as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _head(prefix: str, model: str) -> Json:
    return {"id": f"{prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}


def _finish_reason(answer: Answer) -> str:
    if answer.reply.tool_calls:
        return "tool_calls"
    return "length" if answer.reason == "length" else "stop"


def _usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _call(call: ToolCall) -> Json:
    # The model can write half of a surrogate pair, which is no UTF-8.
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    written = arguments.encode("utf-8", "replace").decode()
    function = {"name": call.name, "arguments": written}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}
