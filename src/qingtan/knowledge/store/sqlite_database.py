"""SQLite through apsw: a connection for each thread, in WAL mode, so that nobody waits to read."""

import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw
import sqlite_vec

from qingtan.errors import UserError
from qingtan.i18n import tr
from qingtan.knowledge.store.database import Row
from qingtan.knowledge.store.errors import Unavailable

APPLICATION_ID = 0x51544B42  # "QTKB": the file is a store of Qingtan's
_CACHE_KIB = 65_536


class SqliteDatabase:
    """A file; see `database.Database`.

    Args:
        path: made if it is not there.
        patience: seconds to wait for others who write.
    """

    bytes_type = "BLOB"
    text_type = "TEXT"
    number_key = "INTEGER PRIMARY KEY AUTOINCREMENT"
    skip_locked = hold = ""  # whoever writes is alone

    def __init__(self, path: Path, patience: float = 30.0) -> None:
        """Open the file.

        Raises:
            UserError: it cannot be opened, or is no store.
        """
        self.path = path
        self._patience = patience
        self._local = threading.local()
        self._all: weakref.WeakSet[apsw.Connection] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False
        with reported(path):
            _check_kind(self.connection, path)

    @property
    def connection(self) -> apsw.Connection:
        """The thread's own."""
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            with self._lock:
                if self._closed:
                    raise UserError(tr(f"{self.path}: is closed", f"{self.path}：已关闭"))
                connection = connect(self.path, self._patience)
                self._all.add(connection)
            self._local.connection = connection
        return connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement; see `Database.rows`."""
        with reported(self.path):
            return list(self.connection.execute(sql, tuple(values)))

    def many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of values."""
        with reported(self.path):
            self.connection.executemany(sql, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Database.transaction`."""
        with reported(self.path):
            if self.connection.in_transaction:
                with self.connection:  # a savepoint
                    yield
                return
            # At once for writing: a transaction that begins to write late cannot wait for others.
            self.connection.execute("BEGIN IMMEDIATE")
            with _ended(self.connection):
                yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """See `Database.snapshot`."""
        with reported(self.path):
            if self.connection.in_transaction:
                yield
                return
            self.connection.execute("BEGIN")
            with _ended(self.connection):
                yield

    def close(self) -> None:
        """See `Database.close`."""
        with self._lock:
            self._closed = True
            for connection in [*self._all]:
                connection.close(True)
        self._local = threading.local()


def connect(path: Path, patience: float = 30.0, flags: int | None = None) -> apsw.Connection:
    """Open a connection that knows vectors."""
    if flags is None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with reported(path):
        connection = apsw.Connection(str(path), flags)
        connection.set_busy_timeout(int(patience * 1000))
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        connection.enable_load_extension(False)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return connection


def _check_kind(connection: apsw.Connection, path: Path) -> None:
    """Make sure that a file is new or a store."""
    (kind,) = connection.execute("PRAGMA application_id").fetchone() or (0,)
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() or (0,)
    if kind != APPLICATION_ID and objects:
        raise UserError(
            tr(
                f"{path}: is a database of something else; name another file",
                f"{path}：是其他程序的数据库，请改用别的文件名",
            )
        )
    connection.execute("PRAGMA journal_mode = WAL")


@contextmanager
def _ended(connection: apsw.Connection) -> Iterator[None]:
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk may have ended it already
            connection.execute("ROLLBACK")
        raise


class reported:  # noqa: N801 (it is called like a function)
    """Say what is wrong with a file in words for people.

    Not a generator: it stands around every statement, and a generator takes longer than some.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise what was raised, in words."""
        if isinstance(error, apsw.Error) and (worded := _worded(self._path, error)):
            raise worded from None


def _worded(path: Path, error: apsw.Error) -> UserError | None:
    """Return an error for people; None for what is no fault of theirs or the machine's."""
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return Unavailable(
                tr(
                    f"{path}: is locked by another program; try again when that is done",
                    f"{path}：被其他程序锁定，请稍后重试",
                )
            )
        case apsw.FullError():
            return Unavailable(
                tr(
                    f"{path}: the disk is full; nothing was changed; make room and try again",
                    f"{path}：磁盘已满，未做任何更改，请清理空间后重试",
                )
            )
        case apsw.NotADBError() | apsw.CorruptError():
            return UserError(
                tr(
                    f"{path}: is damaged or no store ({error}); restore a backup",
                    f"{path}：已损坏或不是知识库（{error}），请从备份恢复",
                )
            )
        case apsw.CantOpenError() | apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.IOError():
            return Unavailable(
                tr(
                    f"{path}: cannot be opened or written ({error})",
                    f"{path}：无法打开或写入（{error}）",
                )
            )
    return None
