"""Bits per byte, against a loop over documents."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from qingtan.corpus.shards import Shard
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, initialize
from qingtan.glm.prefix import PrefixEncoder
from qingtan.training.evaluation import evaluate
from qingtan.training.subject import Subject

LENGTH = 16
VOCABULARY = 90


@pytest.fixture(scope="module")
def model() -> GLM:
    config = GLMConfig.named("tiny", vocab_size=VOCABULARY)
    model = initialize(GLM(config), 1)
    with torch.no_grad():
        model.embedding.weight.mul_(20)  # so that its guesses are far from even
    return model.train()


def make_shard(source: str, lengths: list[int], is_talk: bool, seed: int) -> Shard:
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Shard(
        source,
        "valid",
        rng.integers(0, VOCABULARY, starts[-1]).astype(np.uint16),
        starts,
        rng.integers(1, 99, len(lengths)).astype(np.uint32),
        rng.random(starts[-1]) < 0.5 if is_talk else None,
    )


SHARDS = [
    make_shard("text", [3, 40, 17, 18, 2, 1, 9, 16, 55], False, 0),
    make_shard("talk", [5, 17, 18, 9, 3], True, 1),
    make_shard("text", [11, 30], False, 2),
]


def plain(model: GLM, shard: Shard, document: int) -> tuple[float, int]:
    """Return a document's bits and predicted tokens, a row of it at a time."""
    tokens = shard.document(document).astype(np.int64)
    place = slice(shard.starts[document], shard.starts[document + 1])
    wanted = np.ones(len(tokens), bool) if shard.trained is None else shard.trained[place]
    bits, count = 0.0, 0
    for start in range(0, len(tokens) - 1, LENGTH):
        row = tokens[start : start + LENGTH + 1]
        with torch.no_grad():
            logits = model(torch.from_numpy(row[None, :-1])).logits[0].double().numpy()
        scores = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        for i, token in enumerate(row[1:]):
            if wanted[start + i + 1]:
                bits -= scores[i, token] / math.log(2)
                count += 1
    return bits, count


def test_bits_are_those_of_a_plain_loop(model: GLM) -> None:
    results = evaluate(Subject(model), SHARDS, LENGTH, 10**6)
    assert list(results) == ["text", "talk"]
    for source, result in results.items():
        documents = [
            (shard, i)
            for shard in SHARDS
            if shard.source == source
            for i in range(len(shard))
            # A text of one token has nothing to predict; a long conversation is passed over.
            if len(shard.document(i)) > 1
            and (shard.trained is None or len(shard.document(i)) <= LENGTH + 1)
        ]
        parts = [plain(model, shard, i) for shard, i in documents]
        assert result.bits == pytest.approx(sum(bits for bits, _ in parts), rel=1e-5)
        assert result.tokens == sum(count for _, count in parts)
        assert result.bytes == sum(int(shard.bytes[i]) for shard, i in documents)
        assert result.bits_per_byte == result.bits / result.bytes


def test_it_ends_with_the_document_that_reaches_the_limit(model: GLM) -> None:
    for limit, documents in ((1, 1), (3, 1), (4, 2)):
        result = evaluate(Subject(model), SHARDS, LENGTH, limit)["text"]
        assert result.bytes == int(SHARDS[0].bytes[:documents].sum())


def test_the_subject_stays_in_its_mode_and_an_empty_source_is_left_out(model: GLM) -> None:
    empty = replace(SHARDS[1], starts=np.asarray([0, LENGTH + 2]), source="long")
    subject = Subject(model).train()
    assert list(evaluate(subject, [empty, SHARDS[0]], LENGTH, 10)) == ["text"]
    assert subject.training
    assert model.training
    evaluate(subject.eval(), SHARDS, LENGTH, 10)
    assert not model.training
    model.train()


def test_a_prefix_takes_part_without_its_dropout(model: GLM) -> None:
    torch.manual_seed(0)
    subject = Subject(model, PrefixEncoder(model.config, 3)).train()
    first, second = (evaluate(subject, SHARDS, LENGTH, 100)["text"].bits for _ in range(2))
    assert first == second
    assert first != pytest.approx(evaluate(Subject(model), SHARDS, LENGTH, 100)["text"].bits)


def test_documents_hidden_from_each_other_stand_in_rows_of_their_own_anyway(model: GLM) -> None:
    masked = evaluate(Subject(model, mask_documents=True), SHARDS, LENGTH, 1000)
    for source, result in evaluate(Subject(model), SHARDS, LENGTH, 1000).items():
        assert masked[source].bits == pytest.approx(result.bits, rel=1e-5)
