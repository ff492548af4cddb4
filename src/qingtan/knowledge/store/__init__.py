"""Where bases, documents, chunks, vectors and jobs lie: SQLite, or PostgreSQL."""

from pathlib import Path

from qingtan.knowledge.store import sqlite_store
from qingtan.knowledge.store.errors import Unavailable
from qingtan.knowledge.store.interface import Store
from qingtan.knowledge.store.snapshots import MEMORY

__all__ = ["Unavailable", "open_store", "restore"]


def open_store(place: str | Path, memory: int = MEMORY) -> Store:
    """Open the store at a path, or at an address (postgresql://…); it is made if it is not there.

    Args:
        memory: bytes that bases' words may take in memory, about, for searches to be faster; those
            that were searched last are kept, and what does not fit is left to the database.

    Raises:
        UserError: it cannot be opened.
    """
    if _is_address(place):
        from qingtan.knowledge.store.postgres_store import PostgresStore  # only where it is used

        return PostgresStore(str(place), memory=memory)
    return sqlite_store.SqliteStore(place, memory=memory)


def restore(backup: str | Path, place: str | Path, replace: bool = False) -> None:
    """Make the store at a place what it was when a backup was made.

    Raises:
        UserError: the backup is damaged or no store; there is a store at `place`, and it may not
            be replaced.
    """
    if _is_address(place):
        from qingtan.knowledge.store import postgres_store

        postgres_store.restore(Path(backup), str(place), replace)
    else:
        sqlite_store.restore(backup, place, replace)


def _is_address(place: str | Path) -> bool:
    return str(place).startswith(("postgresql://", "postgres://"))
