"""Searches in memory: the same as the database's, of what is there at this moment, and bounded."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from qingtan.errors import NotFound, UserError
from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.store import index, open_store, restore, snapshots, sqlite_index
from qingtan.knowledge.store.interface import Filter, Found, Store
from qingtan.knowledge.store.postgres_store import PostgresStore
from qingtan.knowledge.store.sqlite_index import SqliteIndex
from qingtan.knowledge.store.sqlite_store import SqliteStore

from .samples import document, put, texts

WORDS = ("退货", "发票", "客服电话", "保修期", "靐齉", "齉靐", "第三条", "店里", "店里话")
# Words, characters that no dictionary joins, letters and numbers: much stands side by side.
PARTS = st.sampled_from([*"靐齉税，x的", *WORDS, "a-100", "v2.3.1", "100"])
TEXTS = st.lists(PARTS, min_size=1, max_size=9).map("".join)
CHANGES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.lists(TEXTS, max_size=5) | st.none()), max_size=6
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "kb.db")
    yield opened
    opened.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a base be left alone for no more than a moment."""
    monkeypatch.setattr(snapshots.Snapshots.__init__, "__defaults__", (snapshots.MEMORY, 0.05))


def no_database(*_: object) -> list[index.Scored]:
    raise AssertionError("was left to the database")


def change(store: Store, changes: list[tuple[str, list[str] | None]]) -> None:
    """Put documents, over earlier ones, or remove them."""
    base = store.base("t", "kb")
    for name, lines in changes:
        if lines is not None:
            put(store, base, name, *lines)
        elif found := store.document_named(base, name):
            store.remove_document(base, found.id)


def assert_same(got: list[Found], expected: list[Found]) -> None:
    """Make sure that the chunks are the same, in their order, and the scores to float error."""
    assert [each.chunk for each in got] == [each.chunk for each in expected]
    assert [each.score for each in got] == pytest.approx(
        [each.score for each in expected], rel=1e-12
    )


@settings(max_examples=60, phases=set(Phase) - {Phase.shrink})  # it takes minutes
@given(
    rounds=st.lists(CHANGES, min_size=1, max_size=3),
    queries=st.lists(TEXTS, min_size=1, max_size=6),
    own=st.sampled_from([(), ("店里话",), ("T\x01恤", "靐齉")]),
    limit=st.integers(1, 6),
    most=st.sampled_from([2, 5, sqlite_index.MOST_SCORED]),
)
def test_memory_finds_what_the_database_finds(
    rounds: list[list[tuple[str, list[str] | None]]],
    queries: list[str],
    own: tuple[str, ...],
    limit: int,
    most: int,
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        # Large bases, of whose commonest words some are left out, may be small here.
        for module in ("postings", "sqlite_index"):
            patch.setattr(f"qingtan.knowledge.store.{module}.MOST_SCORED", most)
        store = open_store(Path(folder) / "kb.db")
        plain = open_store(Path(folder) / "kb.db", memory=0)
        store.create_base("t", "kb", words=own)
        for changes in rounds:
            change(store, changes)
            base = store.base("t", "kb")
            store.warm(base)
            for query in queries:
                expected = plain.search_words([base], query, limit)
                assert_same(store.search_words([base], query, limit), expected)
        store.close()
        plain.close()


@pytest.mark.parametrize("memory", [0, snapshots.MEMORY])
def test_an_unknown_word_does_not_hide_what_very_many_chunks_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int
) -> None:
    for module in ("postings", "sqlite_index"):
        monkeypatch.setattr(f"qingtan.knowledge.store.{module}.MOST_SCORED", 2)
    store = open_store(tmp_path / "kb.db", memory=memory)
    base = store.create_base("t", "kb")
    put(store, base, "a", *(f"退货政策第{number}版" for number in range(9)))
    store.warm(base)
    assert texts(store.search_words([base], "天文学 退货", 1)) != []
    assert store.search_words([base], "天文学", 1) == []
    store.close()


