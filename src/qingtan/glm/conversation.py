"""ChatGLM3's conversation format: OpenAI messages to token ids, and what is generated back.

A sequence is `[gMASK] sop`, then for each message its role's token, the encoded line of metadata
and the encoded content; the two are encoded separately, as the published tokenizer does. A tool
call is an assistant's message whose metadata names the tool and whose content is a python block
holding `tool_call(a=…)`. It is read with `ast` and never evaluated.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer

Message = Mapping[str, Any]

# OpenAI's role → ChatGLM3's token.
ROLE_TOKENS = {
    "system": "<|system|>",
    "developer": "<|system|>",
    "user": "<|user|>",
    "assistant": "<|assistant|>",
    "tool": "<|observation|>",
    "observation": "<|observation|>",
}
# What the published demonstrations put before the list of tools, so what the model has learnt.
TOOLS_INTRODUCTION = (
    "Answer the following questions as best as you can. You have access to the following tools:"
)
# Longer first lines than this are no tool's name, so a stream need not wait for their end.
MAX_TOOL_NAME = 64


@dataclass(frozen=True)
class Turn:
    """One message as ChatGLM3 writes it."""

    role: str
    content: str
    metadata: str = ""


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asks for; the caller decides whether to make it."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What the model answered: text, or tool calls."""

    content: str
    tool_calls: tuple[ToolCall, ...] = ()


def stop_ids(tokenizer: GLMTokenizer) -> tuple[int, ...]:
    """Return the tokens that end an answer: eos, the next user turn, a tool's answer due."""
    return (
        tokenizer.eos_id,
        tokenizer.special_id("<|user|>"),
        tokenizer.special_id("<|observation|>"),
    )


def encode_prompt(
    tokenizer: GLMTokenizer, messages: Sequence[Message], tools: Sequence[Message] | None = None
) -> list[int]:
    """Encode a conversation up to and including the token that opens the answer.

    Args:
        messages: OpenAI's messages; assistant messages may carry `tool_calls`.
        tools: OpenAI's tools, or bare function descriptions.

    Raises:
        UserError: a message is malformed; the text names its index and field.
    """
    ids = tokenizer.prefix
    for turn in _turns(messages, tools):
        ids += [*_encode_header(tokenizer, turn), *tokenizer.encode(turn.content)]
    return [*ids, tokenizer.special_id("<|assistant|>")]


def encode_conversation(
    tokenizer: GLMTokenizer, messages: Sequence[Message], tools: Sequence[Message] | None = None
) -> tuple[list[int], list[bool]]:
    """Encode a whole conversation for training, with a final eos.

    Returns:
        The token ids, and for each token whether it is to be predicted: the assistant's metadata
        and content, and the token after them, which ends the answer (ChatGLM3's fine-tuning code
        shifts the mask of roles one right).

    Raises:
        UserError: a message is malformed, an answer is empty, or no message is the assistant's.
    """
    (result,) = encode_conversations(tokenizer, [(messages, tools)])
    if isinstance(result, UserError):
        raise result
    return result


def encode_conversations(
    tokenizer: GLMTokenizer,
    conversations: Sequence[tuple[Sequence[Message], Sequence[Message] | None]],
) -> list[tuple[list[int], list[bool]] | UserError]:
    """Encode many conversations, messages and tools, as `encode_conversation` does each.

    Much faster than one after another, for the contents go to the tokenizer at once.

    Returns:
        For each its tokens, or why it has none: a bad one must not lose the others.
    """
    turns = [_turns_to_learn(messages, tools) for messages, tools in conversations]
    contents = [t.content for each in turns if not isinstance(each, UserError) for t in each]
    encoded = iter(tokenizer.encode_batch(contents, threads=1))
    return [
        each if isinstance(each, UserError) else _join_turns(tokenizer, each, encoded)
        for each in turns
    ]


def _turns_to_learn(
    messages: Sequence[Message], tools: Sequence[Message] | None
) -> list[Turn] | UserError:
    try:
        turns = _turns(messages, tools)
        for i, message in enumerate(messages):
            is_answer = message["role"] == "assistant" and not message.get("tool_calls")
            if is_answer and not _text_of(i, message.get("content")).strip():
                raise UserError(f"messages[{i}].content: an answer of the assistant is empty")
    except UserError as error:
        return error
    if not any(turn.role == "assistant" for turn in turns):
        return UserError("messages: there is no message of the assistant to learn from")
    return turns


def _join_turns(
    tokenizer: GLMTokenizer, turns: Sequence[Turn], contents: Iterator[list[int]]
) -> tuple[list[int], list[bool]]:
    ids, trained, was_answer = tokenizer.prefix, [False, False], False
    for turn in turns:
        is_answer = turn.role == "assistant"
        encoded = [*_encode_header(tokenizer, turn), *next(contents)]
        ids += encoded
        trained += [was_answer] + [is_answer] * (len(encoded) - 1)
        was_answer = is_answer
    ids.append(tokenizer.eos_id)
    trained.append(was_answer)
    return ids, trained


