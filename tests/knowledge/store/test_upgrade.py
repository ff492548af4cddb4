"""Upgrades with data in the store, backups, and restoring."""

import threading
from pathlib import Path

import apsw
import pytest

from qingtan.errors import NotFound, UserError
from qingtan.knowledge.store import open_store, restore, schema
from qingtan.knowledge.store.database import Database
from qingtan.knowledge.store.job_records import Item
from qingtan.knowledge.store.sqlite_store import SqliteStore

from .samples import of_version, put, texts


def filled(path: Path, version: int) -> None:
    """Make a store as the program of that version did."""
    store = SqliteStore(path, steps=schema.STEPS[:version])
    with of_version(store, version):
        base = store.create_base("t", "kb", words=["云杉纱"])
        put(store, base, "a", "客服电话", "云杉纱的价格", topic="售后")
    store.close()


def version_of(path: Path) -> int:
    connection = apsw.Connection(str(path))
    version = connection.execute("PRAGMA user_version").get
    connection.close()
    return int(version)


@pytest.mark.parametrize("version", range(1, len(schema.STEPS) + 1))
@pytest.mark.security
def test_every_past_schema_is_upgraded_with_its_data(tmp_path: Path, version: int) -> None:
    path = tmp_path / "kb.db"
    filled(path, version)
    assert version_of(path) == version
    store = open_store(path)
    assert version_of(path) == len(schema.STEPS)
    base = store.base("t", "kb")
    assert texts(store.search_words([base], "客服", 9)) == ["客服电话"]
    assert texts(store.search_words([base], "云杉纱", 9)) == ["云杉纱的价格"]
    assert store.jobs.add(base, [Item("file", "b", "/b")]).state == "queued"
    put(store, base, "a", "新版")
    assert store.check() == []
    store.close()


@pytest.mark.security
def test_a_failed_upgrade_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "kb.db"
    filled(path, 1)

    def fails(database: Database) -> None:
        database.rows("ALTER TABLE documents ADD COLUMN author TEXT")
        database.rows("DELETE FROM chunks")
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        SqliteStore(path, steps=(*schema.STEPS, fails))
    assert version_of(path) == 1
    store = SqliteStore(path, steps=schema.STEPS[:1])
    with of_version(store, 1):
        assert texts(store.search_words([store.base("t", "kb")], "客服", 9)) == ["客服电话"]
    columns = [row[1] for row in store.database.rows("PRAGMA table_info(documents)")]
    assert "author" not in columns
    assert store.check() == []
    store.close()
    open_store(path).close()
    assert version_of(path) == len(schema.STEPS)


@pytest.mark.security
def test_a_store_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kb.db"
    SqliteStore(path, steps=(*schema.STEPS, lambda database: None)).close()
    before = path.read_bytes()
    with pytest.raises(UserError, match="newer"):
        open_store(path)
    assert path.read_bytes() == before


def test_two_programs_upgrade_at_once(tmp_path: Path) -> None:
    path = tmp_path / "kb.db"
    filled(path, 1)
    wrong: list[BaseException] = []

    def upgrade() -> None:
        try:
            open_store(path).close()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert version_of(path) == len(schema.STEPS)


@pytest.mark.security
def test_a_backup_while_the_store_is_in_use(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kb.db")
    base = store.create_base("t", "kb")
    stop, wrong = threading.Event(), []

    def write() -> None:
        number = 0
        while not stop.is_set():
            try:
                put(store, base, f"{number:04}", "客服", "电话", "发票")
            except BaseException as error:
                wrong.append(error)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    copies = [tmp_path / f"{number}.backup" for number in range(3)]
    for copy in copies:
        store.backup(copy)
    stop.set()
    writer.join()
    assert not wrong
    for copy in copies:
        opened = open_store(copy)
        assert opened.check() == []
        assert opened.base("t", "kb").chunks == 3 * opened.base("t", "kb").documents
        opened.close()
    store.close()
    assert {*tmp_path.iterdir()} == {*copies, tmp_path / "kb.db"}


@pytest.mark.security
def test_an_old_backup_is_restored_while_the_store_is_in_use(tmp_path: Path) -> None:
    path, old, copy = tmp_path / "kb.db", tmp_path / "old.db", tmp_path / "kb.backup"
    filled(old, 1)
    older = SqliteStore(old, steps=schema.STEPS[:1])
    older.backup(copy)
    older.close()
    assert version_of(copy) == 1
    store = open_store(path)
    put(store, store.create_base("t", "kb"), "a", "新政策")
    restore(copy, path, replace=True)
    base = store.base("t", "kb")
    assert texts(store.search_words([base], "客服 政策", 9)) == ["客服电话"]
    put(store, base, "b", "另一份政策")
    assert store.check() == []
    store.close()


@pytest.mark.security
def test_restoring_brings_back_what_was(tmp_path: Path) -> None:
    path, copy = tmp_path / "kb.db", tmp_path / "kb.backup"
    store = open_store(path)
    base = store.create_base("t", "kb")
    put(store, base, "a", "旧政策")
    store.backup(copy)
    store.backup(copy)  # over an earlier one
    later = store.create_base("t", "later")
    put(store, base, "a", "新政策")

    with pytest.raises(UserError, match="force"):
        restore(copy, path)
    assert texts(store.search_words([base], "政策", 9)) == ["新政策"]
    restore(copy, path, replace=True)  # while it is open
    assert texts(store.search_words([base], "政策", 9)) == ["旧政策"]
    with pytest.raises(NotFound):
        store.documents(later)
    assert store.check() == []
    store.close()

    restore(copy, tmp_path / "new" / "kb.db")
    again = open_store(tmp_path / "new" / "kb.db")
    assert texts(again.search_words([again.base("t", "kb")], "政策", 9)) == ["旧政策"]
    again.close()


def test_a_backup_of_an_older_schema_is_restored_and_upgraded(tmp_path: Path) -> None:
    filled(tmp_path / "old.db", 1)
    restore(tmp_path / "old.db", tmp_path / "kb.db")
    store = open_store(tmp_path / "kb.db")
    assert texts(store.search_words([store.base("t", "kb")], "客服", 9)) == ["客服电话"]
    store.close()


@pytest.mark.security
def test_a_damaged_backup_is_refused(tmp_path: Path) -> None:
    path, copy = tmp_path / "kb.db", tmp_path / "kb.backup"
    store = open_store(path)
    base = store.create_base("t", "kb")
    put(store, base, "a", *(f"第{number}条：退货政策" * 9 for number in range(300)))
    store.backup(copy)
    whole = copy.read_bytes()
    spoiled = bytearray(whole)
    for place in range(len(whole) // 3, len(whole) - 4096, 4096):
        spoiled[place : place + 2000] = b"\xaa" * 2000
    cases = {"spoiled": bytes(spoiled), "short": whole[: len(whole) // 2], "none": b"nothing" * 999}
    for name, content in cases.items():
        bad = tmp_path / name
        bad.write_bytes(content)
        with pytest.raises(UserError, match=name):
            restore(bad, path, replace=True)
    with pytest.raises(UserError, match="no such file"):
        restore(tmp_path / "absent", path, replace=True)
    with pytest.raises(UserError, match="itself"):
        restore(path, path, replace=True)
    with pytest.raises(UserError, match="itself"):
        store.backup(path)
    assert len(store.search_words([base], "退货", 999)) == 300
    assert store.check() == []
    store.close()


def test_a_full_disk_leaves_no_half_backup(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kb.db")
    folder = tmp_path / "absent"
    with pytest.raises(UserError, match="absent"):
        store.backup(folder / "kb.backup")
    assert not folder.exists()
    store.close()
