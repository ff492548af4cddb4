"""Between what is stored and what is handed out: JSON for what is never searched by."""

import json
import secrets
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.documents import Block, Faq
from qingtan.knowledge.store.database import Row
from qingtan.knowledge.store.interface import Base, StoredChunk, StoredDocument

DOCUMENT = (
    "documents.id, documents.name, documents.title, documents.media_type, documents.digest, "
    "documents.topic, documents.date, documents.pages, documents.chunks, documents.added, "
    "documents.warnings, documents.facts"
)
BASE = (
    "number, tenant, name, about, words, encoder, dimensions, created, documents, chunks, revision"
)
_DECODER = json.JSONDecoder()
# The fields of what is kept as JSON, with their defaults; finding them anew takes a fifth of the
# time that it takes to keep a passage.
_USUAL = {
    kind: tuple((each.name, each.default) for each in fields(kind)) for kind in (Chunk, Block)
}


def now() -> str:
    """Return the time: ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def clean(text: str) -> str:
    """Return a text that any database can hold: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def new_revision() -> str:
    """Return a base's next revision.

    It is no counter: after a backup is restored, a counter would come to numbers again that stood
    for something else.
    """
    return secrets.token_urlsafe(12)


def dumped(value: Any) -> str:
    """Return compact JSON; what is at its default may be left out by the caller."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode("utf-8")


def base_of(row: Row) -> Base:
    """Make a base of the columns `BASE`."""
    number, tenant, name, about, words, *rest = row
    return Base(number, tenant, name, about, tuple(_parsed(words)), *rest)


def document_of(row: Row) -> StoredDocument:
    """Make a document of the columns `DOCUMENT`."""
    id, name, title, media_type, digest, topic, date, pages, chunks, added, warnings, facts = row
    return StoredDocument(
        id,
        name,
        title,
        media_type,
        digest,
        topic,
        date,
        pages,
        chunks,
        added,
        tuple(_parsed(warnings)) if warnings != "[]" else (),
        _parsed(facts) if facts != "{}" else {},
    )


def stored_chunk_of(row: Row) -> StoredChunk:
    """Make a chunk of its id, its base's name, its JSON, and the columns `DOCUMENT`."""
    return StoredChunk(row[0], document_of(row[3:]), row[1], load_chunk(row[2]))


def dump_chunk(chunk: Chunk) -> str:
    """Return a chunk as JSON, without what is as usual."""
    return dumped(_unusual(chunk))


def load_chunk(text: str) -> Chunk:
    """Return what `dump_chunk` wrote."""
    return Chunk(**_tuples(_parsed(text)))


def dump_blocks(blocks: Sequence[Block]) -> bytes:
    """Return blocks as compressed JSON."""
    return zlib.compress(dumped([_unusual(block) for block in blocks]).encode(), 6)


def load_blocks(data: bytes) -> tuple[Block, ...]:
    """Return what `dump_blocks` wrote."""
    return tuple(_block(each) for each in json.loads(zlib.decompress(data)))


def _block(saved: dict[str, Any]) -> Block:
    faq = saved.pop("faq", None)
    rows = tuple(tuple(row) for row in saved.pop("rows", ()))
    made = Faq(**_tuples(faq)) if faq else None
    return Block(**_tuples(saved), rows=rows, faq=made)


def _unusual(record: Chunk | Block) -> Mapping[str, Any]:
    saved = {
        name: value
        for name, usual in _USUAL[type(record)]
        if (value := getattr(record, name)) != usual
    }
    if faq := saved.get("faq"):
        saved["faq"] = asdict(faq)
    return saved


def _tuples(saved: dict[str, Any]) -> dict[str, Any]:
    for name, value in saved.items():
        if isinstance(value, list):
            saved[name] = tuple(value)
    return saved


def _parsed(text: str) -> Any:
    """Return what `dumped` wrote; `json.loads` looks for spaces and marks first."""
    return _DECODER.raw_decode(text)[0]
