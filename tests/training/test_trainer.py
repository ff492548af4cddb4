"""Whole runs of the tiny model: it learns, its folder is in order, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GlmForCausalLM

from qingtan.corpus import Corpus
from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.conversation import encode_prompt, parse_reply, stop_ids
from qingtan.glm.model import GLM, LAST
from qingtan.glm.tokenizer import GLMTokenizer, load_tokenizer, train_tokenizer
from qingtan.provenance import Provenance
from qingtan.training.evaluation import evaluate
from qingtan.training.subject import Subject
from qingtan.training.trainer import train

from .samples import ANSWERS, POEM, make_recipe, read_metrics


def complete(model: GLM, prompt: list[int], stops: tuple[int, ...], most: int = 40) -> list[int]:
    """Return the greedy continuation up to a token that stops it, without a cache."""
    tokens = list(prompt)
    with torch.inference_mode():
        for _ in range(most):
            token = int(model(torch.tensor([tokens]), logits_at=LAST).logits.argmax())
            if token in stops:
                break
            tokens.append(token)
    return tokens[len(prompt) :]


def losses(run: Path) -> list[float]:
    return [loss for (loss,) in read_metrics(run, "loss")]


def test_it_learns_a_text_that_repeats_itself(pretrained: Path) -> None:
    course = losses(pretrained)
    assert len(course) == 30
    assert course[0] > 5.5  # ln of the vocabulary is 6.2
    assert course[-1] < 0.6
    bits = [figures["poems"] for (figures,) in read_metrics(pretrained, "bits_per_byte")]
    assert bits == sorted(bits, reverse=True)
    model, tokenizer = load_model(pretrained / "model"), load_tokenizer(pretrained / "model")
    prompt = [*tokenizer.prefix, *tokenizer.encode(f"第7首：{POEM}")]
    assert tokenizer.decode(complete(model, prompt, ())).startswith(POEM[:20])


def test_the_folder_of_a_run(pretrained: Path, corpus: Path) -> None:
    names = {path.name for path in pretrained.iterdir()}
    assert names == {
        "recipe.json",
        "metrics.jsonl",
        "skipped.jsonl",
        "report.html",
        "checkpoints",
        "model",
    }
    checkpoints = sorted(path.name for path in (pretrained / "checkpoints").iterdir())
    assert checkpoints == ["step-00000016", "step-00000024"]  # every 8th, the last two
    for folder in (pretrained / "checkpoints").iterdir():
        load_model(folder)
    written = json.loads((pretrained / "recipe.json").read_text(encoding="utf-8"))
    assert written["model"]["size"] == "tiny"
    assert written["optimizer"]["learning_rate"] == 0.01
    files = {path.name for path in (pretrained / "model").iterdir()}
    assert files == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "provenance.json",
        "tokenizer.model",
    }
    tokenizer = load_tokenizer(pretrained / "model")
    assert tokenizer.model == (corpus / "tokenizer.model").read_bytes()


def test_metrics_are_what_they_are_called(pretrained: Path, corpus: Path) -> None:
    steps = read_metrics(pretrained, "loss", "step", "tokens")
    assert [(step, tokens) for _, step, tokens in steps] == [(i, 1024 * i) for i in range(1, 31)]
    rates = [rate for (rate,) in read_metrics(pretrained, "learning_rate")]
    assert max(rates) == 0.01
    assert rates[0] == pytest.approx(0.01 / 3)
    seconds = [value for (value,) in read_metrics(pretrained, "seconds")]
    assert seconds == sorted(seconds)
    evaluated = read_metrics(pretrained, "bits_per_byte", "step")
    assert [step for _, step in evaluated] == [10, 20, 30]
    shards = Corpus.open(corpus).select("valid", ["poems"])
    result = evaluate(Subject(load_model(pretrained / "model")), shards, 64, 500)["poems"]
    assert evaluated[-1][0] == {"poems": round(result.bits_per_byte, 4)}


def test_the_model_knows_where_it_comes_from(pretrained: Path, corpus: Path) -> None:
    provenance = Provenance.read(pretrained / "model")
    expected = Corpus.open(corpus).provenance_of(["poems"])
    assert provenance.sources == expected.sources
    assert provenance.steps[:-1] == expected.steps
    step = provenance.steps[-1]
    assert step.name == "train"
    details = step.details
    model = load_model(pretrained / "model")
    assert details["parameters"] == sum(p.numel() for p in model.parameters())
    assert (details["size"], details["steps"], details["tokens"]) == ("tiny", 30, 30 * 1024)
    (last,) = read_metrics(pretrained, "bits_per_byte")[-1]
    assert details["bits_per_byte.poems"] == last["poems"]


def test_transformers_runs_the_finished_model(pretrained: Path) -> None:
    theirs = GlmForCausalLM.from_pretrained(pretrained / "model").eval()
    model, tokenizer = load_model(pretrained / "model"), load_tokenizer(pretrained / "model")
    assert list(theirs.generation_config.eos_token_id) == list(stop_ids(tokenizer))
    tokens = torch.tensor([[*tokenizer.prefix, *tokenizer.encode(POEM)]])
    with torch.inference_mode():
        difference = (theirs(tokens).logits - model(tokens).logits).abs().max()
    assert difference < 1e-4


def test_fine_tuning_teaches_answers(pretrained: Path, corpus: Path, tmp_path: Path) -> None:
    changes = {"model": {"start": pretrained / "model"}, "data__sources": {"talks": 1.0}}
    train(make_recipe(tmp_path / "sft", corpus, **changes))
    model = load_model(tmp_path / "sft" / "model")
    tokenizer = load_tokenizer(tmp_path / "sft" / "model")
    for question, answer in ANSWERS.items():
        messages = [
            {"role": "system", "content": "第99次。"},
            {"role": "user", "content": question},
        ]
        ids = complete(model, encode_prompt(tokenizer, messages), stop_ids(tokenizer))
        assert parse_reply(tokenizer.decode(ids)).content == answer
        assert len(ids) < 40  # it stopped by itself
    # It starts from what the first run learnt, and says so.
    first, fresh = losses(tmp_path / "sft")[0], losses(pretrained)[0]
    assert first != fresh
    provenance = Provenance.read(tmp_path / "sft" / "model")
    assert {source.name for source in provenance.sources} == {"poems", "talks"}
    assert [step.name for step in provenance.steps].count("train") == 2


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_micro_batches_add_up(optimizer: str, corpus: Path, tmp_path: Path) -> None:
    courses = []
    for micro in (768, 192):
        run = tmp_path / str(micro)
        changes = {"optimizer__name": optimizer, "data__sources": {"poems": 0.2, "talks": 1.0}}
        train(
            make_recipe(run, corpus, steps=4, batch_tokens=768, micro_batch_tokens=micro, **changes)
        )
        courses.append(losses(run))
    # Muon's update is computed in bfloat16, so that a rounding apart may show.
    assert courses[1] == pytest.approx(courses[0], abs=1e-5 if optimizer == "adamw" else 1e-3)
    assert len({round(loss, 2) for loss in courses[0]}) > 1


def test_seeds_give_runs_of_their_own(corpus: Path, tmp_path: Path) -> None:
    courses = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(make_recipe(tmp_path / name, corpus, steps=3, seed=seed))
        courses.append(losses(tmp_path / name))
    assert courses[0] == courses[1]
    assert courses[0] != courses[2]


def test_an_existing_run_is_left_alone(pretrained: Path, corpus: Path) -> None:
    before = (pretrained / "metrics.jsonl").read_bytes()
    with pytest.raises(UserError, match="pretrained: holds a run already"):
        train(make_recipe(pretrained, corpus))
    recipe = make_recipe(pretrained, corpus, checkpoint_every=8, evaluate_every=10)
    with pytest.raises(UserError, match="the run is finished"):
        train(recipe, resume=True)
    assert (pretrained / "metrics.jsonl").read_bytes() == before


def test_another_recipe_cannot_go_on(pretrained: Path, corpus: Path) -> None:
    with pytest.raises(UserError, match="another recipe; changed: optimizer, seed, steps"):
        train(
            make_recipe(
                pretrained,
                corpus,
                checkpoint_every=8,
                evaluate_every=10,
                steps=31,
                seed=1,
                optimizer__learning_rate=0.1,
            ),
            resume=True,
        )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data__sequence_length": 2048, "micro_batch_tokens": 2048, "batch_tokens": 2048}, "2048"),
        ({"data__sources": {"novels": 1.0}}, "no source novels; it has poems, talks"),
        ({"data__sources": {"poems": 0.0}}, "no document can be trained on"),
        ({"data__corpus": Path("nowhere")}, r"nowhere.corpus\.json"),
        ({"model": {"size": "huge"}}, "'huge' is none of mini, tiny"),
        ({"model": {"start": Path("nowhere")}}, r"nowhere.config\.json"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_no_folder(
    changes: dict[str, Any], named: str, corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=named):
        train(make_recipe(tmp_path / "run", corpus, **changes))
    assert not (tmp_path / "run").exists()


def test_a_model_with_too_few_rows_is_refused(
    corpus: Path, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    save_model(GLM(GLMConfig.named("tiny", vocab_size=64)), tiny_tokenizer, tmp_path / "small")
    recipe = make_recipe(tmp_path / "run", corpus, model={"start": tmp_path / "small"})
    with pytest.raises(UserError, match=r"has 64 rows of embeddings.* 509 tokens"):
        train(recipe)


def test_a_model_with_another_tokenizer_is_refused(
    corpus: Path, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    train_tokenizer(["The quick brown fox jumps over the lazy dog."], 300, tmp_path / "other.model")
    other = GLMTokenizer.from_file(tmp_path / "other.model")
    save_model(GLM(GLMConfig.named("tiny")), other, tmp_path / "start")
    recipe = make_recipe(tmp_path / "run", corpus, model={"start": tmp_path / "start"})
    with pytest.raises(UserError, match="has another tokenizer than the corpus"):
        train(recipe)


def test_nothing_to_resume_is_an_error(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"recipe\.json: no such file"):
        train(make_recipe(tmp_path / "run", corpus), resume=True)
