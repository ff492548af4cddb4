"""A store in one file."""

from collections.abc import Sequence
from pathlib import Path

import apsw

from qingtan.errors import UserError
from qingtan.i18n import tr
from qingtan.knowledge.store import schema
from qingtan.knowledge.store.snapshots import MEMORY
from qingtan.knowledge.store.sql_store import SqlStore
from qingtan.knowledge.store.sqlite_database import (
    APPLICATION_ID,
    SqliteDatabase,
    connect,
    reported,
)
from qingtan.knowledge.store.sqlite_index import SqliteIndex


class SqliteStore(SqlStore):
    """A store in one file; see `Store`.

    Args:
        path: made, with its folder, if it is not there; an older schema is upgraded.
        patience: seconds to wait for others who write.
        steps: to the newest schema; only tests give others.
        memory: see `SqlStore`.
    """

    def __init__(
        self,
        path: str | Path,
        patience: float = 30.0,
        steps: Sequence[schema.Step] = schema.STEPS,
        memory: int = MEMORY,
    ) -> None:
        """Open or make the store.

        Raises:
            UserError: the file is something else's, damaged, or of a newer version.
        """
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path.parent}: {error.strerror}") from None
        self._file = SqliteDatabase(self.path, patience)
        super().__init__(self._file, SqliteIndex(self._file), memory)
        try:
            self._upgrade(steps)
        except BaseException:
            self.close()
            raise

    def _upgrade(self, steps: Sequence[schema.Step]) -> None:
        if self._version() == len(steps):
            return
        with self.transaction():
            # Another process may have done it in the meantime.
            version = schema.upgrade(self._file, self._version(), steps, str(self.path))
            self._file.rows(f"PRAGMA user_version = {version}")
            self._file.rows(f"PRAGMA application_id = {APPLICATION_ID}")

    def _version(self) -> int:
        ((version,),) = self._file.rows("PRAGMA user_version")
        return int(version)

    def check(self) -> list[str]:
        """See `Store.check`."""
        return _damage(self._file.connection, self.path) or super().check()

    def backup(self, path: Path) -> None:
        """See `Store.backup`."""
        path = Path(path)
        if path.resolve() == self.path.resolve():
            raise UserError(tr(f"{path}: is the store itself", f"{path}：就是知识库文件本身"))
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        try:
            with reported(partial):
                target = connect(partial)
                try:
                    _copy(self._file.connection, target)
                    target.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
                finally:
                    target.close(True)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def restore(backup: str | Path, path: str | Path, replace: bool = False) -> None:
    """Make a store what it was when a backup was made.

    The backup is checked first. A store in use is replaced in one transaction: whoever has it open
    goes on with what was restored.

    Raises:
        UserError: the backup is damaged or no store; there is a store at `path`, and it may not be
            replaced.
    """
    backup, path = Path(backup), Path(path)
    if not backup.is_file():
        raise UserError(tr(f"{backup}: no such file", f"{backup}：没有这个文件"))
    if path.exists() and path.samefile(backup):
        raise UserError(tr(f"{backup}: is the store itself", f"{backup}：就是知识库文件本身"))
    if path.exists() and not replace:
        raise UserError(
            tr(
                f"{path}: exists; name another file, or replace it with --force",
                f"{path}：已存在，请改用其他文件名，或用 --force 覆盖",
            )
        )
    with reported(backup):
        source = connect(backup, flags=apsw.SQLITE_OPEN_READONLY)
        try:
            _check_backup(source, backup)
            path.parent.mkdir(parents=True, exist_ok=True)
            _restore_from(source, path)
        finally:
            source.close(True)
    SqliteStore(path).close()  # an old backup is upgraded, for whoever has the store open


def _restore_from(source: apsw.Connection, path: Path) -> None:
    with reported(path):
        target = connect(path)
        try:
            _copy(source, target)
        finally:
            target.close(True)


def _check_backup(source: apsw.Connection, backup: Path) -> None:
    (kind,) = source.execute("PRAGMA application_id").fetchone() or (0,)
    (version,) = source.execute("PRAGMA user_version").fetchone() or (0,)
    if kind != APPLICATION_ID:
        raise UserError(tr(f"{backup}: is no backup of a store", f"{backup}：不是知识库备份"))
    schema.check_known(version, len(schema.STEPS), str(backup))
    if wrong := _damage(source, backup):
        raise UserError(tr(f"{backup}: is damaged: {wrong[0]}", f"{backup}：已损坏：{wrong[0]}"))


def _damage(connection: apsw.Connection, path: Path) -> list[str]:
    """Return what SQLite and its indexes find wrong with themselves."""
    with reported(path):
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(10)")]
        strays = list(connection.execute("PRAGMA foreign_key_check"))
    wrong = [] if found == ["ok"] else found
    return wrong + [f"{table}: {number}" for table, number, *_ in strays]


def _copy(source: apsw.Connection, target: apsw.Connection) -> None:
    """Copy all pages as they are at one moment; others may write meanwhile."""
    with target.backup("main", source, "main") as copying:
        while not copying.done:
            copying.step(-1)
