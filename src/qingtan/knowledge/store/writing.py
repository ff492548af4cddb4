"""Rows for what is put into a store."""

import json
import secrets
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import UserError
from qingtan.i18n import tr
from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.documents import Document
from qingtan.knowledge.store.database import Database
from qingtan.knowledge.store.interface import Base
from qingtan.knowledge.store.records import clean, dump_blocks, dump_chunk, dumped, now

_ID_BYTES = 16


def insert_document(
    database: Database,
    base: Base,
    document: Document,
    digest: str,
    topic: str,
    chunks: int,
    original: bytes | None,
) -> tuple[str, int]:
    """Add a document and its contents; returns its id and its number."""
    id = secrets.token_urlsafe(_ID_BYTES)
    ((number,),) = database.rows(
        "INSERT INTO documents (id, base, name, title, media_type, digest, topic, date, "
        "pages, chunks, added, warnings, facts) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
        (
            id,
            base.id,
            clean(document.name),
            clean(document.title),
            clean(document.media_type),
            digest,
            clean(topic),
            None if document.date is None else clean(document.date),
            document.pages,
            chunks,
            now(),
            dumped(document.warnings),
            dumped(dict(document.facts)),
        ),
    )
    database.rows(
        "INSERT INTO contents (document, blocks, original) VALUES (?, ?, ?)",
        (number, dump_blocks(document.blocks), original),
    )
    return id, number


def insert_chunks(
    database: Database, document: int, chunks: Sequence[Chunk], topic: str
) -> list[int]:
    """Add a document's chunks; returns their numbers."""
    numbers = []
    for chunk in chunks:
        ((number,),) = database.rows(
            "INSERT INTO chunks (id, document, topic, chunk) VALUES (?, ?, ?, ?) RETURNING number",
            (
                secrets.token_urlsafe(_ID_BYTES),
                document,
                clean(chunk.topic or topic),
                dump_chunk(chunk),
            ),
        )
        numbers.append(number)
    return numbers


def check_vectors(
    chunks: Sequence[Chunk], vectors: NDArray[np.float32] | None, encoder: str
) -> None:
    """Make sure that there is a vector for each chunk, and it is known who made them.

    Raises:
        UserError: it is not so.
    """
    if vectors is None:
        return
    if vectors.ndim != 2 or len(vectors) != len(chunks) or not np.isfinite(vectors).all():
        raise UserError(
            tr(
                f"{encoder}: gave vectors of the shape {vectors.shape} for {len(chunks)} passages, "
                "or not numbers; look at the encoder",
                f"{encoder}：为{len(chunks)}个片段返回了形状为{vectors.shape}的向量，或含有非数值，"
                "请检查编码器",
            )
        )
    if not encoder:
        raise UserError(tr("name the encoder that made the vectors", "请注明生成向量的编码器"))


def dump_words(words: Sequence[str]) -> str:
    """Return a base's own words as they are stored."""
    return json.dumps(sorted({clean(word).strip() for word in words} - {""}), ensure_ascii=False)
