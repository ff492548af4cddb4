"""Stores to test, of every kind: a file, and a real PostgreSQL with and without pgvector."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from qingtan.knowledge.store.interface import Store
from qingtan.knowledge.store.postgres_store import PostgresStore
from qingtan.knowledge.store.sqlite_store import SqliteStore

# Opens the same store again with each call.
Opener = Callable[[], Store]

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
_AS_POSTGRES = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


def _missing(reason: str) -> None:
    if os.environ.get("QINGTAN_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that runs for these tests alone, reached by a socket in a folder."""
    on_path = shutil.which("pg_ctl")
    programs = _PROGRAMS[-1] if _PROGRAMS else Path(on_path).parent if on_path else None
    if programs is None:
        _missing("PostgreSQL's server is not installed")
    folder = Path("/tmp") / f"qingtan-postgres-{os.getpid()}"  # a socket's path must be short
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)

    def run(*command: str) -> None:
        subprocess.run([*_AS_POSTGRES, *command], check=True, cwd=folder, stdout=subprocess.DEVNULL)

    try:
        data = str(folder / "data")
        run(f"{programs}/initdb", "-D", data, "-A", "trust", "-U", "tester", "-E", "UTF8")
        # Nothing needs to outlive the tests.
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        run(f"{programs}/pg_ctl", "-D", data, "-w", "-o", options, "-l", f"{folder}/log", "start")
        try:
            yield f"postgresql://tester@/postgres?host={folder}"
        finally:
            run(f"{programs}/pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(postgres: str) -> str:
    """The address of a database without a store."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS qingtan CASCADE")
    return postgres


@pytest.fixture(params=["sqlite", "pgvector", "postgres"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    opened: list[Store] = []
    address = "" if request.param == "sqlite" else request.getfixturevalue("database")
    if request.param == "pgvector" and not has_pgvector(address):
        pytest.skip("the server has no pgvector")  # Debian 12 does not package it

    def again() -> Store:
        if not address:
            opened.append(SqliteStore(tmp_path / "kb.db"))
        else:
            opened.append(PostgresStore(address, pgvector=request.param == "pgvector"))
        return opened[-1]

    yield again
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: Opener) -> Store:
    return opener()


def has_pgvector(address: str) -> bool:
    with psycopg.connect(address) as connection:
        query = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
        return connection.execute(query).fetchone() is not None
