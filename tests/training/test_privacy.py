"""DP-SGD: per-document gradients, clipping, noise and accounting, each against something plain."""

import math
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from opacus.accountants import PRVAccountant
from torch import Tensor

from qingtan.errors import UserError
from qingtan.glm.config import GLMConfig
from qingtan.glm.lora import LoRAConfig, add_lora
from qingtan.glm.model import GLM, initialize
from qingtan.training.batches import Batch, Written, make_batch
from qingtan.training.gradients import Gradients
from qingtan.training.poisson import DocumentLikelihood, PoissonDocuments
from qingtan.training.privacy import PrivateGradients, check_privacy, find_noise
from qingtan.training.recipe import TrainRecipe
from qingtan.training.subject import Subject
from qingtan.training.tables import PrivacyTable

from .samples import talk_shard, text_shard

VOCABULARY = 90
TABLE = PrivacyTable(epsilon=3, delta=1e-3, clip_norm=0.7)
LIKELIHOOD = DocumentLikelihood()


def make_subject(targets: tuple[str, ...] = ("qkv", "out", "gate_up", "down")) -> Subject:
    model = initialize(GLM(GLMConfig.named("tiny", vocab_size=VOCABULARY)), 0)
    add_lora(model, "new", LoRAConfig(2, 4.0, targets=targets))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.embedding.weight.mul_(20)
        for name, parameter in model.named_parameters():
            if name.endswith(".up.weight"):  # zeros at first, which would hide errors in `down`
                parameter.normal_(std=0.05, generator=generator)
    return Subject(model).train()


def make_documents(count: int) -> Batch:
    rng = np.random.default_rng(3)
    rows = []
    for i in range(count):
        ids = rng.integers(0, VOCABULARY, rng.integers(3, 13))
        mask = rng.random(len(ids)) < 0.6
        mask[-1] = True
        rows.append([Written(f"{i}", ids, mask)])
    return make_batch(rows, 12)


def trained(subject: Subject) -> list[Tensor]:
    return [p for p in subject.parameters() if p.requires_grad]


def gradients_of(subject: Subject, batch: Batch) -> NDArray[np.float64]:
    """Return each document's gradient, (rows, parameters), a backward pass each."""
    rows = []
    for row in batch.split(1):
        subject.zero_grad()
        LIKELIHOOD.loss(subject, row).total.backward()
        flat = [p.grad.flatten() for p in trained(subject) if p.grad is not None]
        rows.append(torch.cat(flat).double().numpy())
    subject.zero_grad()
    return np.stack(rows)


def flat_gradient(subject: Subject) -> NDArray[np.float64]:
    gradients = [p.grad.flatten() for p in trained(subject) if p.grad is not None]
    return torch.cat(gradients).double().numpy()


def test_a_documents_loss_is_the_mean_over_its_tokens() -> None:
    subject, batch = make_subject(), make_documents(3)
    expected = 0.0
    for row in batch.split(1):
        logits = subject.model(row.tokens).logits[0].log_softmax(-1)
        losses = [-logits[i, label] for i, label in enumerate(row.labels[0]) if label >= 0]
        expected += float(torch.stack(losses).mean().detach())
    assert float(LIKELIHOOD.loss(subject, batch).total.detach()) == pytest.approx(expected)
    assert LIKELIHOOD.count(batch) == 3


