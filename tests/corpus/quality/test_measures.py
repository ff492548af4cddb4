"""The measures of a batch, against their definitions in plain Python."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.corpus.quality.reference import measures_of

from qingtan.corpus.quality.measures import Measures, measure

# Pieces that the measures look at, so that random texts hold them, and hold them twice.
PIECES = [
    *(
        "的",
        "清谈",
        "之乎者也",
        "哈哈哈哈哈哈",
        "哈",
        "，",
        "。",
        "……",
        "…",
        "...",
        "！！！！！！！",
    ),
    *("the", "The", "word", "x86", "don't", "Größe", "é", " é »", "Â©", "ä¸\xad", "\x85", "\xa0"),
    *(
        "锟斤拷",
        "锟斤",
        "拷",
        "烫烫烫烫",
        "屯",
        "\ufffd",
        "\x00",
        "\ue000",
        "\ud800",
        "𠀀",
        "〇",
        "々",
    ),
    *(
        "\n",
        "\n\n",
        " ",
        "　",
        "\t",
        "\u200b",
        "- ",
        "• ",
        "·",
        "| ",
        "#",
        "½",
        "٣",
        "नमस्ते",
        "かな",
    ),
    *("one two three four five six seven eight nine ten eleven", "清谈者也，古之士大夫之所为也"),
    *("A" * 99, "a" * 101, "🙂", "\U000f0000", "\U000e0100"),
]
TEXT = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    st.lists(st.sampled_from(PIECES[:16]), max_size=12).map(lambda pieces: "".join(pieces) * 3),
    st.text(st.characters(exclude_categories=[]), max_size=40),
    st.text("ab的\n", max_size=60),
)
BATCH = st.lists(TEXT, max_size=6)


def check(texts: list[str], measures: Measures) -> None:
    columns = asdict(measures)
    for i, text in enumerate(texts):
        for name, expected in measures_of(text).items():
            assert columns[name][i] == pytest.approx(expected, rel=1e-12), name


@given(BATCH)
@settings(max_examples=200)
def test_measures_equal_their_definitions(texts: list[str]) -> None:
    measures = measure(texts)
    assert len(measures) == len(texts)
    check(texts, measures)


@given(BATCH, BATCH)
def test_a_text_measures_the_same_beside_any_others(first: list[str], second: list[str]) -> None:
    alone, together = asdict(measure(first)), asdict(measure(second + first + second))
    for name, column in alone.items():
        place = slice(len(second), len(second) + len(first))
        np.testing.assert_array_equal(column, together[name][place])


def test_texts_longer_than_a_batch_measure_the_same() -> None:
    """Long texts fill batches of their own; their repeats lie far apart."""
    generator = np.random.default_rng(0)
    texts = []
    for length in (15_000, 500, 50_000, 0, 10):
        codes = generator.integers(0x4E00, 0x4E00 + 300, length)
        words = [chr(code) if code % 7 else f" word{code} " for code in codes]
        words[::50] = ["。\n"] * len(words[::50])
        texts.append("".join(words) + "".join(words[: length // 3]))
    check(texts, measure(texts))


def test_no_text_gives_empty_columns() -> None:
    assert {len(column) for column in asdict(measure([])).values()} == {0}
    assert {float(column[0]) for column in asdict(measure([""])).values()} == {0.0}


def test_shares_lie_between_zero_and_one() -> None:
    measures = asdict(measure([piece * 7 for piece in PIECES]))
    for name, column in measures.items():
        if name.endswith("share"):
            assert column.min() >= 0, name
            assert column.max() <= 1, name
