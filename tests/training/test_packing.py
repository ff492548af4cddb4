"""Packing: rows that hold every piece once, and no more of them than best fit needs."""

from hypothesis import given
from hypothesis import strategies as st

from qingtan.training.packing import pack


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[int], int]:
    capacity = draw(st.integers(1, 60))
    return draw(st.lists(st.integers(1, capacity), max_size=60)), capacity


def best_fit_decreasing(lengths: list[int], capacity: int) -> list[int]:
    """Return the sums of the rows, by looking at all of them for each piece."""
    sums: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [i for i, used in enumerate(sums) if used + length <= capacity]
        if fitting:
            sums[max(fitting, key=lambda i: sums[i])] += length
        else:
            sums.append(length)
    return sums


@given(problem=problems())
def test_every_piece_is_in_one_row_by_best_fit(problem: tuple[list[int], int]) -> None:
    lengths, capacity = problem
    rows = pack(lengths, capacity)
    assert sorted(piece for row in rows for piece in row) == list(range(len(lengths)))
    sums = [sum(lengths[piece] for piece in row) for row in rows]
    assert all(0 < total <= capacity for total in sums)
    assert sorted(sums) == sorted(best_fit_decreasing(lengths, capacity))
    # No packing needs fewer rows than the tokens fill; two half-empty rows would have been one.
    assert -(-sum(lengths) // capacity) <= len(rows) <= len(lengths)
    assert (len(rows) - 1) * capacity < 2 * sum(lengths) or not rows
    assert rows == pack(lengths, capacity)


def test_an_example() -> None:
    assert pack([2, 5, 3, 4, 6], 8) == [[4, 0], [1, 2], [3]]
    assert pack([], 8) == []