def test_words_and_pairs_are_found_without_the_database(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = store.create_base("t", "kb")
    put(store, base, "a", "退货政策", "靐齉其名", "客服电话")
    store.warm(base)
    monkeypatch.setattr(SqliteIndex, "search_words", no_database)
    assert texts(store.search_words([base], "怎么退货？", 9)) == ["退货政策"]
    assert texts(store.search_words([base], "靐齉", 9)) == ["靐齉其名"]
    assert store.search_words([base], "天文学 齉靐", 9) == []


def test_what_memory_does_not_know_is_left_to_the_database(store: Store) -> None:
    base = store.create_base("t", "kb")
    put(store, base, "a", "所得税率", topic="财务")
    put(store, base, "b", "税务发票")
    store.warm(base)
    assert {*texts(store.search_words([base], "税", 9))} == {"所得税率", "税务发票"}
    filtered = store.search_words([base], "发票 所得税", 9, Filter(topics=("财务",)))
    assert texts(filtered) == ["所得税率"]


def test_what_is_put_in_is_found_at_once_and_what_is_removed_is_not(store: Store) -> None:
    base = store.create_base("t", "kb")
    put(store, base, "a", "旧版退货政策")
    store.warm(base)
    put(store, base, "b", "新版退货政策")
    assert {*texts(store.search_words([base], "退货", 9))} == {"旧版退货政策", "新版退货政策"}
    store.warm(base)
    put(store, base, "a", "第三版退货政策")
    assert {*texts(store.search_words([base], "退货", 9))} == {"第三版退货政策", "新版退货政策"}
    store.warm(base)
    store.remove_document(base, store.documents(base)[0].id)
    assert texts(store.search_words([base], "退货", 9)) == ["新版退货政策"]
    store.warm(base)
    store.set_words(base, ["版退"])
    assert texts(store.search_words([base], "版退", 9)) == ["新版退货政策"]


def test_another_process_s_changes_are_seen(store: Store, tmp_path: Path) -> None:
    other = open_store(tmp_path / "kb.db")
    base = store.create_base("t", "kb")
    put(store, base, "a", "旧版退货政策")
    store.warm(base)
    other.warm(base)
    put(other, base, "a", "新版退货政策")
    assert texts(store.search_words([base], "退货", 9)) == ["新版退货政策"]
    other.remove_base(base)
    with pytest.raises(NotFound):
        store.search_words([base], "退货", 9)
    other.close()


def test_a_change_that_is_undone_leaves_what_was(store: Store) -> None:
    base = store.create_base("t", "kb")
    put(store, base, "a", "旧版退货政策")
    store.warm(base)

    def change_mind() -> None:
        with store.transaction():
            put(store, base, "a", "新版退货政策")
            assert texts(store.search_words([base], "退货", 9)) == ["新版退货政策"]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_mind()
    assert texts(store.search_words([base], "退货", 9)) == ["旧版退货政策"]


@pytest.mark.security
def test_after_a_backup_is_restored_no_number_stands_for_what_came_later(
    store: Store, tmp_path: Path
) -> None:
    base = store.create_base("t", "kb")
    put(store, base, "a", "退货政策")
    store.backup(tmp_path / "copy")
    put(store, base, "b", "旧的退货说明")
    store.warm(base)
    assert len(store.search_words([base], "退货", 9)) == 2
    restore(tmp_path / "copy", tmp_path / "kb.db", replace=True)
    put(store, base, "b", "退货要新的说明")  # has the number that the old one had
    assert {*texts(store.search_words([base], "退货", 9))} == {"退货政策", "退货要新的说明"}
    store.warm(base)
    assert {*texts(store.search_words([base], "退货", 9))} == {"退货政策", "退货要新的说明"}


@pytest.mark.usefixtures("impatient")
def test_a_thread_takes_a_base_that_is_left_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = store.create_base("t", "kb")
    for lines in (["退货政策"], ["退货政策", "退货运费"]):
        put(store, base, "a", *lines)
        assert {*texts(store.search_words([base], "退货", 9))} == {*lines}
        _wait_for_threads()
        with monkeypatch.context() as patch:
            patch.setattr(SqliteIndex, "search_words", no_database)
            assert {*texts(store.search_words([base], "退货", 9))} == {*lines}


@pytest.mark.usefixtures("impatient")
def test_closing_ends_the_thread(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kb.db")
    base = store.create_base("t", "kb")
    chunks = [Chunk("text", f"退货政策{number}") for number in range(5000)]
    store.put_document(base, document("a"), "1", chunks)
    store.search_words([base], "退货", 9)
    time.sleep(0.1)  # it may be at it
    store.close()
    assert not _threads()
    with pytest.raises(UserError, match="closed"):
        store.search_words([base], "退货", 9)


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"small": 20, "other": 20, "large": 4000}
    store = SqliteStore(tmp_path / "kb.db", memory=100_000)
    bases = {name: store.create_base("t", name) for name in sizes}
    for name, size in sizes.items():
        chunks = [Chunk("text", f"退货政策第{number}版") for number in range(size)]
        store.put_document(bases[name], document("a"), "1", chunks)
        store.warm(bases[name])
    kept = store.memory
    assert 0 < kept < 100_000
    monkeypatch.setattr(SqliteIndex, "search_words", no_database)
    assert store.search_words([bases["small"], bases["other"]], "退货", 9)
    with pytest.raises(AssertionError, match="left to the database"):
        store.search_words([bases["large"]], "退货", 9)
    store.remove_base(bases["small"])
    assert 0 < store.memory < kept
    store.close()
    assert store.memory == 0


def test_those_that_were_searched_last_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "kb.db")
    bases = [store.create_base("t", name) for name in "abc"]
    for base in bases:
        put(store, base, "a", *(f"退货政策第{number}版" for number in range(20)))
    store.warm(bases[0])
    one = store.memory
    store.close()
    store = SqliteStore(tmp_path / "kb.db", memory=2 * one + one // 2)
    store.warm(bases[0])
    store.warm(bases[1])
    store.search_words([bases[0]], "退货", 9)
    store.warm(bases[2])
    monkeypatch.setattr(SqliteIndex, "search_words", no_database)
    assert store.search_words([bases[0], bases[2]], "退货", 9)
    with pytest.raises(AssertionError, match="left to the database"):
        store.search_words([bases[1]], "退货", 9)
    store.close()


def test_many_threads_search_while_one_writes(store: Store) -> None:
    base = store.create_base("t", "kb")
    put(store, base, "a", "退货政策 1", "退货运费 1")
    stop, wrong = threading.Event(), list[object]()

    def search() -> None:
        while not stop.is_set():
            found = texts(store.search_words([base], "退货", 9))
            if len(found) != 2 or len({text[-1] for text in found}) != 1:
                wrong.append(found)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(2, 10):
        put(store, base, "a", f"退货政策 {number}", f"退货运费 {number}")
        store.warm(base)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


LINES = ["退货政策：七天内可以退货，退货运费由买家承担", "保修期为一年，电池保修半年，保修需凭发票",
         "靐齉其名，靐齉其人", "A-100 网关支持 V2.3.1 固件", "退款在三天内到账"]  # fmt: skip


@pytest.mark.parametrize("query", ["退货运费", "保修的发票", "靐齉", "a100固件", "三天内退款"])
def test_postgresql_in_memory_scores_like_sqlite(database: str, tmp_path: Path, query: str) -> None:
    results = []
    for store in (open_store(tmp_path / "kb.db"), PostgresStore(database)):
        base = store.create_base("t", "kb")
        put(store, base, "a", *LINES)
        store.warm(base)
        results.append(
            [(e.chunk.chunk.text, e.score) for e in store.search_words([base], query, 9)]
        )
        store.close()
    expected, got = results
    assert [text for text, _ in got] == [text for text, _ in expected] != []
    assert [score for _, score in got] == pytest.approx([score for _, score in expected], rel=1e-12)


def _threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "qingtan-snapshots"]


def _wait_for_threads() -> None:
    for thread in _threads():
        thread.join(20)
        assert not thread.is_alive()
