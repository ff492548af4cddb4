"""Hashes of n-grams, against plain strings."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qingtan.corpus.ngrams import Characters, hash_grams

TEXTS = st.lists(st.text(max_size=30), max_size=8)


def grams_of(text: str, length: int) -> list[str]:
    return [text[i : i + length] for i in range(len(text) - length + 1)]


@given(TEXTS, st.integers(1, 12))
def test_equal_grams_have_equal_hashes_and_no_gram_crosses_texts(
    texts: list[str], length: int
) -> None:
    grams = hash_grams(Characters.of(texts), length)
    expected = [grams_of(text, length) for text in texts]
    assert np.diff(grams.starts).tolist() == [len(each) for each in expected]
    flat = [gram for each in expected for gram in each]
    assert len(grams.hashes) == len(flat)
    by_gram: dict[str, int] = {}
    for gram, value in zip(flat, grams.hashes.tolist(), strict=True):
        assert by_gram.setdefault(gram, value) == value
    assert len(set(by_gram.values())) == len(by_gram)


@given(TEXTS)
def test_folding_keeps_letters_and_digits_in_lower_case(texts: list[str]) -> None:
    folded = Characters.of(texts).folded()
    assert len(folded) == len(texts)
    for i, text in enumerate(texts):
        codes = folded.codes[folded.starts[i] : folded.starts[i + 1]]
        basic = [c for c in map(chr, codes) if ord(c) < 0x10000]
        expected = [c.lower() if len(c.lower()) == 1 else c for c in text]
        assert basic == [c for c in expected if ord(c) < 0x10000 and c.isalnum()]


def test_texts_that_differ_in_punctuation_and_case_fold_to_the_same() -> None:
    folded = Characters.of(["Hello， 世界！", "hello世界", "𠀀 A"]).folded()
    first, second, third = np.split(folded.codes, folded.starts[1:-1])
    assert first.tolist() == second.tolist()
    assert third.tolist() == [0x20000, ord("a")]


def test_hashes_are_the_same_on_every_machine() -> None:
    grams = hash_grams(Characters.of(["清谈者也"]), 3)
    assert grams.hashes.tolist() == [17723210470460629732, 6855675848938184337]
