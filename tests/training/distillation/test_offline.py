"""Samples of a teacher's distributions: what is drawn, how it is kept, and what is learnt of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qingtan.corpus.shards import Corpus
from qingtan.errors import UserError
from qingtan.glm.checkpoint import save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, initialize
from qingtan.glm.tokenizer import GLMTokenizer, train_tokenizer
from qingtan.provenance import Provenance
from qingtan.training.batches import Batch, Excerpt, PackedRows, Written, cut, make_batch
from qingtan.training.distillation.drawing import compact, draw
from qingtan.training.distillation.offline import LogitsDistillation, sparse_cross_entropies
from qingtan.training.distillation.sampled_logits import SampledLogits
from qingtan.training.distillation.write_logits import write_logits
from qingtan.training.subject import Subject
from qingtan.training.tables import DistillationTable

LENGTH = 64


def sharp_model(seed: int, vocab_size: int = 512) -> GLM:
    """A model whose guesses are far from even."""
    model = initialize(GLM(GLMConfig.named("tiny", vocab_size=vocab_size)), seed)
    with torch.no_grad():
        model.embedding.weight.mul_(12)
    return model


@pytest.fixture(scope="module")
def teacher(tiny_tokenizer: GLMTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teachers") / "sharp"
    save_model(sharp_model(3), tiny_tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def logits(teacher: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many draws, so that they come near to the distributions."""
    output = tmp_path_factory.mktemp("logits") / "many"
    return write_logits(teacher, corpus, output, sequence_length=LENGTH, draws=2000)


def table(**values: Any) -> DistillationTable:
    return DistillationTable.model_validate({"logits": "logits", **values})


def softmax(scores: np.ndarray) -> np.ndarray:
    exps = np.exp(scores - scores.max(-1, keepdims=True))
    return exps / exps.sum(-1, keepdims=True)


def train_pieces(corpus: Path) -> list[Excerpt]:
    shards = Corpus.open(corpus).select("train")
    return [p for s in shards for d in range(len(s)) for p in cut(s, d, LENGTH)]


def distributions(model: GLM, excerpt: Excerpt, vocab_size: int) -> np.ndarray:
    """Return the model's distributions (n, V) in the places of an excerpt that are predicted."""
    with torch.inference_mode():
        scores = model.eval()(torch.from_numpy(excerpt.tokens()[None, :-1])).logits[0]
    return softmax(scores[:, :vocab_size].double().numpy())[excerpt.trained()[1:]]


def a_batch(corpus: Path, rows: int = 6) -> Batch:
    shards = Corpus.open(corpus).select("train")
    return next(PackedRows(shards, {"poems": 1.0, "talks": 1.0}, LENGTH, 1).batches(rows))


def shares(drawn: np.ndarray, size: int) -> np.ndarray:
    """Return the share of each token in rows of draws."""
    return np.stack([np.bincount(row, minlength=size) for row in drawn]) / drawn.shape[1]


def test_draws_are_an_unbiased_picture_and_the_likeliest_tokens_are_not() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (1, 300)).astype(np.float32)
    p, log_s = softmax(scores.astype(float))[0], np.log(softmax(rng.normal(0, 2, 300)))
    full = float((p * (np.log(p) - log_s)).sum())
    entropy = -float((p * np.log(p)).sum())
    uniform = torch.from_numpy(rng.random((4000, 10)))
    drawn = draw(torch.from_numpy(scores).expand(4000, -1), uniform).ids.numpy()
    estimates = -(log_s[drawn]).mean(1) - entropy
    error = estimates.std() / len(estimates) ** 0.5
    assert estimates.mean() == pytest.approx(full, abs=4 * error)
    assert error < 0.02
    top = np.argsort(-p)[:10]
    kept = p[top] / p[top].sum()
    assert abs(float((kept * (np.log(kept) - log_s[top])).sum()) - full) > 0.3
    assert abs(-float((kept * log_s[top]).sum()) - entropy - full) > 0.15


