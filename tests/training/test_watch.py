"""When a run is stopped, and what it says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.training.batches import Batch, Written, make_batch
from qingtan.training.watch import Diverged, Watch

INFINITY = float("inf")


def make_pieces(*names: str) -> Batch:
    two = np.asarray([1, 2])
    return make_batch([[Written(name, two, two == 2)] for name in names], 2)


BATCH = make_pieces("poems, document 7")


def feed(watch: Watch, losses: list[float]) -> int | None:
    """Return the first step (from 1) at which the watch stops."""
    for step, loss in enumerate(losses, start=1):
        try:
            watch.check(step, loss, 1.0, BATCH)
        except Diverged:
            return step
    return None


@pytest.mark.parametrize(
    ("loss", "norm", "what"),
    [
        (float("nan"), 1.0, "the loss is nan"),
        (INFINITY, 1.0, "the loss is inf"),
        (1.0, float("nan"), "the gradient's norm is nan"),
        (1.0, INFINITY, "the gradient's norm is inf"),
    ],
)
def test_what_is_not_finite_stops_at_once(loss: float, norm: float, what: str) -> None:
    with pytest.raises(UserError, match=f"^step 1: {what}; "):
        Watch(0).check(1, loss, norm, BATCH)


@settings(max_examples=60)
@given(
    losses=st.lists(st.floats(0, 12), max_size=90),
    spike=st.sampled_from([0.5, 2.0, 5.0]),
)
def test_a_spike_is_what_numpy_finds(losses: list[float], spike: float) -> None:
    expected = next(
        (
            step + 1
            for step, loss in enumerate(losses)
            if step >= 20 and loss > np.median(losses[max(0, step - 50) : step]) + spike
        ),
        None,
    )
    assert feed(Watch(spike), losses) == expected


def test_without_a_limit_no_spike_stops() -> None:
    assert feed(Watch(0), [1.0] * 30 + [1e9]) is None


def test_it_goes_on_exactly_from_its_state() -> None:
    losses = [float(x) for x in np.random.default_rng(0).normal(3, 0.2, 60)]
    whole, first = Watch(1.0), Watch(1.0)
    feed(whole, losses)
    feed(first, losses[:33])
    second = Watch(1.0)
    second.load(first.state())
    feed(second, losses[33:])
    assert second.state() == whole.state() == losses[-50:]


def test_a_spike_is_not_part_of_what_is_usual() -> None:
    watch = Watch(1.0)
    feed(watch, [2.0] * 25)
    for _ in range(2):
        with pytest.raises(Diverged):
            watch.check(26, 9.0, 1.0, BATCH)
    assert watch.state() == [2.0] * 25


def test_the_message_names_the_documents_and_what_to_do() -> None:
    watch = Watch(3.0)
    feed(watch, [2.5] * 24)
    names = [f"poems, document {i}" for i in range(10)]
    with pytest.raises(Diverged) as caught:
        watch.check(25, 6.25, 1.0, make_pieces(*names, names[0]))
    text = str(caught.value)
    assert "step 25: the loss is 6.250, more than spike_nats 3 above 2.500" in text
    lines = text.splitlines()
    assert lines[1:10] == [*(f"  {name}" for name in names[:8]), "  and 2 more"]
    assert "optimizer.learning_rate" in text
