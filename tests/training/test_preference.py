"""DPO: the loss and its gradients against plain numpy and TRL's formula, and that it learns."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qingtan.glm.config import GLMConfig
from qingtan.glm.lora import LoRAConfig, add_lora
from qingtan.glm.model import GLM, initialize
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.batches import Batch, Written, make_batch
from qingtan.training.pairs import Pair, PreferencePairs
from qingtan.training.preference import (
    DirectPreference,
    evaluate_preference,
    pair_losses,
    sequence_scores,
)
from qingtan.training.subject import Subject
from qingtan.training.tables import PreferenceTable

VOCABULARY = 90


def table(pairs: Path = Path("pairs.jsonl"), **changes: float) -> PreferenceTable:
    values = {"pairs": pairs, "source": "test", "licence": "CC0-1.0", **changes}
    return PreferenceTable.model_validate(values)


def make_model(seed: int, vocabulary: int = VOCABULARY) -> GLM:
    model = initialize(GLM(GLMConfig.named("tiny", vocab_size=vocabulary)), seed)
    with torch.no_grad():
        model.embedding.weight.mul_(20)  # so that its guesses are far from even
    return model


def random_pairs(count: int, seed: int = 0) -> list[Pair]:
    rng = np.random.default_rng(seed)
    pairs = []
    for i in range(count):
        question = rng.integers(0, VOCABULARY, rng.integers(2, 6))
        sides = []
        for size in rng.integers(1, 7, 2):
            ids = np.concatenate([question, rng.integers(0, VOCABULARY, size)])
            sides.append(Written(f"{i}", ids, np.arange(len(ids)) >= len(question)))
        pairs.append(Pair(f"{i}", *sides, i / count))
    return pairs


def batch_of(pairs: Sequence[Pair]) -> Batch:
    return make_batch([[side] for pair in pairs for side in (pair.chosen, pair.rejected)], 12)


def plain_scores(model: GLM, pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """Return ln p of each answer, (pairs, 2), in float64, a sequence at a time."""
    scores = np.zeros((len(pairs), 2))
    for i, pair in enumerate(pairs):
        for j, side in enumerate((pair.chosen, pair.rejected)):
            with torch.no_grad():
                logits = model(torch.from_numpy(side.ids[None, :-1])).logits[0].double().numpy()
            logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            for place in range(1, side.length):
                scores[i, j] += logs[place - 1, side.ids[place]] * side.mask[place]
    return scores


def plain_loss(margins: NDArray[np.float64], smoothing: float) -> NDArray[np.float64]:
    probability = 1 / (1 + np.exp(-margins))
    return -(1 - smoothing) * np.log(probability) - smoothing * np.log(1 - probability)


@hypothesis_settings(max_examples=50)
@given(
    logits=st.lists(st.floats(-20, 20), min_size=4, max_size=4),
    beta=st.floats(0.01, 2),
    smoothing=st.floats(0, 0.49),
)
def test_loss_and_gradient_are_those_of_trl(
    logits: list[float], beta: float, smoothing: float
) -> None:
    """TRL's "sigmoid" loss, written out, and its derivative with respect to the margin."""
    chosen, rejected, chosen_before, rejected_before = logits
    delta = (chosen - rejected) - (chosen_before - rejected_before)
    margin = torch.tensor([beta * delta], dtype=torch.float64, requires_grad=True)
    loss = pair_losses(margin, smoothing)
    loss.sum().backward()

    def log_sigmoid(x: float) -> float:
        return -math.log1p(math.exp(-x)) if x >= 0 else x - math.log1p(math.exp(x))

    right, wrong = log_sigmoid(beta * delta), log_sigmoid(-beta * delta)
    expected = -right * (1 - smoothing) - wrong * smoothing
    assert float(loss[0].detach()) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    slope = smoothing * math.exp(right) - (1 - smoothing) * math.exp(wrong)
    assert margin.grad is not None
    assert float(margin.grad[0]) == pytest.approx(slope, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_a_batch_is_that_of_a_plain_loop(smoothing: float) -> None:
    model, reference = make_model(0), make_model(1)
    settings = table(beta=0.3, label_smoothing=smoothing)
    objective = DirectPreference(settings, Subject(reference))
    pairs = random_pairs(5)
    batch = batch_of(pairs)
    assert objective.count(batch) == 5
    loss = objective.loss(Subject(model), batch)
    rewards = 0.3 * (plain_scores(model, pairs) - plain_scores(reference, pairs))
    margins = rewards[:, 0] - rewards[:, 1]
    assert float(loss.total.detach()) == pytest.approx(plain_loss(margins, smoothing).sum(), 1e-4)
    assert float(loss.parts["margin"]) == pytest.approx(margins.sum(), rel=1e-3)
    assert float(loss.parts["accuracy"]) == (margins > 0).sum()
    # In parts of whole pairs it is the same sum, and the held-out figures are its means.
    parts = [float(objective.loss(Subject(model), part).total.detach()) for part in batch.split(2)]
    assert sum(parts) == pytest.approx(float(loss.total.detach()), rel=1e-5)
    figures = evaluate_preference(Subject(model), Subject(reference), pairs, settings)
    assert figures["loss"] == pytest.approx(plain_loss(margins, smoothing).mean(), rel=1e-4)
    assert figures["margin"] == pytest.approx(margins.mean(), rel=1e-3)
    assert figures["accuracy"] == (margins > 0).mean()


def test_gradients_are_those_of_the_papers_formula() -> None:
    """2305.18290, equation 7: −β·σ(−margin)·(∇ln π(chosen) − ∇ln π(rejected))."""
    model, reference = make_model(0).double(), make_model(1).double()
    pairs = random_pairs(3, seed=4)
    batch = batch_of(pairs)
    DirectPreference(table(beta=0.5), Subject(reference)).loss(
        Subject(model), batch
    ).total.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert len(found) == len(list(model.parameters()))
    assert not any(p.grad is not None for p in reference.parameters())
    rewards = 0.5 * (plain_scores(model, pairs) - plain_scores(reference, pairs))
    weights = 0.5 / (1 + np.exp(rewards[:, 0] - rewards[:, 1]))
    model.zero_grad()
    scores = sequence_scores(Subject(model), batch)
    signs = torch.from_numpy(np.stack([-weights, weights], axis=1).reshape(-1)).float()
    (signs * scores).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_before_the_first_update_an_adapter_equals_its_reference() -> None:
    model = make_model(0)
    add_lora(model, "new", LoRAConfig(4, 8.0, dropout=0.1))
    subject = Subject(model).eval()
    pairs = random_pairs(6)
    loss = DirectPreference(table()).loss(subject, batch_of(pairs))
    assert float(loss.total.detach()) == pytest.approx(6 * math.log(2))
    assert float(loss.parts["accuracy"]) == 3
    assert loss.total.requires_grad
    figures = evaluate_preference(subject.train(), None, pairs, table())
    assert figures["loss"] == pytest.approx(math.log(2))
    assert (figures["pairs"], figures["margin"], figures["accuracy"]) == (6, 0, 0.5)
    # Wilson's interval of 3 in 6.
    assert figures["accuracy_low"] == pytest.approx(0.187617, abs=1e-5)
    assert figures["accuracy_high"] == pytest.approx(0.812383, abs=1e-5)
    assert subject.training


def test_lora_learns_to_prefer_what_it_was_not_shown(
    tmp_path: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    """The chosen answer names the sun and the rejected one the moon, whatever is asked."""
    rng = np.random.default_rng(0)
    words = ["春眠", "北京", "上海", "花落", "故乡", "公园", "天气", "风雨", "你好", "城市"]
    records = [
        {
            "prompt": "".join(words[i] for i in rng.integers(0, 10, 3)) + "？",
            "chosen": words[rng.integers(10)] + "天气很好。",
            "rejected": words[rng.integers(10)] + "举头望明月。",
        }
        for _ in range(120)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    settings = table(path, validation_share=0.3)
    source = PreferencePairs.open(settings, tiny_tokenizer, 40, seed=0)
    model = make_model(0, tiny_tokenizer.vocab_size)
    add_lora(model, "new", LoRAConfig(4, 8.0))
    subject = Subject(model).train()
    objective = DirectPreference(settings)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    before = evaluate_preference(subject, None, source.validation, settings)
    assert before["accuracy"] == 0.5
    batches = source.batches(8)
    for _ in range(40):
        batch = next(batches)
        (objective.loss(subject, batch).total / objective.count(batch)).backward()
        optimizer.step()
        optimizer.zero_grad()
    after = evaluate_preference(subject, None, source.validation, settings)
    assert after["pairs"] > 20
    assert after["accuracy"] > 0.95
    assert after["accuracy_low"] > 0.85
    assert after["loss"] < 0.5 * math.log(2)
    assert after["margin"] > 1