def test_strata_leave_less_to_chance_than_independent_draws() -> None:
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.normal(0, 2, (1, 60)))
    p = softmax(scores.numpy())[0]
    drawn = draw(scores.expand(3000, -1), torch.from_numpy(rng.random((3000, 8)))).ids.numpy()
    found = shares(drawn, 60)
    independent = p * (1 - p) / 8
    likely = p > 0.02
    assert np.all(found.var(0)[likely] < 1.15 * independent[likely])
    assert found.var(0).sum() < 0.6 * independent.sum()
    assert found.mean(0) == pytest.approx(p, abs=0.01)


@settings(max_examples=60)
@given(
    arrays.arrays(np.float32, (3, 17), elements=st.floats(-1e4, 1e4, width=32)),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.integers(0, 10**6),
)
def test_draws_are_tokens_in_order_with_finite_ratios(
    scores: np.ndarray, temperature: float, seed: int
) -> None:
    uniform = torch.from_numpy(np.random.default_rng(seed).random((3, 20), np.float32))
    drawn = draw(torch.from_numpy(scores), uniform, temperature)
    assert drawn.ids.min() >= 0
    assert drawn.ids.max() < 17
    assert torch.all(drawn.ids[:, 1:] >= drawn.ids[:, :-1])
    assert torch.isfinite(drawn.entropies).all()
    counts, ids, weights = compact(
        drawn.ids.numpy(), None if drawn.ratios is None else drawn.ratios.numpy()
    )
    assert counts.sum() == len(ids) == len(weights)
    assert ids.tolist() == [t for row in drawn.ids.tolist() for t in sorted(set(row))]
    if drawn.ratios is None:
        assert weights.tolist() == [
            row.count(t) for row in drawn.ids.tolist() for t in sorted(set(row))
        ]
    else:
        ends = np.cumsum(counts)
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            assert weights[start:end].astype(float).sum() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("temperature", [1.0, 1.5])
def test_the_folder_holds_the_teachers_distributions_in_their_places(
    temperature: float, teacher: Path, corpus: Path, tmp_path: Path
) -> None:
    folder = write_logits(
        teacher,
        corpus,
        tmp_path / "logits",
        sources={"poems": 0.0, "talks": 2.0},
        sequence_length=LENGTH,
        draws=1000,
        proposal_temperature=temperature,
    )
    read, model = SampledLogits(folder), sharp_model(3)
    pieces = [piece for piece in train_pieces(corpus) if piece.shard.source == "talks"]
    size = Corpus.open(corpus).vocab_size
    for piece in pieces[::17]:
        samples, expected = read.read(piece), distributions(model, piece, size)
        assert len(samples.counts) == len(expected) == piece.trained().sum()
        rows = np.repeat(np.arange(len(expected)), samples.counts)
        found = np.zeros_like(expected)
        found[rows, samples.ids] = samples.weights
        found /= found.sum(1, keepdims=True)
        assert np.abs(found - expected).max() < (0.002 if temperature == 1 else 0.03)
        entropies = -(expected * np.log(expected)).sum(1)
        assert samples.entropies == pytest.approx(entropies, rel=2e-3, abs=1e-3)
    with pytest.raises(UserError, match=r"no samples of train-poems.*only of the sources talks"):
        read.read(next(p for p in train_pieces(corpus) if p.shard.source == "poems"))


