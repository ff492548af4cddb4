"""Excerpts as HTML, and numbers as people read them."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.corpus.report.excerpts import mark_both, mark_change, visible
from qingtan.corpus.report.formats import format_share, format_size, format_value

# Characters that have a picture, so that what is shown is the text itself.
TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" \u3000<&"))


def without(marked: str, *elements: str) -> str:
    """Return a marked text's own text, some elements left out with all they hold."""
    for element in elements:
        marked = re.sub(f"<{element}>.*?</{element}>", "", marked, flags=re.DOTALL)
    return html.unescape(re.sub("<[^>]*>", "", marked))


@given(TEXTS, TEXTS)
def test_a_change_holds_both_texts(before: str, after: str) -> None:
    marked = mark_change(before, after)
    assert without(marked, "ins") == before
    assert without(marked, "del") == after


@given(TEXTS, TEXTS)
def test_texts_side_by_side_differ_only_in_their_marks(first: str, second: str) -> None:
    left, right = mark_both(first, second)
    assert (without(left), without(right)) == (first, second)
    assert without(left, "del") == without(right, "ins")


@given(st.text(st.characters(codec="utf-8")))
def test_no_character_without_a_picture_is_left(text: str) -> None:
    shown = html.unescape(visible(text))
    assert shown.translate(str.maketrans("", "", "\n\t\u3000")).isprintable()
    assert "<" not in re.sub(r"</?i>", "", visible(text))


def test_line_ends_that_were_removed_can_be_seen() -> None:
    assert mark_change("一\n\n\n二", "一\n\n二").count("↵\n") == 1


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (12_345_678, "12.3 MB"),
        (5_000_000_000, "5.00 GB"),
        (1_234_000_000_000_000, "1,234 TB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 5, "0%"),
        (5, 5, "100%"),
        (1, 250, "0.4%"),
        (1, 10_000, "<0.1%"),
        (9_999, 10_000, ">99.9%"),
        (9_990, 10_000, "99.9%"),
        (1, 0, "–"),
        (0.2, 1, "20.0%"),
    ],
)
def test_shares(part: float, whole: float, text: str) -> None:
    assert format_share(part, whole) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(12, "12"), (0.42171, "0.4217"), (12345.6, "12,346"), (float("inf"), "inf"), (-0.5, "-0.5")],
)
def test_values(value: float, text: str) -> None:
    assert format_value(value) == text
