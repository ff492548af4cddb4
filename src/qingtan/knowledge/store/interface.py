"""What every store can do. Callers hold a `Store` and never know which one.

A base belongs to a tenant. Everything is reached through a `Base` that `Store.base` gave for that
tenant, so that one tenant's names and numbers open nothing of another's.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.documents import Block, Document

if TYPE_CHECKING:
    from qingtan.knowledge.store.feedback import FeedbackTable
    from qingtan.knowledge.store.jobs import Jobs

DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True)
class Base:
    """A knowledge base.

    Attributes:
        id: of the store; never shown to tenants.
        words: the trade's own words, which segmentation keeps whole.
        encoder: what made its vectors, by name; empty where it has none.
        dimensions: of its vectors; 0 where it has none.
        revision: another one after each change of its passages or its own words.
    """

    id: int
    tenant: str
    name: str
    about: str = ""
    words: tuple[str, ...] = ()
    encoder: str = ""
    dimensions: int = 0
    created: str = ""
    documents: int = 0
    chunks: int = 0
    revision: str = ""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What a base says of a document.

    Attributes:
        id: unguessable, so that it may stand in addresses.
        digest: SHA-256 of the file's bytes, by which the same document again changes nothing.
    """

    id: str
    name: str
    title: str
    media_type: str
    digest: str
    topic: str
    date: str | None
    pages: int | None
    chunks: int
    added: str
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk with its document.

    Attributes:
        id: of the chunk, unguessable.
    """

    id: str
    document: StoredDocument
    base: str
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Found:
    """A chunk that a search found; a higher score is better."""

    chunk: StoredChunk
    score: float


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents are searched; empty fields let everything through."""

    topics: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None


EVERYTHING = Filter()


class Store(Protocol):
    """See the module.

    Every method raises NotFound (a UserError) for what is not there or is another tenant's, and
    Unavailable (a UserError, too) where the store is locked for long or its disk is full; nothing
    is changed then. Threads and processes may share a store.

    Attributes:
        jobs: what is being read into the bases.
        feedback: what people said of answers and passages.
    """

    jobs: "Jobs"
    feedback: "FeedbackTable"

    def create_base(
        self, tenant: str, name: str, *, about: str = "", words: Sequence[str] = ()
    ) -> Base:
        """Make a base; its name must be new to the tenant."""

    def bases(self, tenant: str) -> list[Base]:
        """Return a tenant's bases, by name."""

    def base(self, tenant: str, name: str) -> Base:
        """Return one of a tenant's bases."""

    def remove_base(self, base: Base) -> None:
        """Remove a base with everything in it."""

    def set_words(self, base: Base, words: Sequence[str]) -> Base:
        """Change the trade's own words, and index the base anew by them."""

    def put_document(
        self,
        base: Base,
        document: Document,
        digest: str,
        chunks: Sequence[Chunk],
        *,
        topic: str = "",
        original: bytes | None = None,
        vectors: NDArray[np.float32] | None = None,
        encoder: str = "",
        within: Callable[[], None] | None = None,
    ) -> StoredDocument:
        """Put a document in, in the place of an earlier one of its name, in one transaction.

        Args:
            original: the file, for pages to be shown.
            vectors: (chunks, dimensions), of length 1.
            encoder: what made them; one base holds the vectors of one.
            within: called inside of the transaction, so that what it changes in the store is
                changed together with the document; what it raises undoes both.
        """

    def documents(self, base: Base) -> list[StoredDocument]:
        """Return what is in a base, by name."""

    def document(self, base: Base, id: str) -> StoredDocument:
        """Return one document."""

    def document_named(self, base: Base, name: str) -> StoredDocument | None:
        """Return the document of a name, if there is one."""

    def remove_document(self, base: Base, id: str) -> None:
        """Remove a document with its chunks, vectors and original."""

    def blocks(self, base: Base, document: str) -> tuple[Block, ...]:
        """Return a document's blocks."""

    def original(self, base: Base, document: str) -> bytes | None:
        """Return the file."""

    def chunks(self, base: Base, document: str) -> list[StoredChunk]:
        """Return a document's chunks in their order."""

    def chunk(self, base: Base, id: str) -> StoredChunk:
        """Return one chunk."""

    def search_words(
        self, bases: Sequence[Base], query: str, limit: int, where: Filter = EVERYTHING
    ) -> list[Found]:
        """Return the chunks that hold the query's words, best first, by bm25.

        Nothing in the query is syntax.
        """

    def search_vectors(
        self,
        bases: Sequence[Base],
        vector: NDArray[np.float32],
        limit: int,
        where: Filter = EVERYTHING,
    ) -> list[Found]:
        """Return the chunks that are nearest to a vector of length 1, best first, by cosine."""

    def warm(self, base: Base) -> None:
        """Take a base's words into memory now, rather than after the first searches.

        Searches are faster then, until the base changes and for a moment after. Nothing is done
        where it is too large.
        """

    def check(self) -> list[str]:
        """Return what is damaged, for people; nothing where the store is whole."""

    def backup(self, path: Path) -> None:
        """Write everything into one file, beside and renamed, while the store is in use."""

    def transaction(self) -> AbstractContextManager[None]:
        """Within it all changes are made, or none."""

    def close(self) -> None:
        """Close the store; it may be called twice."""
