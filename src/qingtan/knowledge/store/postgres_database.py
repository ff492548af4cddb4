"""PostgreSQL through psycopg: a connection for each thread."""

import threading
import weakref
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors, sql

from qingtan.errors import UserError
from qingtan.i18n import tr
from qingtan.knowledge.store.database import Row
from qingtan.knowledge.store.errors import Unavailable

SCHEMA = "qingtan"
_MOST_PATIENT = 30_000  # milliseconds to wait for others who write


class PostgresDatabase:
    """A schema of a database; see `database.Database`.

    Args:
        address: postgresql://…
    """

    bytes_type = "BYTEA"
    text_type = 'TEXT COLLATE "C"'
    number_key = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    skip_locked = " FOR UPDATE SKIP LOCKED"
    hold = " FOR UPDATE"

    def __init__(self, address: str) -> None:
        """Connect.

        Raises:
            UserError: the server cannot be reached, or refuses.
        """
        self.address = address
        self._local = threading.local()
        self._all: weakref.WeakSet[psycopg.Connection[Row]] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False
        with self._reported():
            self.name = _name(self.connection)

    @property
    def connection(self) -> psycopg.Connection[Row]:
        """The thread's own."""
        connection: psycopg.Connection[Row] | None = getattr(self._local, "connection", None)
        if connection is None or connection.closed:
            with self._lock:
                if self._closed:
                    raise UserError(tr("the store is closed", "知识库已关闭"))
                connection = psycopg.connect(
                    self.address,
                    autocommit=True,
                    options=f"-c search_path={SCHEMA},public -c lock_timeout={_MOST_PATIENT}",
                )
                self._all.add(connection)
            self._local.connection = connection
        return connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement; see `Database.rows`."""
        with self._reported():
            # Not a text that anybody gave: values are never part of it.
            cursor = self.connection.execute(_own(sql), values)
            return cursor.fetchall() if cursor.description else []

    def streamed(self, sql: str, count: int) -> Generator[Row]:
        """Give the rows of one statement within a transaction, so many at once."""
        with self._reported(), self.connection.cursor("streamed", binary=True) as cursor:
            cursor.itersize = count
            cursor.execute(_own(sql))
            yield from cursor

    def many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of values."""
        with self._reported(), self.connection.cursor() as cursor:
            cursor.executemany(_own(sql), values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Database.transaction`."""
        with self._reported(), self.connection.transaction():
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """See `Database.snapshot`."""
        inside = self.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
        with self._reported(), self.connection.transaction():
            if not inside:
                self.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield

    def close(self) -> None:
        """See `Database.close`."""
        with self._lock:
            self._closed = True
            for connection in [*self._all]:
                connection.close()
        self._local = threading.local()

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Say what is wrong in words for people; neither address nor password is among them."""
        try:
            yield
        except (errors.DiskFull, errors.LockNotAvailable, errors.DeadlockDetected) as error:
            raise Unavailable(
                tr(
                    f"PostgreSQL: {error.diag.message_primary}; nothing was changed; try again",
                    f"PostgreSQL：{error.diag.message_primary}，未做任何更改，请重试",
                )
            ) from None
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            reason = type(error).__name__ if not error.args else _first_line(str(error))
            raise Unavailable(
                tr(
                    f"PostgreSQL is out of reach: {reason}",
                    f"无法连接PostgreSQL：{reason}",
                )
            ) from None


def _own(statement: str) -> sql.SQL:
    return sql.SQL(statement.replace("?", "%s"))


def _name(connection: psycopg.Connection[Row]) -> str:
    return f"PostgreSQL {connection.info.dbname}"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""