def test_a_place_has_the_draws_of_what_follows_the_token_before_it(
    corpus: Path, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    """The teacher here always says one token after another, whatever came before."""
    model = initialize(GLM(GLMConfig.named("tiny", vocab_size=512, tie_word_embeddings=False)))
    successor = np.random.default_rng(0).permutation(tiny_tokenizer.vocab_size)
    with torch.no_grad():
        for block in model.layers:
            block.attention.out.weight.zero_()
            block.mlp.down.weight.zero_()
        states = F.rms_norm(model.embedding.weight, (model.config.hidden_size,))
        model.head.weight.zero_()
        model.head.weight[torch.from_numpy(successor)] = 20 * states[: len(successor)]
    save_model(model, tiny_tokenizer, tmp_path / "teacher")
    folder = write_logits(
        tmp_path / "teacher", corpus, tmp_path / "logits", sequence_length=LENGTH, draws=3
    )
    read = SampledLogits(folder)
    for piece in train_pieces(corpus):
        samples = read.read(piece)
        expected = successor[piece.tokens()[:-1][piece.trained()[1:]]]
        assert samples.counts.tolist() == [1] * len(expected)
        assert samples.ids.tolist() == expected.tolist()
        assert samples.weights.tolist() == [3] * len(expected)


def test_the_loss_is_that_of_the_whole_distributions(logits: Path, corpus: Path) -> None:
    opened, batch = Corpus.open(corpus), a_batch(corpus)
    size = opened.vocab_size
    student = Subject(sharp_model(9))
    objective = LogitsDistillation(table(ce_weight=0.25), logits, opened, LENGTH, size)
    loss = objective.loss(student, batch)
    scores = student(batch).logits.detach().double().numpy()
    pieces = [piece for row in batch.pieces for piece in row]
    p = np.concatenate([distributions(sharp_model(3), piece, size) for piece in pieces])
    divergence = float((p * (np.log(p) - np.log(softmax(scores[:, :size])))).sum())
    labels = batch.labels[batch.kept].numpy()
    ce = -float(np.log(softmax(scores))[np.arange(len(labels)), labels].sum())
    assert loss.parts["cross_entropy"] == pytest.approx(ce, rel=1e-5)
    assert loss.parts["divergence"] == pytest.approx(divergence, rel=5e-3)
    assert float(loss.total.detach()) == pytest.approx(0.25 * ce + 0.75 * divergence, rel=5e-3)
    assert objective.count(batch) == len(p)
    assert not loss.parts["divergence"].requires_grad


@pytest.mark.parametrize("vocab_size", [9, 7])
def test_sparse_cross_entropies_and_their_gradients(vocab_size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 9, generator=generator, dtype=torch.float64) * 3
    logits[0, 3], logits[1, 8] = 800.0, 900.0
    labels = torch.tensor([1, 2, 0, 6, 3])
    ids = torch.randint(0, 7, (5, 4), generator=generator)
    weights = torch.rand(5, 4, generator=generator, dtype=torch.float64)
    weights /= weights.sum(1, keepdim=True)
    rest = (labels, ids, weights, vocab_size)
    ce, sampled = sparse_cross_entropies(logits, *rest)
    torch.testing.assert_close(ce, F.cross_entropy(logits, labels, reduction="none"))
    dense = torch.zeros(5, vocab_size, dtype=torch.float64).scatter_add_(1, ids, weights)
    expected = F.cross_entropy(logits[:, :vocab_size], dense, reduction="none")
    torch.testing.assert_close(sampled, expected)
    mild = (logits.clamp(-5, 5)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sparse_cross_entropies(x, *rest), (mild,))


def test_a_student_comes_nearer_to_its_teacher(logits: Path, corpus: Path) -> None:
    opened, batch = Corpus.open(corpus), a_batch(corpus)
    student = Subject(initialize(GLM(GLMConfig.named("tiny")), 5))
    objective = LogitsDistillation(
        table(ce_weight=0.0), logits, opened, LENGTH, opened.vocab_size, ["poems", "talks"]
    )
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-2)
    course = []
    for _ in range(25):
        loss = objective.loss(student, batch)
        course.append(float(loss.total.detach()) / batch.labelled)
        optimizer.zero_grad()
        (loss.total / batch.labelled).backward()
        optimizer.step()
    assert course[-1] < 0.75 * course[0]


