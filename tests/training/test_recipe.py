"""Recipes that cannot be meant: each error names the field."""

from pathlib import Path
from typing import Any

import pytest

from qingtan.errors import UserError
from qingtan.recipe import load_recipe
from qingtan.training.recipe import TrainRecipe

RECIPE = """
output = "run"
steps = 10
[model]
start = "base"
[data]
corpus = "corpus"
"""
LORA = "lora.rank=4"
CONTRASTIVE = ("contrastive.pairs=p", "batch_tokens=8192", "micro_batch_tokens=8192")
PAIRS = ("preference.pairs=p", "preference.source=s", "preference.licence=MIT")
PRIVACY = ("privacy.epsilon=8.0", "privacy.delta=1e-5")
TEACHER = "distillation.teacher=big"


def load(folder: Path, *overrides: str) -> TrainRecipe:
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return load_recipe(folder / "recipe.toml", TrainRecipe, overrides)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["learning_rate=1e-3"], "learning_rate: Extra inputs"),
        (["lora.ranks=3"], "lora.ranks: Extra inputs"),
        (["optimizer.learning_rate=-1e-3"], "optimizer.learning_rate: Input should be greater"),
        (["optimizer.weight_decay=-0.1"], "optimizer.weight_decay: Input should be greater"),
        (["data.sources.a=-1"], "data.sources.a: Input should be greater"),
        (["optimizer.schedule=linear"], "optimizer.schedule: Input should be 'wsd' or 'cosine'"),
        (["optimizer.average_decay=1.0"], "optimizer.average_decay: Input should be less"),
        (["steps=0"], "steps: Input should be greater"),
        (["model.size=tiny"], "model: Value error, give either size or start"),
        (["lora.targets=[]"], "lora.targets: Tuple should have at least 1"),
        (["lora.targets=['query']"], "lora.targets.0: Input should be 'qkv'"),
        (["lora.rank=0"], "lora.rank: Input should be greater"),
        ([LORA, "prefix.length=4"], "lora, prefix: a run trains one of the two"),
        ([*PAIRS, TEACHER], "preference, distillation: a run has one of the two"),
        ([*PAIRS, "data.sources.a=1"], "data.sources: preference learns from its pairs"),
        ([*PAIRS, "batch_tokens=2048", "data.sequence_length=2048"], "less than one pair"),
        (
            ["data.questions=true", "infilling.share=0.5"],
            "data.questions: cannot be learnt",
        ),
        (["data.questions=true", *PAIRS], "data.questions: cannot be learnt with preference"),
        (
            ["data.questions=true", TEACHER, "distillation.on_policy_share=0.5"],
            "data.questions: cannot be learnt with distillation.on_policy_share",
        ),
        (["preference.pairs=p"], "preference.licence: Field required"),
        (["distillation.ce_weight=0.5"], "distillation: Value error, give either teacher or"),
        ([TEACHER, "distillation.divergence=kl"], "distillation.divergence: Input should be"),
        ([TEACHER, "distillation.temperature=0"], "distillation.temperature: Input should be"),
        (
            ["distillation.logits=l", "distillation.divergence=jsd"],
            "distillation: Value error, divergence: needs a teacher",
        ),
        (
            [TEACHER, "distillation.on_policy_share=0.5", "distillation.ce_weight=1"],
            "on_policy_share: with ce_weight 1 nothing is learnt",
        ),
        ([*PRIVACY], "privacy: needs lora"),
        ([*PRIVACY, LORA, "data.sources.a=2"], "data.sources: privacy needs each source"),
        ([*PRIVACY, LORA, "optimizer.name=muon"], "optimizer.name: privacy is accounted"),
        ([*PRIVACY, LORA, TEACHER], "privacy: is not accounted for with distillation"),
        ([*CONTRASTIVE, *PAIRS], "contrastive: has no use for preference"),
        ([*CONTRASTIVE, TEACHER], "contrastive: has no use for distillation"),
        ([*CONTRASTIVE, "data.sources.a=1"], "contrastive: has no use for data.sources"),
        ([*CONTRASTIVE, "contrastive.length=2000"], "contrastive.length is more than a row"),
        ([*CONTRASTIVE, "micro_batch_tokens=4096"], "batch_tokens: contrastive compares"),
        ([*CONTRASTIVE, "contrastive.negatives=3"], "batch_tokens is less than 10 rows"),
        ([*CONTRASTIVE, "contrastive.temperature=0"], "contrastive.temperature: Input should"),
        (["infilling.mask=0", "infilling.smask=0", "infilling.gmask=0"], "infilling: Value error"),
        (["samples.prompts=[]"], "samples.prompts: Tuple should have at least 1"),
        (["data.sequence_length=4096"], "micro_batch_tokens is less than one row"),
    ],
)
def test_a_bad_recipe_names_its_field(overrides: list[str], named: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        load(tmp_path, *overrides)
    message = str(raised.value)
    assert named in message
    assert "recipe.toml" in message


@pytest.mark.parametrize(
    "change", [{"model": {"size": "tiny"}, "lora": {"rank": 4}}, {"model": {"size": "tiny"}}]
)
def test_what_needs_a_model_to_start_from(change: dict[str, Any], tmp_path: Path) -> None:
    values = {"output": "run", "steps": 1, "data": {"corpus": "c"}, **change}
    if "lora" not in change:
        values["preference"] = {"pairs": "p", "source": "s", "licence": "MIT"}
    with pytest.raises(ValueError, match=r"(lora|preference): needs model\.start"):
        TrainRecipe.model_validate(values)


def test_an_update_holds_whole_micro_batches_and_pairs(tmp_path: Path) -> None:
    recipe = load(tmp_path, "batch_tokens=10000", "micro_batch_tokens=2048")
    assert (recipe.micro_batch_rows, recipe.accumulation, recipe.batch_rows) == (2, 4, 8)
    pairs = load(tmp_path, *PAIRS, "micro_batch_tokens=3072", "batch_tokens=7000")
    assert (pairs.micro_batch_rows, pairs.batch_rows) == (2, 6)
    assert load(tmp_path, LORA).adapter == "lora"
    assert load(tmp_path, "prefix.length=3").adapter == "prefix"
    assert load(tmp_path).adapter is None