def parse_reply(text: str) -> Reply:
    """Read a generated answer: the line of metadata, then the content.

    A first line that names a tool and a block with `tool_call(…)` of literal arguments make a
    call; whatever else is text, as it came.
    """
    metadata, newline, content = text.partition("\n")
    if not newline:
        return Reply(text.strip())
    if not metadata.strip():
        return Reply(content.strip())
    is_name = len(metadata.strip()) <= MAX_TOOL_NAME
    call = _parse_call(metadata.strip(), content) if is_name else None
    return Reply("", (call,)) if call else Reply(text.strip())


class ReplyStream:
    """Splits a stream of generated text into pieces to show, holding back what may be a call.

    Feed it pieces of text; `finish` gives the whole reply. Only when the first line is empty, as
    it is before a plain answer, or too long to name a tool, or when the caller gave no tools, is
    text passed on at once.
    """

    def __init__(self, expect_calls: bool) -> None:
        self._expect_calls = expect_calls
        self._text = ""
        self._shown = 0

    def feed(self, piece: str) -> str:
        """Return the text that may be shown now."""
        self._text += piece
        return self._show(self._text.rstrip()) if self._is_plain() else ""

    def finish(self) -> tuple[str, Reply]:
        """Return the last text to show, and the reply as a whole."""
        reply = parse_reply(self._text) if self._expect_calls else Reply(self._text.strip())
        return ("" if reply.tool_calls else self._show(self._text.rstrip())), reply

    def _is_plain(self) -> bool:
        first, newline, _ = self._text.partition("\n")
        name = first.strip()
        return not self._expect_calls or (bool(newline) and not name) or len(name) > MAX_TOOL_NAME

    def _show(self, text: str) -> str:
        # White space at either end is the format's, not the answer's; in the middle it is kept,
        # and shown once something follows it.
        if not self._shown:
            self._shown = len(text) - len(text.lstrip())
        new = text[self._shown :]
        self._shown = max(self._shown, len(text))
        return new


def _encode_header(tokenizer: GLMTokenizer, turn: Turn) -> list[int]:
    line = tokenizer.encode(turn.metadata + "\n") if turn.metadata else tokenizer.newline
    return [tokenizer.special_id(f"<|{turn.role}|>"), *line]


def _turns(messages: Sequence[Message], tools: Sequence[Message] | None) -> list[Turn]:
    if not messages:
        raise UserError("messages: give at least one message")
    turns = [turn for i, message in enumerate(messages) for turn in _turns_of(i, message)]
    return _with_tools(turns, tools) if tools else turns


def _turns_of(index: int, message: Message) -> Iterator[Turn]:
    role = message.get("role") if isinstance(message, Mapping) else None
    if not isinstance(role, str) or role not in ROLE_TOKENS:
        raise UserError(f"messages[{index}].role: {role!r} is none of {', '.join(ROLE_TOKENS)}")
    content = _text_of(index, message.get("content"))
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list | tuple):
        raise UserError(f"messages[{index}].tool_calls: give a list")
    if content or not calls:
        yield Turn(ROLE_TOKENS[role].strip("<|>"), content)
    for call in calls:
        yield _turn_of_call(index, call)


def _text_of(index: int, content: Any) -> str:
    """Return the text of a content, which may be a string or OpenAI's list of text parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        texts = [part.get("text") for part in content if isinstance(part, Mapping)]
        parts = [text for text in texts if isinstance(text, str)]
        if len(parts) == len(content):
            return "".join(parts)
    raise UserError(f"messages[{index}].content: give a string or a list of text parts")


def _turn_of_call(index: int, call: Any) -> Turn:
    try:
        function = call["function"]
        name, arguments = function["name"], function["arguments"]
        values = json.loads(arguments) if isinstance(arguments, str) else dict(arguments)
        written = ", ".join(f"{key}={value!r}" for key, value in values.items())
        if not isinstance(name, str):
            raise TypeError("the name is no string")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f"messages[{index}].tool_calls: each needs function.name and function.arguments "
            f"as a JSON object ({error})"
        ) from None
    return Turn("assistant", f"```python\ntool_call({written})\n```", metadata=name)


def _with_tools(turns: list[Turn], tools: Sequence[Message]) -> list[Turn]:
    for i, tool in enumerate(tools):
        if not isinstance(tool, Mapping):
            raise UserError(f"tools[{i}]: give a function's description as an object")
    functions = [tool.get("function", tool) for tool in tools]
    listing = json.dumps(functions, indent=4, ensure_ascii=False)
    if turns[0].role == "system":
        introduction, rest = turns[0].content, turns[1:]
    else:
        introduction, rest = TOOLS_INTRODUCTION, turns
    return [Turn("system", f"{introduction}\n{listing}"), *rest]


def _parse_call(name: str, content: str) -> ToolCall | None:
    block = re.search(r"```(?:python)?[^\S\n]*\n(.*?)```", content, re.DOTALL)
    if not block:
        return None
    try:
        expression = ast.parse(block[1].strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    if not isinstance(expression, ast.Call) or not isinstance(expression.func, ast.Name):
        return None
    if expression.func.id != "tool_call" or expression.args:
        return None
    try:
        arguments = {k.arg: ast.literal_eval(k.value) for k in expression.keywords if k.arg}
        json.dumps(arguments, allow_nan=False)  # the caller is to get what JSON can carry
    except (ValueError, TypeError, MemoryError, RecursionError):
        return None
    return ToolCall(name, arguments) if len(arguments) == len(expression.keywords) else None
