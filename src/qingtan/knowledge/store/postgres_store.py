"""A store that several servers share."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from psycopg import conninfo

from qingtan.errors import UserError
from qingtan.i18n import tr
from qingtan.knowledge.store import schema
from qingtan.knowledge.store.postgres_database import SCHEMA, PostgresDatabase
from qingtan.knowledge.store.postgres_index import PostgresIndex, functions
from qingtan.knowledge.store.snapshots import MEMORY
from qingtan.knowledge.store.sql_store import SqlStore

_UPGRADING = 0x51544B42  # whoever upgrades holds this lock
# What pg_dump and pg_restore read from the environment; no password stands in a command line.
_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}


class PostgresStore(SqlStore):
    """A store in a schema of its own, "qingtan", of a database; see `Store`.

    Args:
        address: postgresql://user:password@host/database
        steps: to the newest schema; only tests give others.
        pgvector: whether it may be used; None where the server has it.
        memory: see `SqlStore`.
    """

    def __init__(
        self,
        address: str,
        steps: Sequence[schema.Step] = schema.STEPS,
        pgvector: bool | None = None,
        memory: int = MEMORY,
    ) -> None:
        """Connect, and make or upgrade the schema.

        Raises:
            UserError: the server cannot be reached, or its schema is of a newer version.
        """
        self._server = PostgresDatabase(address)
        try:
            with self._server.transaction():
                self._server.rows("SELECT pg_advisory_xact_lock(?)", (_UPGRADING,))
                used = self._prepare(steps, pgvector)
        except BaseException:
            self._server.close()
            raise
        super().__init__(self._server, PostgresIndex(self._server, used), memory)

    def _prepare(self, steps: Sequence[schema.Step], pgvector: bool | None) -> bool:
        """Make or upgrade the schema; returns whether it uses pgvector."""
        rows = self._server.rows
        ((exists,),) = rows("SELECT to_regclass(?) IS NOT NULL", (f"{SCHEMA}.version",))
        if not exists:
            rows(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            rows("CREATE TABLE version (version INTEGER NOT NULL, pgvector BOOLEAN NOT NULL)")
            rows("INSERT INTO version VALUES (0, ?)", (self._wants_pgvector(pgvector),))
            for function in functions():
                rows(function)
        ((version, used),) = rows("SELECT version, pgvector FROM version")
        if version != len(steps):
            version = schema.upgrade(self._server, version, steps, self._server.name)
            rows("UPDATE version SET version = ?", (version,))
        return bool(used)

    def _wants_pgvector(self, wanted: bool | None) -> bool:
        """Create the extension where it is there."""
        if wanted is False or not self._server.rows(
            "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
        ):
            return False
        self._server.rows("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
        return True

    def backup(self, path: Path) -> None:
        """See `Store.backup`; the file is pg_dump's."""
        path = Path(path)
        partial = path.with_name(f".{path.name}.partial")
        if not path.parent.is_dir():
            raise UserError(tr(f"{path.parent}: no such folder", f"{path.parent}：没有这个文件夹"))
        try:
            _run(
                self._server.address,
                ["pg_dump", "--format=custom", f"--schema={SCHEMA}", f"--file={partial}"],
            )
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def restore(backup: Path, address: str, replace: bool = False) -> None:
    """Make a store what it was when a backup was made, in one transaction.

    Raises:
        UserError: the backup is damaged; there is a store, and it may not be replaced.
    """
    if not backup.is_file():
        raise UserError(tr(f"{backup}: no such file", f"{backup}：没有这个文件"))
    _run(address, ["pg_restore", "--list", str(backup)], quiet=True)
    server = PostgresDatabase(address)
    try:
        ((exists,),) = server.rows("SELECT to_regnamespace(?) IS NOT NULL", (SCHEMA,))
        if exists and not replace:
            raise UserError(
                tr(
                    f"{server.name}: has a store; replace it with --force",
                    f"{server.name}：已有知识库，可用 --force 覆盖",
                )
            )
        if server.rows("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"):
            server.rows("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
    finally:
        server.close()
    clean = ["--clean", "--if-exists"] if exists else []
    _run(
        address,
        ["pg_restore", "--single-transaction", "--no-owner", *clean, "--dbname=", str(backup)],
    )
    PostgresStore(address).close()  # an old backup is upgraded, for whoever has the store open


def _run(address: str, command: list[str], quiet: bool = False) -> None:
    """Run one of PostgreSQL's programs."""
    known = conninfo.conninfo_to_dict(address)
    given = {_VARIABLES[name]: str(known[name]) for name in _VARIABLES if known.get(name)}
    command = [
        part + given.get("PGDATABASE", "") if part == "--dbname=" else part for part in command
    ]
    try:
        done = subprocess.run(
            command, env={**os.environ, **given}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise UserError(
            tr(
                f"{command[0]} is not installed; install PostgreSQL's client programs",
                f"未安装{command[0]}，请安装PostgreSQL客户端程序",
            )
        ) from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [""])[-1]
        raise UserError(f"{command[0]}: {reason}")
