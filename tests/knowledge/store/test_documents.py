"""Bases, documents and chunks, in every kind of store."""

from dataclasses import replace

import pytest

from qingtan.errors import NotFound, UserError
from qingtan.knowledge.documents import Document
from qingtan.knowledge.store.interface import Store

from ..conftest import Opener
from .samples import RICH_BLOCKS, RICH_CHUNK, document, put, texts


def test_what_is_put_in_comes_out(opener: Opener) -> None:
    store = opener()
    base = store.create_base("t", "kb", about="手册", words=["云杉纱", " 云杉纱 ", ""])
    assert (base.about, base.words, base.documents) == ("手册", ("云杉纱",), 0)
    given = Document(
        "手册/一.docx",
        "手册",
        "application/x",
        RICH_BLOCKS,
        3,
        "2024-05-01",
        ("图未读",),
        {"a": "b"},
    )
    put_in = store.put_document(base, given, "d1", [RICH_CHUNK], topic="通用", original=b"\0PK")
    store.close()

    store = opener()
    base = store.base("t", "kb")
    assert (base.documents, base.chunks) == (1, 1)
    assert store.documents(base) == [put_in]
    assert store.document(base, put_in.id) == put_in
    assert store.document_named(base, "手册/一.docx") == put_in
    assert (put_in.title, put_in.pages, put_in.date) == ("手册", 3, "2024-05-01")
    assert (put_in.warnings, put_in.facts, put_in.topic) == (("图未读",), {"a": "b"}, "通用")
    assert store.blocks(base, put_in.id) == RICH_BLOCKS
    assert store.original(base, put_in.id) == b"\0PK"
    (chunk,) = store.chunks(base, put_in.id)
    assert (chunk.chunk, chunk.document, chunk.base) == (RICH_CHUNK, put_in, "kb")
    assert store.chunk(base, chunk.id) == chunk
    assert store.check() == []


def test_a_new_version_replaces_the_old_one_at_once(store: Store) -> None:
    base = store.create_base("t", "kb")
    old = put(store, base, "a.txt", "旧版退货政策", "旧版发票", digest="1")
    new = put(store, base, "a.txt", "新版退货政策", digest="2")
    assert [each.id for each in store.documents(base)] == [new.id]
    assert texts(store.search_words([base], "退货 发票", 9)) == ["新版退货政策"]
    with pytest.raises(NotFound):
        store.chunks(base, old.id)
    assert store.check() == []


def test_what_fails_inside_of_a_transaction_changes_nothing(store: Store) -> None:
    base = store.create_base("t", "kb")
    put(store, base, "a.txt", "旧版退货政策", digest="1")

    def fail() -> None:
        raise RuntimeError

    def spoil(text: str) -> None:
        put(store, base, "b.txt", text)
        store.remove_document(base, "not there")

    with pytest.raises(RuntimeError):
        store.put_document(base, document("a.txt"), "2", [], within=fail)
    with pytest.raises(NotFound), store.transaction():
        spoil("另一个文件")
    assert [each.digest for each in store.documents(base)] == ["1"]
    assert texts(store.search_words([base], "退货 文件", 9)) == ["旧版退货政策"]
    with store.transaction():
        with pytest.raises(NotFound), store.transaction():
            spoil("里层")
        put(store, base, "c.txt", "外层")
    assert [each.name for each in store.documents(base)] == ["a.txt", "c.txt"]
    assert store.check() == []


def test_removing(store: Store) -> None:
    base = store.create_base("t", "kb")
    first, second = put(store, base, "a", "客服"), put(store, base, "b", "客服电话")
    store.remove_document(base, first.id)
    assert texts(store.search_words([base], "客服", 9)) == ["客服电话"]
    with pytest.raises(NotFound):
        store.remove_document(base, first.id)
    store.remove_base(base)
    assert store.bases("t") == []
    with pytest.raises(NotFound):
        store.documents(base)
    again = store.create_base("t", "kb")
    assert again.id != base.id
    assert not store.documents(again)
    assert not store.search_words([again], "客服", 9)
    with pytest.raises(NotFound):
        store.document(again, second.id)
    assert store.check() == []


def test_a_name_is_used_once_by_a_tenant(store: Store) -> None:
    store.create_base("t", "kb")
    with pytest.raises(UserError, match="kb"):
        store.create_base("t", "kb")
    store.create_base("u", "kb")
    for name in ("", " ", "x" * 201):
        with pytest.raises(UserError):
            store.create_base("t", name)
    assert [base.name for base in store.bases("t")] == ["kb"]


@pytest.mark.security
def test_a_tenant_reaches_nothing_of_another(store: Store) -> None:
    """Neither by names nor by ids that it got to know; what is not there looks the same."""
    theirs, mine = store.create_base("u", "kb"), store.create_base("t", "kb")
    hidden = put(store, theirs, "secret", "机密客服名单")
    (chunk,) = store.chunks(theirs, hidden.id)
    assert not store.documents(mine)
    assert not store.search_words([mine], "机密", 9)
    assert [base.tenant for base in store.bases("t")] == ["t"]
    forged = replace(theirs, tenant="t")
    for base in (mine, forged):
        for reach in (
            lambda b: store.document(b, hidden.id),
            lambda b: store.chunks(b, hidden.id),
            lambda b: store.blocks(b, hidden.id),
            lambda b: store.original(b, hidden.id),
            lambda b: store.remove_document(b, hidden.id),
            lambda b: store.chunk(b, chunk.id),
        ):
            with pytest.raises(NotFound) as refused:
                reach(base)
            assert "secret" not in str(refused.value)
            assert "机密" not in str(refused.value)
    for attempt in (
        lambda: store.search_words([forged], "机密", 9),
        lambda: store.documents(forged),
        lambda: store.set_words(forged, ["x"]),
        lambda: store.remove_base(forged),
        lambda: put(store, forged, "x", "y"),
    ):
        with pytest.raises(NotFound):
            attempt()
    with pytest.raises(NotFound) as absent:
        store.base("t", "no")
    assert "kb" not in str(absent.value)


@pytest.mark.security
def test_a_base_whose_name_begins_alike_is_another(store: Store) -> None:
    first, second = store.create_base("t", "kb"), store.create_base("t", "kb2")
    put(store, second, "a", "客服电话")
    assert store.search_words([first], "客服", 9) == []
    assert store.documents(first) == []
    assert texts(store.search_words([first, second], "客服", 9)) == ["客服电话"]


def test_ids_cannot_be_guessed(store: Store) -> None:
    base = store.create_base("t", "kb")
    ids = {put(store, base, f"{number}", "字").id for number in range(50)}
    assert len(ids) == 50
    assert all(len(each) >= 22 for each in ids)


def test_texts_that_no_database_likes(store: Store) -> None:
    name = "坏\0名\ud800'; DROP TABLE bases;--"
    base = store.create_base("t", "kb'\"\0")
    stored = put(store, base, name, "正文\0有\ud800客服'\"")
    assert store.document_named(base, name) == stored
    assert len(store.search_words([base], "客服\0'\"\ud800", 9)) == 1
    assert store.check() == []
