"""From shards to batches: what an epoch holds, in which order, and what is predicted."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtan.corpus.shards import Shard
from qingtan.errors import UserError
from qingtan.training.batches import IGNORED, Batch, PackedRows

from .samples import talk_shard, text_shard

LENGTH = 12
quick = settings(max_examples=40)


def take_labels(batches: Iterator[Batch], count: int) -> Counter[int]:
    """Read batches until they hold so many labels, and count each."""
    seen: Counter[int] = Counter()
    while seen.total() < count:
        labels = next(batches).labels
        seen.update(labels[labels != IGNORED].tolist())
    assert seen.total() == count
    return seen


@quick
@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_an_epoch_predicts_every_token_of_a_text_once(lengths: list[int], seed: int) -> None:
    shard = text_shard([2, *lengths])
    rows = PackedRows([shard], {"text": 1.0}, LENGTH, seed)
    predicted = set(shard.tokens.tolist()) - {int(shard.tokens[i]) for i in shard.starts[:-1]}
    batches = rows.batches(1)
    for _ in range(3):
        assert take_labels(batches, len(predicted)) == Counter(predicted)


@quick
@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_a_label_follows_its_token(lengths: list[int]) -> None:
    shard = text_shard([2, *lengths])
    firsts = {int(shard.tokens[start]) for start in shard.starts[:-1]}
    for batch in islice(PackedRows([shard], {"text": 1.0}, LENGTH, 0).batches(3), 5):
        assert batch.tokens.shape == batch.labels.shape == (3, LENGTH)
        assert batch.tokens.dtype == batch.labels.dtype == torch.int64
        there = batch.labels != IGNORED
        # Tokens count up, so the next token of the same document is one more.
        assert torch.equal(batch.labels[there], batch.tokens[there] + 1)
        assert not firsts & set(batch.labels[there].tolist())


@quick
@given(masks=st.lists(st.lists(st.booleans(), min_size=2, max_size=16), min_size=1, max_size=20))
def test_only_answers_of_conversations_that_fit_are_predicted(masks: list[list[bool]]) -> None:
    masks.append([False, True])
    shard = talk_shard(masks)
    rows = PackedRows([shard], {"talk": 1.0}, LENGTH, 0)
    fitting = [i for i, mask in enumerate(masks) if len(mask) <= LENGTH + 1]
    assert len(rows.skipped) == len(masks) - len(fitting)
    assert rows.documents == len(masks)
    expected = [
        int(shard.starts[i]) + place
        for i in fitting
        for place, learnt in enumerate(masks[i])
        if learnt and place
    ]
    assert take_labels(rows.batches(1), len(expected)) == Counter(expected)


@quick
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 4), skip=st.integers(0, 40))
def test_to_skip_is_to_start_later(seed: int, rows: int, skip: int) -> None:
    shards = [text_shard([3, 30, 7, 9, 2, 14]), talk_shard([[False, True, True]] * 5, first=100)]
    repeats = {"text": 1.5, "talk": 0.7}

    def batches(skip: int) -> Iterator[Batch]:
        return PackedRows(shards, repeats, LENGTH, seed).batches(rows, skip)

    expected = list(islice(batches(0), skip, skip + 6))
    for batch, wanted in zip(batches(skip), expected, strict=False):
        assert torch.equal(batch.tokens, wanted.tokens)
        assert torch.equal(batch.labels, wanted.labels)


def test_the_order_depends_on_seed_and_epoch() -> None:
    shard = text_shard([LENGTH + 1] * 20)  # a row a document

    def order(seed: int, epoch: int) -> list[int]:
        rows = PackedRows([shard], {"text": 1.0}, LENGTH, seed).batches(20, skip=epoch)
        return next(rows).tokens[:, 0].tolist()

    orders = [order(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(one) == sorted(orders[0]) for one in orders)
    assert len({tuple(one) for one in orders}) == 4


def test_a_source_is_drawn_as_often_as_asked() -> None:
    sources = [("twice", 2.0), ("half", 0.5), ("more", 1.25), ("never", 0.0), ("unnamed", None)]
    shards: list[Shard] = []
    repeats: dict[str, float] = {}
    for i, (name, often) in enumerate(sources):
        shards.append(text_shard([6] * 8, name, first=1000 * i))
        if often is not None:
            repeats[name] = often
    batches = PackedRows(shards, repeats, LENGTH, 3).batches(1)
    for _ in range(2):
        seen = take_labels(batches, 5 * (16 + 4 + 10))
        documents = {
            name: Counter(seen[label] for label in range(1000 * i + 1, 1000 * i + 48, 6))
            for i, (name, _) in enumerate(sources)
        }
        assert documents == {
            "twice": {2: 8},
            "half": {1: 4, 0: 4},
            "more": {1: 6, 2: 2},
            "never": {0: 8},
            "unnamed": {0: 8},
        }


@pytest.mark.parametrize(
    ("shards", "repeats"),
    [
        ([], {}),
        ([text_shard([5])], {}),
        ([text_shard([5])], {"text": 0.0}),
        ([text_shard([5])], {"text": 0.3}),
        ([text_shard([1, 1])], {"text": 1.0}),
        ([talk_shard([[True] * 14])], {"talk": 1.0}),
        ([talk_shard([[True] * 14]), text_shard([5])], {"talk": 1.0, "text": 0.0}),
    ],
)
def test_nothing_to_train_on_is_an_error(shards: list[Shard], repeats: dict[str, float]) -> None:
    with pytest.raises(UserError, match="no document can be trained on"):
        PackedRows(shards, repeats, LENGTH, 0)