@pytest.mark.parametrize("targets", [("qkv", "out", "gate_up", "down"), ("down", "head")])
def test_each_rows_gradient_is_that_of_a_pass_of_its_own(targets: tuple[str, ...]) -> None:
    subject, batch = make_subject(targets), make_documents(5)
    expected = gradients_of(subject, batch)
    PrivateGradients(subject, TABLE, documents=5, expected_rows=5, steps=1)
    LIKELIHOOD.loss(subject, batch).total.backward()
    found = [p.grad_sample.flatten(1) for p in trained(subject)]  # type: ignore[attr-defined]
    np.testing.assert_allclose(torch.cat(found, 1).numpy(), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("rows", [8, 3])
def test_without_noise_it_is_the_sum_of_clipped_gradients(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr("qingtan.training.privacy.find_noise", lambda *_: 0.0)
    subject, batch = make_subject(), make_documents(8)
    gradients = gradients_of(subject, batch)
    norms = np.linalg.norm(gradients, axis=1)
    bound = float(np.median(norms))  # some are clipped and some are not
    table = PrivacyTable(epsilon=3, delta=1e-3, clip_norm=bound)
    expected = (gradients * np.minimum(1, bound / norms)[:, None]).sum(0) / 6
    private = PrivateGradients(subject, table, documents=60, expected_rows=6, steps=10)
    for _ in range(2):  # a second update has nothing of the first
        for part in batch.split(rows):
            private.add(LIKELIHOOD.loss(subject, part).total, len(part.tokens))
        norm = private.finish()
        found = flat_gradient(subject)
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-6)
        assert norm == pytest.approx(np.linalg.norm(found))
        subject.zero_grad()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_document_moves_the_sum_by_more_than_the_bound(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    """Whatever the products' precision; bfloat16 rounds a norm by up to 0.4%."""
    monkeypatch.setattr("qingtan.training.privacy.find_noise", lambda *_: 0.0)
    subject = make_subject()
    table = PrivacyTable(epsilon=3, delta=1e-3, clip_norm=0.01)
    private = PrivateGradients(subject, table, documents=60, expected_rows=6, steps=10)
    for document in make_documents(8).split(1):
        with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
            loss = LIKELIHOOD.loss(subject, document)
        private.add(loss.total, 1)
        private.finish()
        norm = np.linalg.norm(flat_gradient(subject)) * 6
        assert 0.0099 < norm < 0.01 * (1 + 1e-6)


def test_the_noise_has_the_deviation_that_was_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates without documents are nothing but noise."""
    monkeypatch.setattr("qingtan.training.privacy.find_noise", lambda *_: 1.3)
    subject = make_subject()
    private: Gradients = PrivateGradients(subject, TABLE, 60, expected_rows=6, steps=20)
    draws = []
    for _ in range(20):
        torch.manual_seed(0)  # must not matter
        private.finish()
        draws.append(flat_gradient(subject))
    noise = np.stack(draws) * 6
    deviation = 1.3 * TABLE.clip_norm
    count = noise.size
    assert count > 40_000
    # Five deviations of the mean and of the deviation of so many normal numbers.
    assert abs(noise.mean()) < 5 * deviation / math.sqrt(count)
    assert noise.std() == pytest.approx(deviation, rel=5 / math.sqrt(2 * count))
    # Normal: 68.3% within one deviation; and no draw or parameter is like another.
    assert np.mean(np.abs(noise) < deviation) == pytest.approx(0.6827, abs=0.012)
    assert np.abs(np.corrcoef(noise) - np.eye(20)).max() < 0.12


def test_epsilon_is_the_accountants_and_resuming_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    private = PrivateGradients(make_subject(), TABLE, documents=60, expected_rows=6, steps=12)
    # It takes a second to find.
    monkeypatch.setattr("qingtan.training.privacy.find_noise", lambda *_: private.noise_multiplier)
    assert private.spent() == 0
    for _ in range(5):
        private.finish()
    accountant = PRVAccountant()
    accountant.history = [(private.noise_multiplier, 0.1, 5)]
    at_five = accountant.get_epsilon(1e-3, eps_error=0.03)
    assert private.spent() == pytest.approx(at_five, abs=1e-9)
    resumed = PrivateGradients(make_subject(), TABLE, documents=60, expected_rows=6, steps=12)
    resumed.load_state_dict(private.state_dict())
    for _ in range(7):
        resumed.finish()
    assert resumed.state_dict() == {"history": [(private.noise_multiplier, 0.1, 12)]}
    assert private.state_dict() == {"history": [(private.noise_multiplier, 0.1, 5)]}
    at_end = resumed.spent()
    assert max(at_five, 0.97 * TABLE.epsilon) < at_end <= TABLE.epsilon


@pytest.mark.parametrize(("epsilon", "steps"), [(0.3, 1), (2.0, 20)])
def test_when_all_are_drawn_the_noise_is_that_of_the_gaussian_mechanism(
    epsilon: float, steps: int
) -> None:
    """1805.06530, theorem 8, of the sum of all updates, which are one of the deviation σ/√n."""
    sigma = find_noise(PrivacyTable(epsilon=epsilon, delta=1e-4), 1.0, steps)
    shift = math.sqrt(steps) / sigma

    def delta_at(epsilon: float) -> float:
        def phi(x: float) -> float:
            return math.erfc(-x / math.sqrt(2)) / 2

        place = epsilon / shift
        return phi(shift / 2 - place) - math.exp(epsilon) * phi(-shift / 2 - place)

    assert delta_at(epsilon) <= 1e-4 < delta_at(0.95 * epsilon)


def test_a_promise_that_no_noise_keeps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opacus.accountants.utils.MAX_SIGMA", 1.0)  # to find none at once
    with pytest.raises(UserError, match=r"privacy\.epsilon: found no noise that keeps 9 steps"):
        find_noise(PrivacyTable(epsilon=0.01, delta=1e-9), 1.0, 9)


def test_a_model_learns_with_noise_and_is_as_it_was_when_closed() -> None:
    subject = make_subject()
    batch = make_documents(30)
    table = PrivacyTable(epsilon=50, delta=1e-3, clip_norm=1.0)
    private = PrivateGradients(subject, table, documents=30, expected_rows=30, steps=20)
    optimizer = torch.optim.AdamW(trained(subject), lr=0.02)
    losses = []
    for _ in range(20):
        loss = LIKELIHOOD.loss(subject, batch)
        private.add(loss.total, 30)
        private.finish()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.total.detach()) / 30)
    assert losses[-1] < losses[0] - 0.3
    private.close()
    LIKELIHOOD.loss(subject, batch).total.backward()
    assert not any(hasattr(p, "grad_sample") for p in trained(subject))


def test_every_document_is_drawn_by_itself_with_the_same_chance() -> None:
    shards = [text_shard([5] * 30), talk_shard([[False, True, True]] * 10, first=1000)]
    source = PoissonDocuments([*shards, text_shard([5], "other")], {"text": 1, "talk": 1.0}, 12)
    assert source.documents == 40
    counts, sizes = np.zeros(40), []
    for batch in islice(source.batches(8), 1500):
        firsts = batch.tokens[:, 0].numpy()
        drawn = np.where(firsts < 1000, firsts // 5, 30 + (firsts - 1000) // 3)
        assert len(set(drawn)) == len(drawn)
        counts[drawn] += 1
        sizes.append(len(drawn))
    # q = 1/5; six deviations of a binomial number for each.
    assert np.abs(counts - 300).max() < 6 * math.sqrt(1500 * 0.2 * 0.8)
    assert np.mean(sizes) == pytest.approx(8, abs=0.4)
    assert np.var(sizes) == pytest.approx(40 * 0.2 * 0.8, rel=0.2)


def test_a_draw_may_be_empty_and_is_never_repeated() -> None:
    source = PoissonDocuments([text_shard([5] * 200)], {"text": 1.0}, 12)
    empty = next(batch for batch in source.batches(1) if not len(batch.tokens))
    assert empty.tokens.shape == empty.labels.shape == (0, 1)
    assert empty.pieces == ()
    assert empty.split(4) == []
    np.random.seed(0)
    first = next(source.batches(100)).tokens
    np.random.seed(0)
    assert not torch.equal(first, next(source.batches(100)).tokens)


def test_a_row_is_a_whole_document() -> None:
    masks = [[False] * 3, [True, False], [False] + [True] * 12, [False] + [True] * 13]
    source = PoissonDocuments(
        [text_shard([1, 13, 14, 4]), talk_shard(masks, first=100)], {"text": 1, "talk": 1}, 12
    )
    batch = next(source.batches(3))  # all of them
    assert [[piece.name for piece in row] for row in batch.pieces] == [
        ["text, document 1"],
        ["text, document 3"],
        ["talk, document 2"],
    ]
    assert batch.tokens.shape == (3, 12)
    assert [(s.name, s.tokens, s.reason) for s in source.skipped] == [
        ("text, document 0", 1, "nothing to predict"),
        ("text, document 2", 14, "longer than a row of 12"),
        ("talk, document 0", 3, "nothing to predict"),
        ("talk, document 1", 2, "nothing to predict"),
        ("talk, document 3", 14, "longer than a row of 12"),
    ]
    with pytest.raises(UserError, match="no document can be trained on"):
        PoissonDocuments([text_shard([14])], {"text": 1}, 12)
    with pytest.raises(UserError, match="no document can be trained on"):
        PoissonDocuments([text_shard([4])], {"text": 0}, 12)


def recipe(**changes: Any) -> TrainRecipe:
    values = {
        "output": "run",
        "model": {"start": "model"},
        "data": {"corpus": "corpus", "sequence_length": 64},
        "lora": {},
        "privacy": {"epsilon": 8, "delta": 1e-4},
        "steps": 10,
        "batch_tokens": 640,
        "micro_batch_tokens": 128,
    }
    return TrainRecipe.model_validate(values | changes)


def test_a_recipe_that_keeps_its_promise_passes() -> None:
    check_privacy(recipe(), {"talks": 1.0, "poems": 0.0}, 9_999)
    check_privacy(recipe(privacy=None), {"talks": 3.0}, 1)


@pytest.mark.parametrize(
    ("changes", "sources", "documents", "processes", "message"),
    [
        ({}, {"talks": 1.0, "poems": 2.0}, 1000, 1, r"data\.sources: .* poems other than once"),
        ({}, {"talks": 0.5}, 1000, 1, r"data\.sources: .* talks other than once"),
        ({}, {"talks": 1.0}, 10_000, 1, r"privacy\.delta: 0\.0001 is not below 1 / 10000"),
        ({}, {"talks": 1.0}, 9, 1, "batch_tokens: an update has 10 rows.*at most 576"),
        ({}, {"talks": 1.0}, 1000, 2, "without torchrun"),
        (
            {"model": {"start": "model", "activation_checkpointing": True}},
            {"talks": 1.0},
            1000,
            1,
            r"model\.activation_checkpointing",
        ),
        ({"compile": True}, {"talks": 1.0}, 1000, 1, "compile: privacy"),
    ],
)
def test_a_recipe_that_does_not_is_refused(
    changes: dict[str, Any],
    sources: dict[str, float],
    documents: int,
    processes: int,
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        check_privacy(recipe(**changes), sources, documents, processes)
