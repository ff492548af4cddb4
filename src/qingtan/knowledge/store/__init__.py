"""Where bases, documents, chunks, vectors and jobs lie: SQLite, or PostgreSQL."""

from pathlib import Path

from qingtan.knowledge.store.errors import Unavailable
from qingtan.knowledge.store.interface import Store
from qingtan.knowledge.store.sqlite_store import SqliteStore, restore

__all__ = ["Unavailable", "open_store", "restore"]


def open_store(place: str | Path) -> Store:
    """Open the store at a path.

    Raises:
        UserError: it cannot be opened.
    """
    return SqliteStore(place)
