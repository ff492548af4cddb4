"""A live teacher: the loss against its formula, and students that come nearer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from qingtan.errors import UserError
from qingtan.glm.checkpoint import save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, initialize
from qingtan.glm.tokenizer import GLMTokenizer, train_tokenizer
from qingtan.training.batches import Batch, Written, make_batch
from qingtan.training.distillation.teacher import TeacherDistillation, open_teacher
from qingtan.training.objective import Likelihood
from qingtan.training.subject import Subject
from qingtan.training.tables import DistillationTable

LENGTH = 32


def make_model(seed: int, sharpness: float = 1.0, **changes: Any) -> GLM:
    """Return a tiny model; a sharp one prefers few tokens, as a model that has learnt does."""
    model = initialize(GLM(GLMConfig.named("tiny", **{"vocab_size": 576} | changes)), seed)
    with torch.no_grad():
        model.final_norm.weight.mul_(sharpness)
    return model


def make_pieces(seed: int, rows: int = 4, kinds: int = 12) -> Batch:
    """Return rows of two pieces each: a prompt of four tokens and an answer."""
    rng = np.random.default_rng(seed)
    mask = np.arange(16) >= 4
    pieces = [
        [Written("piece", rng.integers(3, kinds, 16), mask) for _ in range(2)] for _ in range(rows)
    ]
    return make_batch(pieces, LENGTH)


def objective(
    tokenizer: GLMTokenizer, teacher: GLM, student: GLM, seed: int = 0, **values: Any
) -> TeacherDistillation:
    table = DistillationTable(teacher=Path("teacher"), **values)
    return TeacherDistillation(table, Subject(teacher), student, tokenizer, seed)


def forward_kl(teacher: Tensor, student: Tensor) -> Tensor:
    logs = (student.log_softmax(-1), teacher.log_softmax(-1))
    return F.kl_div(*logs, reduction="sum", log_target=True)


@pytest.mark.parametrize("rows", [4, 30])  # 30 have more tokens than are scored together
def test_the_loss_is_the_weighted_sum_of_its_parts(tiny_tokenizer: GLMTokenizer, rows: int) -> None:
    teacher, student = make_model(1, 10, vocab_size=640), make_model(2)
    values = {"ce_weight": 0.3, "temperature": 2.0, "hidden_weight": 0.1}
    distillation = objective(tiny_tokenizer, teacher, student, **values)
    batch = make_pieces(0, rows)
    loss = distillation.loss(Subject(student), batch)
    known = tiny_tokenizer.vocab_size
    with torch.no_grad():
        logits = student(batch.tokens).logits[batch.kept]
        theirs = teacher(batch.tokens).logits[batch.kept]
        likelihood = F.cross_entropy(logits, batch.labels[batch.kept], reduction="sum")
        distance = 4 * forward_kl(theirs[:, :known] / 2, logits[:, :known] / 2)
    assert loss.parts["cross_entropy"].item() == pytest.approx(likelihood.item(), rel=1e-5)
    assert loss.parts["divergence"].item() == pytest.approx(distance.item(), rel=1e-4)
    expected = 0.3 * likelihood + 0.7 * distance + 0.1 * loss.parts["hidden"]
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-4)
    assert not any(part.requires_grad for part in loss.parts.values())


def test_without_cross_entropy_only_the_divergence_moves_the_student(
    tiny_tokenizer: GLMTokenizer,
) -> None:
    teacher, student = make_model(1, 10), make_model(2)
    distillation, batch = objective(tiny_tokenizer, teacher, student, ce_weight=0.0), make_pieces(0)
    distillation.loss(Subject(student), batch).total.backward()
    found = [p.grad.clone() for p in student.parameters() if p.grad is not None]
    student.zero_grad()
    known = tiny_tokenizer.vocab_size
    logits = student(batch.tokens).logits[batch.kept]
    forward_kl(teacher(batch.tokens).logits[batch.kept][:, :known], logits[:, :known]).backward()
    expected = [p.grad for p in student.parameters() if p.grad is not None]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert all(p.grad is None for p in teacher.parameters())


def test_with_cross_entropy_alone_it_is_the_usual_loss_and_no_teacher_runs(
    tiny_tokenizer: GLMTokenizer,
) -> None:
    teacher, student = make_model(1, 10), make_model(2)
    runs: list[int] = []
    teacher.register_forward_hook(lambda *_: runs.append(1))
    batch = make_pieces(0)
    loss = objective(tiny_tokenizer, teacher, student, ce_weight=1.0).loss(Subject(student), batch)
    assert loss.total.item() == Likelihood().loss(Subject(student), batch).total.item()
    assert list(loss.parts) == ["cross_entropy"]
    objective(tiny_tokenizer, teacher, student, ce_weight=0.9).loss(Subject(student), batch)
    assert runs == [1]


def test_the_teacher_does_not_see_what_the_student_does_not(tiny_tokenizer: GLMTokenizer) -> None:
    teacher, student = make_model(1, 10), make_model(2)
    table = DistillationTable(teacher=Path("teacher"))
    masked = Subject(teacher, mask_documents=True)
    distillation = TeacherDistillation(table, masked, student, tiny_tokenizer, seed=0)
    batch = make_pieces(0)
    found = distillation.loss(Subject(student, mask_documents=True), batch).parts["divergence"]
    known, expected = tiny_tokenizer.vocab_size, 0.0
    for piece in (piece for row in batch.pieces for piece in row):
        tokens = torch.from_numpy(piece.tokens())[None, :-1]
        labelled = torch.from_numpy(piece.trained())[1:]
        with torch.no_grad():
            theirs, ours = (m(tokens).logits[0, labelled][:, :known] for m in (teacher, student))
        expected += forward_kl(theirs, ours).item()
    # Rotary positions are relative, so a piece that starts later gives the same but for rounding.
    assert found.item() == pytest.approx(expected, rel=1e-3)


def test_the_parts_of_an_update_add_up(tiny_tokenizer: GLMTokenizer) -> None:
    teacher, student = make_model(1, 10), make_model(2)
    distillation = objective(tiny_tokenizer, teacher, student, hidden_weight=1.0)
    subject = Subject(student)
    batch = make_batch([*make_pieces(0).pieces, ()], LENGTH)
    parts = [distillation.loss(subject, part).total for part in batch.split(1)]
    whole = distillation.loss(subject, batch).total
    torch.testing.assert_close(torch.stack(parts).sum(), whole, rtol=1e-4, atol=0)
    assert parts[-1].item() == 0


@pytest.mark.parametrize(
    "values",
    [
        {"divergence": "forward_kl", "ce_weight": 0.0},
        {"divergence": "reverse_kl", "ce_weight": 0.0},
        {"divergence": "jsd", "jsd_beta": 0.3, "ce_weight": 0.0, "temperature": 1.5},
        {"divergence": "forward_kl", "ce_weight": 0.0, "hidden_weight": 0.1},
        {"divergence": "jsd", "ce_weight": 0.0, "on_policy_share": 0.5, "answer_tokens": 6},
    ],
    ids=["forward", "reverse", "jsd", "hidden", "on-policy"],
)
def test_a_student_comes_nearer_to_its_teacher(
    tiny_tokenizer: GLMTokenizer, values: dict[str, Any]
) -> None:
    teacher = make_model(1, 10, hidden_size=48, head_dim=12, num_hidden_layers=3)
    student = make_model(2)
    distillation, subject = objective(tiny_tokenizer, teacher, student, **values), Subject(student)
    held_out = make_pieces(1000)

    def measure() -> dict[str, float]:
        with torch.no_grad():
            parts = distillation.loss(subject, held_out).parts
        return {name: part.item() / held_out.labelled for name, part in parts.items()}

    before = measure()
    learned = [] if distillation.learned is None else [*distillation.learned.parameters()]
    optimizer = torch.optim.AdamW([*student.parameters(), *learned], lr=3e-3)
    for step in range(60):
        batch = distillation.prepare(subject, make_pieces(step), step)
        optimizer.zero_grad()
        (distillation.loss(subject, batch).total / distillation.count(batch)).backward()
        optimizer.step()
    after = measure()
    assert after["divergence"] < 0.8 * before["divergence"]
    if "hidden" in before:
        assert after["hidden"] < 0.8 * before["hidden"]


def test_a_teacher_that_knows_fewer_tokens_is_refused(tiny_tokenizer: GLMTokenizer) -> None:
    with pytest.raises(UserError, match=r"distillation\.teacher: has rows for 64 tokens"):
        objective(tiny_tokenizer, make_model(1, vocab_size=64), make_model(2))


def test_a_teacher_is_opened(tiny_checkpoint: Path, tiny_tokenizer: GLMTokenizer) -> None:
    teacher = open_teacher(tiny_checkpoint, tiny_tokenizer, torch.bfloat16, "cpu", 1024)
    assert teacher.embedding.weight.dtype == torch.bfloat16
    as_stored = open_teacher(tiny_checkpoint, tiny_tokenizer, None, "cpu", 64)
    assert as_stored.embedding.weight.dtype == torch.float32


def test_a_context_shorter_than_a_row_is_refused(
    tiny_checkpoint: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    with pytest.raises(UserError, match=r"distillation\.teacher: .*1024.*sequence length 1025"):
        open_teacher(tiny_checkpoint, tiny_tokenizer, None, "cpu", 1025)


def test_another_tokenizer_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    train_tokenizer(["举头望明月，低头思故乡。"] * 9, 275, tmp_path / "other.model")
    other = GLMTokenizer.from_file(tmp_path / "other.model")
    with pytest.raises(UserError, match=r"another tokenizer.*qingtan distill answers"):
        open_teacher(tiny_checkpoint, other, None, "cpu", 64)


def test_a_checkpoint_without_rows_for_its_tokenizer_is_refused(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    save_model(make_model(1, vocab_size=64), tiny_tokenizer, tmp_path / "small")
    with pytest.raises(UserError, match=f"small: has rows for 64.*{tiny_tokenizer.vocab_size}"):
        open_teacher(tmp_path / "small", tiny_tokenizer, None, "cpu", 64)
