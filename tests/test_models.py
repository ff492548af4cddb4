"""The models that ship: they load, say who they are, and carry their sources."""

import tomllib
from pathlib import Path

import pytest
import torch
import transformers

from qingtan import ChatGLM
from qingtan.evaluation.results import Results
from qingtan.files import read_json
from qingtan.glm.catalogue import built_in_models, find_model
from qingtan.glm.checkpoint import load_model
from qingtan.glm.conversation import encode_prompt
from qingtan.glm.digests import digest_weights
from qingtan.glm.layouts import load_config
from qingtan.glm.tokenizer import load_tokenizer
from qingtan.provenance import UNKNOWN_LICENCE, Provenance

# Not for what we ship: non-commercial, no derivatives, unclear.
FORBIDDEN = ("-NC", "-ND", UNKNOWN_LICENCE)
MOST_BYTES = 100_000_000
# The recipe of each model's last stage.
RECIPES = {
    "qingtan": "teacher-sft.toml",
    "qingtan-pocket": "student-on-policy.toml",
    "qingtan-encoder": "encoder.toml",
}
ENCODERS = {"qingtan-encoder"}
WRITERS = sorted({*built_in_models()} - ENCODERS)


def test_the_built_in_model_says_who_it_is() -> None:
    with ChatGLM.from_pretrained("qingtan") as model:
        assert "清谈" in model.chat("你是谁？", temperature=0)


@pytest.mark.parametrize("name", built_in_models())
def test_sources_are_licensed_and_attributed(name: str) -> None:
    sources = Provenance.read(find_model(name)).sources
    assert sources
    for source in sources:
        assert source.licence, source.name
        assert source.attribution, source.name
        assert not any(word in source.licence for word in FORBIDDEN), source.name


@pytest.mark.parametrize("name", WRITERS)
def test_the_cards_figures_are_those_of_the_provenance(name: str) -> None:
    folder = find_model(name)
    provenance = Provenance.read(folder)
    figures = [v for k, v in provenance.steps[-1].details.items() if k.startswith("bits_per_byte.")]
    assert figures
    for card in ("README.md", "README.zh-CN.md"):
        text = (folder / card).read_text(encoding="utf-8")
        assert f"{load_config(folder).num_parameters:,}" in text
        assert all(f"| {figure:.3f} |" in text for figure in figures)
        assert all(source.name in text for source in provenance.sources)


@pytest.mark.parametrize("name", built_in_models())
def test_transformers_gives_the_same_logits(name: str) -> None:
    folder = find_model(name)
    prompt = [{"role": "user", "content": "写一首关于秋天的诗"}]
    tokens = torch.tensor([encode_prompt(load_tokenizer(folder), prompt)])
    ours = load_model(folder, dtype=torch.float32)
    theirs = transformers.GlmForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        torch.testing.assert_close(ours(tokens).logits, theirs(tokens).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", WRITERS)
def test_the_evaluation_is_of_these_weights_and_in_the_cards(name: str) -> None:
    folder = find_model(name)
    results = Results.model_validate_json((folder / "evaluation.json").read_bytes())
    assert results.weights_sha256 == digest_weights(folder)
    english, chinese = (
        (folder / card).read_text(encoding="utf-8") for card in ("README.md", "README.zh-CN.md")
    )
    assert all(f"| {task.english} |" in english for task in results.tasks)
    assert all(f"| {task.chinese} |" in chinese for task in results.tasks)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_an_encoder_brings_a_question_near_to_its_passage(name: str) -> None:
    passages = [
        "客服电话为400-820-8820，工作时间为每天九点到二十一点。",
        "自收到商品之日起七天内，商品完好的可以无理由退货。",
        "滤芯每六个月更换一次，更换后请冲洗十分钟。",
    ]
    questions = ["客服的电话号码是多少？", "几天之内可以退货？", "滤芯多久更换一次？"]
    with ChatGLM.from_pretrained(name) as model:
        near = model.embed(questions) @ model.embed(passages).T
    assert near.argmax(1).tolist() == [0, 1, 2]
    for card in ("README.md", "README.zh-CN.md"):
        text = (find_model(name) / card).read_text(encoding="utf-8")
        details = Provenance.read(find_model(name)).steps[-2].details
        assert f"{details['finding.recall_5']:.1%}" in text


def test_all_of_them_stay_light() -> None:
    files = (path for name in built_in_models() for path in find_model(name).rglob("*"))
    assert sum(path.stat().st_size for path in files) < MOST_BYTES


@pytest.mark.parametrize("name", built_in_models())
def test_the_recipe_as_run_is_the_one_that_is_kept(name: str) -> None:
    """Whoever follows recipes/built-in makes the model that ships."""
    as_run = read_json(find_model(name) / "recipe.json")
    recipe = Path(__file__).parents[1] / "recipes" / "built-in" / RECIPES[name]
    for name, value in tomllib.loads(recipe.read_text(encoding="utf-8")).items():
        if isinstance(value, dict):
            assert as_run[name] == as_run[name] | value
        else:
            assert as_run[name] == value
