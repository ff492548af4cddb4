"""What a record holds: its check, its text, and its tokens."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from qingtan.corpus.recipe import Kind
from qingtan.errors import UserError
from qingtan.glm.conversation import encode_conversations
from qingtan.glm.tokenizer import GLMTokenizer

Value = dict[str, Any]

# A batch of documents, as it goes from step to step.
DOCUMENTS = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("id", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("attribution", pa.string()),
        # The document, or the contents of the conversation's messages, one a line.
        ("text", pa.large_string()),
        # {"messages": …, "tools": …} as JSON; null for plain text.
        ("conversation", pa.large_binary()),
        ("language", pa.string()),
    ]
)


@dataclass(frozen=True)
class Document:
    """One document or conversation as tokens.

    Attributes:
        tokens: ids, from `[gMASK] sop` to eos.
        trained: whether each token is to be predicted; None for plain text, where all are.
        scored_bytes: UTF-8 bytes of what is to be predicted: the text, or the answers' contents.
    """

    tokens: list[int]
    trained: list[bool] | None
    scored_bytes: int


def content_of(kind: Kind, value: Value) -> Value:
    """Return what of a record is to be learnt: {"text"}, or {"messages"} and perhaps {"tools"}.

    Raises:
        UserError: a field is missing or of another type, or there is no text in it.
    """
    if kind == "text":
        text = value.get("text")
        if not isinstance(text, str):
            raise UserError('no "text", or it is not a string')
        content: Value = {"text": text}
    else:
        messages, tools = value.get("messages"), value.get("tools")
        _check_conversation(messages, tools)
        content = {"messages": messages} | ({"tools": tools} if tools else {})
    if not text_of(content).strip():
        raise UserError('"text" is empty' if kind == "text" else "the messages are empty")
    return content


def text_of(content: Value) -> str:
    """Return the text of a document, or the contents of a conversation's messages, one a line."""
    if "text" in content:
        return str(content["text"])
    return "\n".join(spoken_by(message) for message in content["messages"])


def map_text(content: Value, change: Callable[[str], str]) -> Value:
    """Return a document or conversation with its text, or each message's, changed."""
    if "text" in content:
        return {"text": change(content["text"])}
    return content | {"messages": [_map_message(m, change) for m in content["messages"]]}


def spoken_by(message: Mapping[str, Any]) -> str:
    """Return the text of a message's content, which OpenAI's format may give in parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def digest_of(content: bytes) -> bytes:
    """Return 16 bytes that are the same for the same content, on every machine.

    Args:
        content: the UTF-8 text of a document, or a conversation as `dump_conversation` gives it.
    """
    return hashlib.blake2b(content, digest_size=16).digest()


def dump_conversation(content: Value) -> bytes:
    """Return a conversation as JSON, the same bytes for the same conversation.

    A message's fields are sorted. What is in them, and the tools, keep their order, for a model is
    shown them in it.
    """
    messages = [dict(sorted(message.items())) for message in content["messages"]]
    return orjson.dumps({**content, "messages": messages})


def share_of(digests: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Map digests, (n, 8 or more) uint8, evenly to [0, 1), (n,)."""
    first = np.ascontiguousarray(digests[:, :8]).view(">u8").ravel()
    # 2**53 values: all that a float64 tells apart.
    return (first >> np.uint64(11)).astype(np.float64) / (1 << 53)


def encode_texts(tokenizer: GLMTokenizer, texts: Sequence[bytes]) -> list[Document]:
    """Encode documents, UTF-8, on one core."""
    documents = []
    for text, ids in zip(texts, tokenizer.encode_batch(texts, threads=1), strict=True):
        # In place: a joined list would count every number's references anew.
        ids[:0] = tokenizer.prefix
        ids.append(tokenizer.eos_id)
        documents.append(Document(ids, None, len(text)))
    return documents


def encode_messages(
    tokenizer: GLMTokenizer, contents: Sequence[Value]
) -> list[Document | UserError]:
    """Encode conversations, on one core; one that is malformed gives the reason instead."""
    pairs = [(content["messages"], content.get("tools")) for content in contents]
    results = encode_conversations(tokenizer, pairs)
    return [
        result if isinstance(result, UserError) else Document(*result, _answer_bytes(content))
        for content, result in zip(contents, results, strict=True)
    ]


def _answer_bytes(content: Value) -> int:
    answers = (m for m in content["messages"] if m["role"] == "assistant")
    return sum(len(spoken_by(answer).encode()) for answer in answers)


def _map_message(message: Value, change: Callable[[str], str]) -> Value:
    content = message.get("content")
    if isinstance(content, str):
        return message | {"content": change(content)}
    if isinstance(content, list):
        return message | {"content": [_map_part(part, change) for part in content]}
    return message


def _map_part(part: Any, change: Callable[[str], str]) -> Any:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return part | {"text": change(part["text"])}
    return part


def _check_conversation(messages: Any, tools: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise UserError('no "messages", or it is not a list of messages')
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise UserError(f"messages[{index}]: not an object with a role")
    if tools is not None and not _are_objects(tools):
        raise UserError('"tools" is not a list of objects')


def _are_objects(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)
