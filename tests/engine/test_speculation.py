from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.engine.speculation import Acceptance, DraftLength, PromptLookup, StepTimes, Trials

SMALL = st.lists(st.integers(0, 3), min_size=1, max_size=40)


def search(tokens: Sequence[int], count: int, last: int) -> tuple[int, list[int]]:
    """Look for the last tokens elsewhere, and go on as the text went on there.

    The first place behind the last one is taken, or else the very last.
    """
    for size in (3, 2, 1):
        ending = tokens[-size:]
        places = [
            start + size
            for start in range(len(tokens) - size)
            if size <= len(tokens) and tokens[start : start + size] == ending
        ]
        if places:
            place = next((each for each in places if each > last), places[-1])
            going_on = list(tokens)
            for at in range(place, place + count):
                going_on.append(going_on[at])
            return place, going_on[len(tokens) :]
    return last, []


@given(SMALL, st.lists(SMALL, max_size=5), st.integers(1, 9))
def test_lookup_finds_what_a_search_finds(
    first: list[int], later: list[list[int]], count: int
) -> None:
    lookup, tokens, last = PromptLookup(), list(first), 0
    for more in [[], *later]:
        tokens += more
        place, size = lookup.find(tokens)
        guessed = lookup.repeat(tokens, place, count) if size else []
        last, expected = search(tokens, count, last)
        assert guessed == expected


def test_lookup_goes_on_behind_what_a_summary_left_out() -> None:
    # 1 is said four times; after the second sentence the text goes on with the third.
    document = [1, 10, 11, 2, 1, 20, 21, 2, 1, 30, 31, 2, 1, 40, 41, 2]
    lookup = PromptLookup()
    tokens = [*document, 9, 1, 20]
    place, size = lookup.find(tokens)
    assert (size, lookup.repeat(tokens, place, 2)) == (2, [21, 2])
    tokens += [7, 1]
    place, size = lookup.find(tokens)
    assert (size, lookup.repeat(tokens, place, 2)) == (1, [30, 31])


def after(guessed: int, accepted: int, times: int = 30) -> DraftLength:
    length = DraftLength()
    for _ in range(times):
        length.observe(guessed, accepted)
    return length


def test_the_more_comes_true_the_more_is_guessed() -> None:
    lengths = [after(8, accepted).worth(0.15).tokens for accepted in range(9)]
    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    assert lengths[-1] == 12


def test_the_more_a_guess_costs_the_fewer_are_made() -> None:
    length = after(8, 5)
    counts = [length.worth(cost / 20).tokens for cost in range(1, 30)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 4
    assert counts[-1] == 0


@given(st.floats(0.001, 2))
def test_the_number_of_guesses_is_the_best_one(cost: float) -> None:
    overall = Acceptance()
    for _ in range(10):
        overall.observe(8, 5)
    share = overall.share
    # Tokens of a step are those before the first wrong guess, and one more.
    rate = [sum(share**i for i in range(k + 1)) / (1 + cost * k) for k in range(13)]
    count, gain = DraftLength(overall).worth(cost)
    assert gain == pytest.approx(rate[count])
    # A gain of less than 5% is not worth the trouble.
    assert rate[count] == pytest.approx(max(rate)) if count else max(rate) <= 1.06


def test_a_text_that_comes_to_repeat_itself_is_guessed_again() -> None:
    length = after(4, 0)
    assert length.worth(0.15).tokens == 0
    for _ in range(20):
        length.observe(1, 1)
    assert length.worth(0.15).tokens >= 4


def test_a_new_text_begins_with_what_others_showed() -> None:
    overall = Acceptance()
    bad = DraftLength(overall)
    assert bad.worth(0.3).tokens > 0
    for _ in range(100):
        bad.observe(2, 0)
    assert DraftLength(overall).worth(0.3).tokens == 0
    good = DraftLength(overall)
    for _ in range(20):
        good.observe(4, 4)
    assert good.worth(0.3).tokens > 4


def test_step_times_are_a_line() -> None:
    times = StepTimes()
    assert not times.known
    assert times.row == times.seconds(3) == 0
    for i in range(300):
        rows = 1 + i % 12
        times.observe(rows, 0.010 + 0.002 * rows)
    assert times.row == pytest.approx(0.002, rel=0.1)
    assert times.seconds(1) == pytest.approx(0.012, rel=0.1)
    assert times.seconds(12) == pytest.approx(0.034, rel=0.05)


def test_step_times_of_one_size_and_of_noise_stay_sensible() -> None:
    times = StepTimes()
    for _ in range(50):
        times.observe(1, 0.01)
    assert times.seconds(1) == pytest.approx(0.01)
    assert 0 < times.row < 0.005
    times.observe(1, 60.0)  # the machine slept
    assert times.seconds(1) < 0.012
    for rows in (1, 9, 1, 9):  # more rows in less time
        times.observe(rows, 0.01 / rows)
    assert times.row > 0
    assert times.seconds(1) >= 0


def test_trials_cost_a_small_share_of_all_time() -> None:
    trials = Trials()
    assert not trials.afford(0.001)
    made = 0
    for _ in range(10_000):
        trials.earn(0.010)
        made += trials.afford(0.005)
    assert 0.005 * made <= 0.02 * 100
    assert made > 50
