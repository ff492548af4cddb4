"""Files of text that a command measures a model on, as tokens."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from qingtan.corpus.documents import (
    Document,
    Value,
    content_of,
    encode_messages,
    encode_texts,
    text_of,
)
from qingtan.corpus.reading import FormatTable, Rejected, list_files, parse, read_raw
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer

# Of as many documents one is held back.
_HELD_BACK = 8


def read_documents(
    files: Sequence[Path], tokenizer: GLMTokenizer, most_tokens: int
) -> list[Document]:
    """Read the first documents of files, of each file as many tokens as of the others.

    Args:
        files: of any format that `qingtan corpus build` reads, with "text" or "messages".
        most_tokens: in all, at least 1. Plain text is cut there, a conversation never.

    Raises:
        UserError: a file cannot be read, a record is malformed, or there is no text; the message
            names file and line.
    """
    share = -(-most_tokens // len(files))
    documents = [document for file in files for document in _read_file(file, tokenizer, share)]
    if not documents:
        raise UserError(f"{', '.join(map(str, files))}: no text of at most {share} tokens in it")
    return documents


def hold_back(documents: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    """Return seven documents of eight, and the others; of fewer than eight all of them twice."""
    if len(documents) < _HELD_BACK:
        return list(documents), list(documents)
    kept = [document for i, document in enumerate(documents) if i % _HELD_BACK]
    return kept, list(documents[::_HELD_BACK])


def _read_file(file: Path, tokenizer: GLMTokenizer, most: int) -> list[Document]:
    documents: list[Document] = []
    for document in _encode_file(file, tokenizer):
        if len(document.tokens) > most:
            if document.trained is not None:
                continue
            document = _cut(document, tokenizer, most)
        if len(document.tokens) > len(tokenizer.prefix):
            documents.append(document)
            most -= len(document.tokens)
        if most <= len(tokenizer.prefix):
            break
    return documents


def _encode_file(file: Path, tokenizer: GLMTokenizer) -> Iterator[Document]:
    table = FormatTable()
    for block in read_raw(list_files(file), table):
        for item in parse(block, table):
            if isinstance(item, Rejected):
                raise UserError(f"{file}:{item.line}: {item.reason}")
            try:
                yield _encode(tokenizer, item.value)
            except UserError as error:
                raise UserError(f"{file}:{item.line}: {error}") from None


def _encode(tokenizer: GLMTokenizer, value: Value) -> Document:
    if "messages" not in value:
        text = text_of(content_of("text", value))
        return encode_texts(tokenizer, [text.encode("utf-8", "replace")])[0]
    (found,) = encode_messages(tokenizer, [content_of("conversations", value)])
    if isinstance(found, UserError):
        raise found
    return found


def _cut(document: Document, tokenizer: GLMTokenizer, most: int) -> Document:
    tokens = document.tokens[:most]
    text = tokenizer.decode(tokens[len(tokenizer.prefix) :])
    return Document(tokens, None, len(text.encode("utf-8", "replace")))
