"""What is found, in every kind of store."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qingtan.errors import UserError
from qingtan.knowledge.chunks import Chunk
from qingtan.knowledge.store.interface import Filter, Store

from .samples import document, put, texts

WITHOUT_RESET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_the_best_comes_first(store: Store) -> None:
    base = store.create_base("t", "kb")
    put(store, base, "a", "退货政策：七天内可以退货", "发票在订单页开具", "客服电话是12345")
    put(store, base, "b", "会员积分", "配送范围", "保修期为一年", "退款在三天内到账")
    found = store.search_words([base], "请问怎么退货？", 9)
    assert texts(found) == ["退货政策：七天内可以退货"]
    assert found[0].score > 0
    assert texts(store.search_words([base], "客服的电话", 9)) == ["客服电话是12345"]
    assert texts(store.search_words([base], "保修期 发票", 1)) != []
    assert store.search_words([base], "天文学", 9) == []
    assert store.search_words([base], "", 9) == store.search_words([base], "退货", 0) == []
    assert store.search_words([], "退货", 9) == []


def test_what_holds_more_of_the_words_comes_first(store: Store) -> None:
    base = store.create_base("t", "kb")
    put(store, base, "a", "甲产品说明", "甲产品的保修政策", "乙产品保修", "付款", "配送", "积分")
    assert texts(store.search_words([base], "甲产品保修政策", 9))[0] == "甲产品的保修政策"


def test_headings_and_questions_are_searched_too(store: Store) -> None:
    base = store.create_base("t", "kb")
    chunk = Chunk("faq", "七天内", headings=("售后手册",), questions=("怎么退货",), label="3.2")
    store.put_document(base, document("a"), "1", [chunk])
    for query in ("退货", "手册", "3.2"):
        assert texts(store.search_words([base], query, 9)) == ["七天内"]


def test_single_characters_and_unknown_words(store: Store) -> None:
    base = store.create_base("t", "kb")
    put(store, base, "a", "所得税率", "靐齉其名", "靐与齉")
    assert texts(store.search_words([base], "税", 9)) == ["所得税率"]
    assert texts(store.search_words([base], "靐齉", 9)) == ["靐齉其名"]


def test_own_words_are_used_by_passages_that_were_there_before(store: Store) -> None:
    base = store.create_base("t", "kb")
    put(store, base, "a", "本店T恤纯棉", "恤衫是T字的")
    assert len(store.search_words([base], "T恤", 9)) == 2  # by the character
    base = store.set_words(base, ["T恤"])
    assert base.words == ("T恤",)
    assert texts(store.search_words([base], "T恤", 9)) == ["本店T恤纯棉"]
    put(store, base, "b", "白色Ｔ恤")
    assert {*texts(store.search_words([base], "t恤", 9))} == {"本店T恤纯棉", "白色Ｔ恤"}
    assert store.check() == []


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (Filter(), "abcd"),
        (Filter(topics=("售后",)), "a"),
        (Filter(topics=("售后", "售前")), "ab"),
        (Filter(since="2024-03"), "bc"),
        (Filter(until="2024"), "ab"),
        (Filter(since="2024-01-15", until="2024-05"), "b"),
        (Filter(topics=("售前",), since="2025"), ""),
        (Filter(topics=("' OR 1=1 --",)), ""),
    ],
)
def test_filters(store: Store, where: Filter, names: str) -> None:
    base = store.create_base("t", "kb")
    put(store, base, "a", "客服 a", topic="售后", date="2024-01-10")
    put(store, base, "b", "客服 b", topic="售前", date="2024-05-31")
    put(store, base, "c", "客服 c", date="2025-01-01")
    put(store, base, "d", "客服 d")
    found = store.search_words([base], "客服", 9, where)
    assert sorted(text[-1] for text in texts(found)) == list(names)


def test_a_filter_by_documents_and_by_the_topics_of_questions(store: Store) -> None:
    base = store.create_base("t", "kb")
    put(store, base, "a", "客服 a")
    wanted = put(store, base, "b", "客服 b")
    faqs = [Chunk("faq", "客服 c", topic="物流"), Chunk("faq", "客服 d")]
    store.put_document(base, document("c"), "1", faqs, topic="通用")
    search = store.search_words
    assert texts(search([base], "客服", 9, Filter(documents=(wanted.id,)))) == ["客服 b"]
    assert texts(search([base], "客服", 9, Filter(topics=("物流",)))) == ["客服 c"]
    assert texts(search([base], "客服", 9, Filter(topics=("通用",)))) == ["客服 d"]


def test_many_bases_at_once(store: Store) -> None:
    first, second = store.create_base("t", "a"), store.create_base("t", "b", words=["云杉纱"])
    for number in range(9):
        put(store, first, f"{number}", f"配送{number}")
        put(store, second, f"{number}", f"积分{number}")
    put(store, first, "x", "云杉纱线")
    put(store, second, "x", "云杉纱与云杉纱")
    found = store.search_words([first, second], "云杉纱", 9)
    assert {(each.chunk.base, each.chunk.chunk.text) for each in found} == {
        ("a", "云杉纱线"),
        ("b", "云杉纱与云杉纱"),
    }
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_vectors(store: Store) -> None:
    random = np.random.default_rng(0)
    base = store.create_base("t", "kb")
    vectors = random.standard_normal((30, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for place in range(0, 30, 3):
        chunks = [Chunk("text", f"{number}") for number in range(place, place + 3)]
        store.put_document(
            base,
            document(f"{place}", date=f"20{10 + place}"),
            "1",
            chunks,
            vectors=vectors[place : place + 3],
            encoder="e",
        )
    base = store.base("t", "kb")
    assert (base.encoder, base.dimensions) == ("e", 8)
    query = vectors[7]
    found = store.search_vectors([base], query, 5)
    cosines = vectors @ query
    assert texts(found) == [f"{number}" for number in np.argsort(-cosines)[:5]]
    assert [each.score for each in found] == pytest.approx(np.sort(cosines)[::-1][:5], abs=1e-6)

    late = store.search_vectors([base], query, 5, Filter(since="2025"))
    assert texts(late) == [f"{15 + number}" for number in np.argsort(-cosines[15:])[:5]]
    store.remove_document(base, found[0].chunk.document.id)
    assert "7" not in texts(store.search_vectors([base], query, 30))
    assert store.check() == []


def test_vectors_of_one_encoder_only(store: Store) -> None:
    base = store.create_base("t", "kb")
    one, chunk = np.full((1, 4), 0.5, np.float32), Chunk("text", "客服")

    def put_vectors(name: str, vectors: NDArray[np.float32], encoder: str) -> None:
        store.put_document(base, document(name), "1", [chunk], vectors=vectors, encoder=encoder)

    put_vectors("a", one, "e")
    for vectors, encoder in (
        (one, "other"),
        (np.full((1, 9), 1 / 3, np.float32), "e"),
        (np.full((2, 4), 0.5, np.float32), "e"),
        (one * np.nan, "e"),
        (one, ""),
    ):
        with pytest.raises(UserError):
            put_vectors("b", vectors, encoder)
    with pytest.raises(UserError, match="4"):
        store.search_vectors([store.base("t", "kb")], np.full(9, 1 / 3, np.float32), 5)
    assert store.search_vectors([store.create_base("t", "none")], one[0], 5) == []
    put_vectors("a", np.full((1, 9), 1 / 3, np.float32), "other")  # the only document changes sides
    assert store.base("t", "kb").encoder == "other"
    assert [each.name for each in store.documents(base)] == ["a"]
    assert store.check() == []


QUERIES = st.one_of(
    st.text(),
    st.text(alphabet="客服\"'*()^:{}+-ANDORNEAT \0"),
    st.sampled_from(
        [
            '"',
            "客服*",
            "terms:客服",
            "NEAR(客 服)",
            "客服 NOT 电话",
            "^客服",
            "{terms}: x",
            "a' OR 1=1",
        ]
    ),
)


@WITHOUT_RESET
@given(query=QUERIES)
@pytest.mark.security
def test_nothing_in_a_query_is_syntax(store: Store, query: str) -> None:
    base = next(iter(store.bases("t")), None) or store.create_base("t", "kb")
    if not base.documents:
        put(store, base, "a", "客服电话", "NEAR NOT AND OR", "terms")
    for found in store.search_words([base], query, 9):
        assert set(query.lower()) & set(found.chunk.chunk.text.lower())
    store.search_words([base], "客服", 9, Filter(topics=(query,), since=query, until=query))
