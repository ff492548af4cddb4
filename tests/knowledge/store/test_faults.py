"""Locked files, full disks, and files that are no stores."""

import threading
from pathlib import Path

import apsw
import pytest

from qingtan.errors import UserError
from qingtan.knowledge.store import Unavailable, open_store
from qingtan.knowledge.store.interface import Store
from qingtan.knowledge.store.sqlite_store import SqliteStore

from ..ingestion.samples import files, ingestion
from .samples import put, texts


@pytest.mark.security
def test_a_locked_store_says_so_and_is_read_all_the_same(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "kb.db", patience=0.05)
    base = store.create_base("t", "kb")
    put(store, base, "a", "客服电话")
    other = apsw.Connection(str(tmp_path / "kb.db"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match=r"kb\.db.*lock"):
        put(store, base, "b", "发票")
    assert texts(store.search_words([base], "客服", 9)) == ["客服电话"]
    other.execute("ROLLBACK")
    put(store, base, "b", "发票")
    assert store.check() == []


@pytest.mark.security
def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "kb.db")
    base = store.create_base("t", "kb")
    put(store, base, "a", "旧版退货政策")
    limit = store.database.rows("PRAGMA page_count")[0][0] + 20
    store.database.rows(f"PRAGMA max_page_count = {limit}")
    lines = [f"第{number}条：新版退货政策" * 20 for number in range(500)]
    with pytest.raises(Unavailable, match="full"):
        put(store, base, "a", *lines)
    with pytest.raises(Unavailable, match="full"), store.transaction():
        put(store, base, "a", *lines)
    assert texts(store.search_words([base], "退货", 9)) == ["旧版退货政策"]
    assert store.check() == []
    store.database.rows(f"PRAGMA max_page_count = {limit * 100}")
    put(store, base, "a", *lines)
    assert len(store.search_words([base], "退货", 999)) == 500
    assert store.check() == []


@pytest.mark.parametrize("content", [b"PK\x03\x04 no database at all" * 99, b"SQLite format 3\0??"])
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kb.db").write_bytes(content)
    with pytest.raises(UserError, match=r"kb\.db"):
        open_store(tmp_path / "kb.db")
    assert (tmp_path / "kb.db").read_bytes() == content


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    apsw.Connection(str(tmp_path / "other.db")).execute("CREATE TABLE notes (text)")
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(UserError, match="something else"):
        open_store(tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == before


def test_a_place_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "kb.db", tmp_path):
        with pytest.raises(UserError):
            open_store(path)


def test_threads_share_a_store(store: Store) -> None:
    base = store.create_base("t", "kb")
    wrong: list[BaseException] = []

    def use(thread: int) -> None:
        try:
            for number in range(8):
                put(store, base, f"{thread}-{number}", f"客服{thread}")
                assert store.search_words([base], "客服", 99)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert store.base("t", "kb").documents == 32
    assert store.check() == []


def test_closed_twice_and_then_used(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kb.db")
    store.close()
    store.close()
    with pytest.raises(UserError, match="closed"):
        store.bases("t")
    assert [each.name for each in tmp_path.iterdir()] == ["kb.db"]  # nothing is left beside it


@pytest.mark.security
def test_a_full_disk_stops_a_job_which_then_goes_on(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "kb.db")
    base = store.create_base("t", "kb")
    lines = "\n".join(f"第{number}条：退货政策" * 20 for number in range(500))
    work = ingestion(store)
    job = work.submit(base, files(tmp_path, {"a": lines}))
    limit = store.database.rows("PRAGMA page_count")[0][0] + 20
    store.database.rows(f"PRAGMA max_page_count = {limit}")
    for _ in range(3):  # more often than an item may fail
        with pytest.raises(Unavailable, match="full"):
            work.run_once()
        assert store.documents(base) == []
    store.database.rows(f"PRAGMA max_page_count = {limit * 100}")
    assert work.run_once()
    assert work.job(base, job.id).counts == {"added": 1}
    assert store.check() == []
