"""What the store asks of a database: rows for SQL, and transactions.

SQL is written once, for SQLite and PostgreSQL, with "?" for values.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Row = tuple[Any, ...]


class Database(Protocol):
    """A database; each thread has a connection of its own.

    Attributes:
        bytes_type: what a column of bytes is called.
        text_type: what a column of text is called that is sorted by its code points.
        number_key: how a column of numbers that are never used again is declared.
        skip_locked: the end of a SELECT that passes over rows that others hold.
        hold: the end of a SELECT whose rows nobody else changes before the transaction ends.
    """

    bytes_type: str
    text_type: str
    number_key: str
    skip_locked: str
    hold: str

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement.

        Raises:
            Unavailable: the database is locked for long, full, or out of reach.
        """

    def many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of values."""

    def transaction(self) -> AbstractContextManager[None]:
        """Within it all changes are made, or none; one inside of another may fail alone."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Within it all that is read is of one moment."""

    def close(self) -> None:
        """Close all connections; it may be called twice."""
