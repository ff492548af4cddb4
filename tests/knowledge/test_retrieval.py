"""Retrieval on a real store, with words and with vectors."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from knowledge.making import document
from qingtan.knowledge.chunking import cut
from qingtan.knowledge.encoders import Encoder
from qingtan.knowledge.retrieval import Retriever
from qingtan.knowledge.store import open_store
from qingtan.knowledge.store.interface import Base, Filter, Store

SHOP = ("# 退款", "会员七天内可以退款，押金除外。", "# 宠物", "店内禁止携带宠物入内。")
LAW = ("公园条例", "第一百六十九条　公园免费开放。", "第一百七十条　游船另行收费。")
PRICES = ("甲型售价300元，保修一年，颜色为白色。", "甲型售价500元，保修一年，颜色为白色。")


class Topics:
    """An encoder of three dimensions: refunds, animals, all else."""

    name = "topics"
    dimensions = 3

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        topics = [
            [any(w in text for w in words.split()) for words in ("退款 钱", "宠物 狗")]
            for text in texts
        ]
        return np.array([_one(each) for each in topics], np.float32)


def _one(flags: list[bool]) -> list[float]:
    place = flags.index(True) if any(flags) else 2
    return [float(place == i) for i in range(3)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "knowledge.db")
    yield opened
    opened.close()


def put(store: Store, base: Base, name: str, *blocks: str, encoder: Encoder | None = None) -> None:
    made = document(*blocks, name=name)
    chunks = cut(made, len, 60)
    vectors = encoder.encode([chunk.searched for chunk in chunks]) if encoder else None
    digest = hashlib.sha256(name.encode()).hexdigest()
    store.put_document(
        base, made, digest, chunks, vectors=vectors, encoder=encoder.name if encoder else ""
    )


@pytest.fixture
def base(store: Store) -> Base:
    base = store.create_base("default", "店")
    put(store, base, "手册.md", *SHOP)
    put(store, base, "条例.txt", *LAW)
    return store.base("default", "店")


def test_words_find_passages_with_their_scores(store: Store, base: Base) -> None:
    first = Retriever(store).find([base], "可以携带宠物吗？")[0]
    assert first.chunk.chunk.text == "店内禁止携带宠物入内。"
    assert first.words is not None
    assert first.words > 0
    assert first.vectors is None
    assert first.score == pytest.approx(1 / 61)


def test_a_number_of_an_article_is_found_in_any_form(store: Store, base: Base) -> None:
    for question in ("第170条", "第一百七十条", "公园条例第170条规定了什么？"):
        assert Retriever(store).find([base], question)[0].chunk.chunk.label == "第一百七十条"


def test_a_follow_up_is_searched_for_with_what_it_leaves_out(store: Store, base: Base) -> None:
    history = [{"role": "user", "content": "怎么退款？"}]
    assert Retriever(store).whole("要多久？", history) == "退款 要多久？"
    found = Retriever(store).find([base], "要多久？", history=history)
    assert found[0].chunk.chunk.headings == ("退款",)
    assert Retriever(store).find([base], "要多久？") == []


def test_vectors_find_what_words_do_not_and_ranks_are_joined(store: Store) -> None:
    encoder = Topics()
    base = store.create_base("default", "店")
    put(store, base, "手册.md", *SHOP, encoder=encoder)
    base = store.base("default", "店")
    assert Retriever(store).find([base], "能带狗吗") == []
    by_vectors = Retriever(store, encoder).find([base], "能带狗吗")[0]
    assert by_vectors.chunk.chunk.headings == ("宠物",)
    assert by_vectors.words is None
    assert by_vectors.vectors == pytest.approx(1)
    both = Retriever(store, encoder).find([base], "宠物")[0]
    assert both.words is not None
    assert both.vectors is not None
    assert both.score == pytest.approx(2 / 61)


def test_an_encoder_is_not_asked_for_a_base_without_its_vectors(store: Store, base: Base) -> None:
    class Broken(Topics):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            raise AssertionError

    assert Retriever(store, Broken()).find([base], "宠物")


def test_of_passages_that_say_the_same_one_is_shown(store: Store, base: Base) -> None:
    put(store, base, "手册副本.md", *SHOP)
    found = Retriever(store).find([base], "携带宠物")
    assert [hit.chunk.chunk.text for hit in found].count("店内禁止携带宠物入内。") == 1


def test_passages_that_differ_by_a_number_are_both_shown(store: Store, base: Base) -> None:
    for i, text in enumerate(PRICES):
        put(store, base, f"价格{i}.txt", text)
    assert {hit.chunk.chunk.text for hit in Retriever(store).find([base], "甲型售价")} == {*PRICES}


def test_a_limit_and_a_filter_are_kept(store: Store, base: Base) -> None:
    retriever = Retriever(store)
    assert len(retriever.find([base], "公园 退款 宠物", limit=2)) == 2
    assert retriever.find([base], "宠物", limit=0) == []
    assert retriever.find([], "宠物") == []
    other = next(each for each in store.documents(base) if each.name == "条例.txt")
    assert retriever.find([base], "宠物", where=Filter(documents=(other.id,))) == []


def test_the_neighbours_of_a_passage(store: Store, base: Base) -> None:
    retriever = Retriever(store)
    (hit, *_) = retriever.find([base], "第一百六十九条")
    labels = [each.chunk.label for each in retriever.around(base, hit)]
    assert labels == ["", "第一百六十九条", "第一百七十条"]