def test_the_index_tells_what_is_on_the_disk(logits: Path, corpus: Path, teacher: Path) -> None:
    index = json.loads((logits / "logits.json").read_text(encoding="utf-8"))
    shards = Corpus.open(corpus).select("train")
    assert [entry["name"] for entry in index["shards"]] == [shard.name for shard in shards]
    pieces = train_pieces(corpus)
    for entry, shard in zip(index["shards"], shards, strict=True):
        files = list(logits.glob(f"{shard.name}.*.npy"))
        assert len(files) == 5
        assert entry["bytes"] == sum(file.stat().st_size for file in files)
        assert entry["tokens"] == len(shard.tokens)
        mine = [piece for piece in pieces if piece.shard.name == shard.name]
        assert entry["labelled"] == sum(int(piece.trained().sum()) for piece in mine)
        assert entry["samples"] == len(np.load(logits / f"{shard.name}.ids.npy"))
    total = {
        key: sum(e[key] for e in index["shards"]) for key in index["shards"][0] if key != "name"
    }
    assert index["bytes_per_token"] == total["bytes"] / total["tokens"]
    assert index["distinct_per_token"] == total["samples"] / total["labelled"]
    assert Provenance.read(logits).steps[-1].name == "sample logits"
    assert [model.name for model in Provenance.read(logits).models] == ["sharp"]
    names = {path.name.split(".")[-1] for path in logits.iterdir()}
    assert names == {"npy", "json"}


