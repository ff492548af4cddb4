"""What PostgreSQL alone does: its schema, its backups, its errors; and scores that are SQLite's."""

import shutil
from pathlib import Path

import pytest

from qingtan.errors import UserError
from qingtan.knowledge.store import Unavailable, open_store, restore, schema
from qingtan.knowledge.store.database import Database
from qingtan.knowledge.store.interface import Store
from qingtan.knowledge.store.postgres_store import PostgresStore

from .samples import of_version, put, texts

LINES = [
    "退货政策：七天内可以退货，退货运费由买家承担",
    "发票在订单页开具，发票抬头可以修改",
    "客服电话是12345，客服在线时间为九点到十八点",
    "会员积分可以抵扣，积分一年清零",
    "保修期为一年，人为损坏不保修，电池保修半年，保修需凭发票",
    "配送范围覆盖全国，偏远地区三天内到",
    "退款在三天内到账",
    "A-100 网关支持 V2.3.1 固件",
]


def scores(store: Store, query: str) -> list[tuple[str, float]]:
    base = next(iter(store.bases("t")), None) or store.create_base("t", "kb")
    if not base.documents:
        put(store, base, "a", *LINES)
    found = store.search_words([base], query, 9)
    return [(each.chunk.chunk.text, each.score) for each in found]


@pytest.mark.parametrize(
    "query", ["退货", "保修的发票", "客服在线时间", "三天内退款", "a100固件", "积"]
)
def test_scores_are_those_of_sqlite(database: str, tmp_path: Path, query: str) -> None:
    file, server = open_store(tmp_path / "kb.db"), PostgresStore(database)
    expected = scores(file, query)
    assert expected
    got = scores(server, query)
    assert [text for text, _ in got] == [text for text, _ in expected]
    assert [score for _, score in got] == pytest.approx([score for _, score in expected], rel=1e-3)
    file.close()
    server.close()


@pytest.mark.security
def test_every_past_schema_is_upgraded_and_a_failed_upgrade_rolls_back(database: str) -> None:
    def fails(database: Database) -> None:
        database.rows("ALTER TABLE documents ADD COLUMN author TEXT")
        database.rows("DELETE FROM chunks")
        raise RuntimeError("half-way")

    store = PostgresStore(database, steps=schema.STEPS[:1])
    with of_version(store, 1):
        put(store, store.create_base("t", "kb"), "a", "客服电话")
    store.close()
    with pytest.raises(RuntimeError, match="half-way"):
        PostgresStore(database, steps=(*schema.STEPS, fails))
    upgraded = open_store(database)
    base = upgraded.base("t", "kb")
    assert texts(upgraded.search_words([base], "客服", 9)) == ["客服电话"]
    assert upgraded.jobs.jobs(base) == []
    assert upgraded.check() == []
    upgraded.close()
    PostgresStore(database, steps=(*schema.STEPS, lambda database: None)).close()
    with pytest.raises(UserError, match="newer"):
        open_store(database)


def test_backup_and_restore(database: str, tmp_path: Path) -> None:
    if shutil.which("pg_dump") is None:  # asked here: the server's fixture may bring it
        pytest.skip("pg_dump is not installed")
    store = open_store(database)
    base = store.create_base("t", "kb")
    put(store, base, "a", "旧政策")
    copy = tmp_path / "kb.backup"
    store.backup(copy)
    put(store, base, "a", "新政策")
    store.close()
    with pytest.raises(UserError, match="force"):
        restore(copy, database)
    (tmp_path / "bad").write_bytes(copy.read_bytes()[:99])
    with pytest.raises(UserError, match="pg_restore"):
        restore(tmp_path / "bad", database, replace=True)
    restore(copy, database, replace=True)
    store = open_store(database)
    base = store.base("t", "kb")
    assert texts(store.search_words([base], "政策", 9)) == ["旧政策"]
    put(store, base, "b", "另一份政策")
    assert store.check() == []
    with pytest.raises(UserError, match="absent"):
        store.backup(tmp_path / "absent" / "kb.backup")
    store.close()
    assert {*tmp_path.iterdir()} == {copy, tmp_path / "bad"}


@pytest.mark.security
def test_a_server_out_of_reach_is_said_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        open_store(f"postgresql://tester:s3cret@/none?host={tmp_path}")
    assert "PostgreSQL" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_connection_that_breaks_is_made_anew(database: str) -> None:
    store = PostgresStore(database)
    base = store.create_base("t", "kb")
    put(store, base, "a", "客服电话")
    with pytest.raises(Unavailable):
        store.database.rows("SELECT pg_terminate_backend(pg_backend_pid())")
    assert texts(store.search_words([base], "客服", 9)) == ["客服电话"]
    store.close()
    with pytest.raises(UserError, match="closed"):
        store.bases("t")
