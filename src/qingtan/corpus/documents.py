"""What a record holds: its check, its text, and its tokens."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.recipe import Kind
from qingtan.errors import UserError
from qingtan.glm.conversation import encode_conversation
from qingtan.glm.tokenizer import GLMTokenizer

Value = dict[str, Any]


@dataclass(frozen=True)
class Document:
    """One document or conversation as tokens.

    Attributes:
        tokens: (length,) int64 ids, from `[gMASK] sop` to eos.
        trained: (length,) bool, whether a token is to be predicted; None for plain text.
        scored_bytes: UTF-8 bytes of what is to be predicted: the text, or the answers' contents.
    """

    tokens: NDArray[np.int64]
    trained: NDArray[np.bool_] | None
    scored_bytes: int


def text_of(kind: Kind, value: Value) -> str:
    """Return the text of a record: its "text", or the contents of its messages, one a line.

    Raises:
        UserError: the field is missing, is of another type or empty, or cannot be UTF-8.
    """
    text = _document_text(value) if kind == "text" else _conversation_text(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"the text is no Unicode: {error.reason}") from None
    return text


def digest_of(kind: Kind, value: Value) -> bytes:
    """Return 16 bytes that are the same for records of the same text, on every machine."""
    if kind == "text":
        data = str(value["text"])
    else:
        spoken = [value["messages"], value.get("tools")]
        data = json.dumps(spoken, ensure_ascii=False, sort_keys=True)
    # Escaped halves of a surrogate pair can hide in fields that are no text.
    return hashlib.blake2b(data.encode(errors="surrogatepass"), digest_size=16).digest()


def share_of(digest: bytes) -> float:
    """Map a digest evenly to [0, 1)."""
    return int.from_bytes(digest[:6], "big") / (1 << 48)


def encode(
    tokenizer: GLMTokenizer, kind: Kind, values: Sequence[Value]
) -> list[Document | UserError]:
    """Encode a batch of records that `text_of` accepts.

    Returns:
        For each record its document, or why it cannot be one: a bad record must not lose the rest
        of its batch.
    """
    return ENCODERS[kind](tokenizer, values)


def _encode_texts(tokenizer: GLMTokenizer, values: Sequence[Value]) -> list[Document | UserError]:
    texts = [str(value["text"]) for value in values]
    prefix, suffix = [tokenizer.gmask_id, tokenizer.sop_id], [tokenizer.eos_id]
    return [
        Document(np.asarray(prefix + ids + suffix, np.int64), None, len(text.encode()))
        for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True)
    ]


def _encode_conversations(
    tokenizer: GLMTokenizer, values: Sequence[Value]
) -> list[Document | UserError]:
    return [_encode_one_conversation(tokenizer, value) for value in values]


def _encode_one_conversation(tokenizer: GLMTokenizer, value: Value) -> Document | UserError:
    messages = value["messages"]
    try:
        ids, trained = encode_conversation(tokenizer, messages, value.get("tools"))
    except UserError as error:
        return error
    answers = [_content(message) for message in messages if message["role"] == "assistant"]
    scored_bytes = sum(len(answer.encode()) for answer in answers)
    return Document(np.asarray(ids, np.int64), np.asarray(trained, np.bool_), scored_bytes)


def _document_text(value: Value) -> str:
    text = value.get("text")
    if not isinstance(text, str):
        raise UserError('no "text", or it is not a string')
    if not text.strip():
        raise UserError('"text" is empty')
    return text


def _conversation_text(value: Value) -> str:
    messages, tools = value.get("messages"), value.get("tools")
    if not isinstance(messages, list) or not messages:
        raise UserError('no "messages", or it is not a list of messages')
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise UserError(f"messages[{index}]: not an object with a role")
    if tools is not None and not _are_objects(tools):
        raise UserError('"tools" is not a list of objects')
    return "\n".join(_content(message) for message in messages)


def _are_objects(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)


def _content(message: Value) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


ENCODERS: dict[Kind, Callable[[GLMTokenizer, Sequence[Value]], list[Document | UserError]]] = {
    "text": _encode_texts,
    "conversations": _encode_conversations,
}