class Stopped(BaseException):
    """Ends a run in the middle, as Ctrl-C does."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stop_before_write(patch: pytest.MonkeyPatch, number: int) -> None:
    left = [number]

    def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
        def guard(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Stopped
            return function(*args, **kwargs)

        return guard

    for owner, name in ((Path, "replace"), (Path, "rename"), (Path, "unlink"), (np, "save")):
        patch.setattr(owner, name, guarded(getattr(owner, name)))


def test_a_run_that_is_stopped_anywhere_goes_on_to_the_same_bytes(
    teacher: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    def write(name: str, batch_tokens: int = 8192) -> Path:
        return write_logits(
            teacher,
            corpus,
            tmp_path / name,
            sequence_length=LENGTH,
            draws=900,
            batch_tokens=batch_tokens,
        )

    expected = contents(write("whole"))
    stops = 0
    for number in (0, 1, 2, 3, 4, 6, 9, 13, 18, 24, 1000):
        try:
            with monkeypatch.context() as patch:
                stop_before_write(patch, number)
                write("stopped")
        except Stopped:
            stops += 1
            assert not (tmp_path / "stopped").exists()
        else:
            break
    assert stops > 4
    assert contents(tmp_path / "stopped") == expected
    assert not list(tmp_path.glob(".stopped*"))
    assert write("whole") == tmp_path / "whole"  # is there, and of the same settings
    # How pieces are batched is no matter, but for a rounding.
    for name, values in contents(write("batched", 200)).items():
        if name.endswith(".entropies.npy"):
            assert len(values) == len(expected[name])
            found, wanted = (np.load(tmp_path / n / name) for n in ("batched", "whole"))
            assert found == pytest.approx(wanted, abs=0.01)


def test_other_settings_are_refused_by_name(logits: Path, teacher: Path, corpus: Path) -> None:
    before = contents(logits)
    with pytest.raises(UserError, match=r"many: .*draws 2000, not 50; seed 0, not 1\); remove it"):
        write_logits(teacher, corpus, logits, sequence_length=LENGTH, seed=1)
    assert contents(logits) == before


def test_a_stopped_run_of_other_settings_is_refused(
    teacher: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_before_write(patch, 3)
        with pytest.raises(Stopped):
            write_logits(teacher, corpus, tmp_path / "a", sequence_length=LENGTH)
    with pytest.raises(UserError, match=r"\.a\.partial: .*sequence_length 64, not 32"):
        write_logits(teacher, corpus, tmp_path / "a", sequence_length=32)


def test_a_teacher_that_does_not_fit_is_refused(
    teacher: Path, corpus: Path, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    train_tokenizer(["The quick brown fox jumps over the lazy dog."], 300, tmp_path / "other.model")
    other = GLMTokenizer.from_file(tmp_path / "other.model")
    save_model(sharp_model(0), other, tmp_path / "other")
    save_model(sharp_model(0, 64), tiny_tokenizer, tmp_path / "small")
    for name, sequence_length, message in (
        ("other", LENGTH, "has another tokenizer than the corpus"),
        ("small", LENGTH, "has rows for 64 tokens, and the corpus.s tokenizer knows 509"),
        ("none", LENGTH, r"none.config\.json: no such file"),
        (str(teacher), 4096, "its context of 1024 tokens is less than the sequence length 4096"),
    ):
        with pytest.raises(UserError, match=message):
            write_logits(tmp_path / name, corpus, tmp_path / "out", sequence_length=sequence_length)
    assert {path.name for path in tmp_path.iterdir()} == {"other.model", "other", "small"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"draws": 0}, "draws: 0 is not between 1 and 65535"),
        ({"proposal_temperature": 0.0}, "proposal_temperature: 0.0 is not above 0"),
        ({"sequence_length": 4}, "sequence_length: 4 is less than 8"),
        ({"seed": -1}, "seed: -1 is less than 0"),
        ({"sources": {"novels": 1.0}}, "no source novels; it has poems, talks"),
        ({"sources": {"talks": 0.0}}, r"no training documents of the sources \(none\)"),
    ],
)
def test_arguments_out_of_range_are_refused(
    changes: dict[str, Any], message: str, teacher: Path, corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        write_logits(teacher, corpus, tmp_path / "x", **{"sequence_length": LENGTH, **changes})


def test_logits_that_do_not_fit_the_run_are_refused(
    logits: Path, corpus: Path, tmp_path: Path
) -> None:
    opened = Corpus.open(corpus)
    first, *rest = opened.index.shards
    grown = opened.index.model_copy(
        update={"shards": (first.model_copy(update={"tokens": first.tokens + 1}), *rest)}
    )
    other = opened.index.model_copy(update={"tokenizer_sha256": "0"})
    for fits, length, sources, message in (
        (opened, 32, (), "sequence_length 64, but data.sequence_length is 32"),
        (opened, LENGTH, ("poems", "novels"), "no samples of the source novels"),
        (replace(opened, index=grown), LENGTH, (), rf"shard {first.name} has \d+ tokens"),
        (replace(opened, index=other), LENGTH, (), "another tokenizer than the corpus"),
    ):
        with pytest.raises(UserError, match=rf"distillation\.logits: .*{message}"):
            LogitsDistillation(table(), logits, fits, length, opened.vocab_size, sources)
    with pytest.raises(UserError, match=r"logits\.json: no such file"):
        LogitsDistillation(table(), tmp_path, opened, LENGTH, opened.vocab_size)


def test_texts_with_blanks_are_refused(logits: Path, corpus: Path) -> None:
    opened = Corpus.open(corpus)
    objective = LogitsDistillation(table(), logits, opened, LENGTH, opened.vocab_size)
    blanks = Written("poems, document 3", np.arange(9), np.arange(9) > 4)
    batch = make_batch([[blanks]], LENGTH)
    with pytest.raises(UserError, match=r"infilling: poems, document 3 has blanks"):
        objective.loss(Subject(sharp_model(9)), batch)


@pytest.mark.parametrize("part", ["ids", "counts"])
def test_damaged_files_are_named(part: str, logits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logits"
    folder.mkdir()
    for name, data in contents(logits).items():
        (folder / name).write_bytes(data)
    path = next(iter(sorted(folder.glob(f"*.{part}.npy"))))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=rf"{part}\.npy: damaged"):
        SampledLogits(folder)
    path.unlink()
    with pytest.raises(UserError, match=rf"{part}\.npy: no such file"):
        SampledLogits(folder)
