"""What is kept, as JSON for programs: the API's answers and the command line's --json."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.documents import Block
from qingtan.knowledge.ingestion import Job
from qingtan.knowledge.retrieval import Hit
from qingtan.knowledge.store.feedback import Feedback
from qingtan.knowledge.store.interface import Base, StoredChunk, StoredDocument

Json = dict[str, Any]


def base_json(base: Base) -> Json:
    """Return a base; its number and its tenant stay inside."""
    return {
        "name": base.name,
        "about": base.about,
        "words": list(base.words),
        "encoder": base.encoder,
        "created": base.created,
        "documents": base.documents,
        "chunks": base.chunks,
    }


def document_json(document: StoredDocument, base: str) -> Json:
    """Return a document with its base's name."""
    return {"base": base, **asdict(document)}


def block_json(number: int, block: Block) -> Json:
    """Return a block with its number, from 1, which citations name."""
    return {"number": number, **asdict(block)}


def chunk_json(id: str, chunk: Chunk) -> Json:
    """Return a chunk with its id."""
    return {"id": id, **asdict(chunk)}


def place_json(found: StoredChunk) -> Json:
    """Return a chunk with where it stands."""
    document = found.document
    return {
        "base": found.base,
        "document": {
            "id": document.id,
            "name": document.name,
            "title": document.title,
            "topic": document.topic,
            "date": document.date,
        },
        "chunk": chunk_json(found.id, found.chunk),
    }


def hit_json(hit: Hit) -> Json:
    """Return a passage that was found, with its scores."""
    return {
        **place_json(hit.chunk),
        "score": hit.score,
        "words": hit.words,
        "vectors": hit.vectors,
    }


def job_json(job: Job, report: bool = True) -> Json:
    """Return a job, with its report or without."""
    return asdict(job if report else replace(job, report=()))


def feedback_json(feedback: Feedback) -> Json:
    """Return what somebody said."""
    said = asdict(feedback.opinion)
    return {"id": feedback.id, "base": feedback.base, **said, "time": feedback.time}


def list_json(items: Sequence[Json]) -> Json:
    """Return a list in OpenAI's form."""
    return {"object": "list", "data": list(items)}
