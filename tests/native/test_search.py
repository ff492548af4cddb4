"""Scores by bm25 against plain numpy, to the last bit, and what is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qingtan.native import best_by_bm25

WEIGHTS = 200
PASSAGES = 20_000  # several windows of those that are scored at once
LISTS = st.lists(
    st.tuples(
        st.lists(st.integers(0, PASSAGES - 1), max_size=30, unique=True).map(sorted),
        st.sampled_from([1e-6, 0.7, 3.1]),
    ),
    max_size=5,
)


def arguments(lists: list[tuple[list[int], float]], dtype: Any = np.uint8) -> dict[str, Any]:
    """Return all arguments but the limit; weights are random, but the same always."""
    random = np.random.default_rng(0)
    bounds = np.cumsum([0, *(len(places) for places, _ in lists)]).tolist()
    return {
        "places": np.array([place for places, _ in lists for place in places], np.int32),
        "codes": random.integers(0, WEIGHTS, bounds[-1]).astype(dtype),
        "weights": random.uniform(0.1, 2.2, WEIGHTS).round(1),
        "lists": [
            (begin, end, idf)
            for begin, end, (_, idf) in zip(bounds[:-1], bounds[1:], lists, strict=True)
        ],
    }


def scores(given: dict[str, Any]) -> NDArray[np.float64]:
    """Return the score of every passage."""
    total = np.zeros(PASSAGES)
    for begin, end, idf in given["lists"]:
        weights = given["weights"][given["codes"][begin:end]]
        total[given["places"][begin:end]] += idf * weights
    return total


@given(
    lists=LISTS,
    limit=st.integers(1, 40),
    dtype=st.sampled_from([np.uint8, np.uint16, np.uint32]),
)
def test_the_same_as_numpy(lists: list[tuple[list[int], float]], limit: int, dtype: Any) -> None:
    given = arguments(lists, dtype)
    expected = scores(given)
    order = np.lexsort((np.arange(PASSAGES), -expected))[:limit]
    found = best_by_bm25(**given, limit=limit)
    assert found == [(place, expected[place]) for place in order if expected[place] > 0]


def test_a_passage_at_the_edge_of_a_window_is_scored_once() -> None:
    every = list(range(PASSAGES))
    given = arguments([(every, 1.0), (every[::2], 2.0)])
    found = best_by_bm25(**given, limit=PASSAGES)
    assert sorted(place for place, _ in found) == every
    assert dict(found) == pytest.approx(dict(enumerate(scores(given))), rel=1e-15)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("places", np.array([-1, 5], np.int32), "places"),
        ("places", np.array([5, 3], np.int32), "places"),
        ("places", np.array([2**31 - 1, -(2**31)], np.int32), "places"),
        ("places", np.array([0, 5], np.int64), "places"),
        ("places", np.array([0, 9, 5, 9], np.int32)[::2], "places"),
        ("codes", np.ones(3, np.uint8), "codes"),
        ("codes", np.ones(2), "codes"),
        ("codes", np.array([0, WEIGHTS], np.uint8), "codes"),
        ("weights", np.ones(WEIGHTS, np.float32), "weights"),
        ("weights", np.zeros(WEIGHTS), "weights"),
        ("weights", np.full(WEIGHTS, np.nan), "weights"),
        ("weights", np.ones(0), "codes"),
        ("lists", [(0, 2, 0.0)], "weights"),
        ("lists", [(0, 3, 1.0)], "end"),
        ("lists", [(-1, 2, 1.0)], "begin"),
        ("lists", [(2, 1, 1.0)], "begin"),
        ("limit", 0, "limit"),
    ],
)
def test_what_is_wrong_is_refused_by_name(name: str, value: Any, named: str) -> None:
    given = {**arguments([([0, 5], 1.0)]), "limit": 3}
    assert best_by_bm25(**given)
    with pytest.raises(ValueError, match=f"^{named}: "):
        best_by_bm25(**{**given, name: value})
