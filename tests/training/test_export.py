"""What is exported: defaults in sampling, an evaluation of the very weights, and the cards."""

import re
from pathlib import Path

import pytest
from transformers import GenerationConfig

from evaluation.report.results import make_results
from qingtan.chat import ChatGLM
from qingtan.cli.making import export as export_command
from qingtan.errors import UserError
from qingtan.files import read_json
from qingtan.glm.digests import digest_weights
from qingtan.training.export import EVALUATION_FILE, Decoding, export


@pytest.fixture(scope="module")
def exported(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's model without an evaluation."""
    folder = tmp_path_factory.mktemp("models") / "plain"
    return export(pretrained, folder, evaluation_tokens=200)


def write_results(folder: Path, digest: str) -> None:
    tasks = make_results().tasks[:3]  # the fourth has a figure without a value
    make_results(weights_sha256=digest, tasks=tasks, held_out={}).write(folder)


def sections_of(card: Path) -> list[str]:
    return re.findall(r"(?m)^## (.+)$", card.read_text(encoding="utf-8"))


def test_an_evaluation_of_the_weights_goes_into_the_cards(
    pretrained: Path, exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "evaluation"
    folder.mkdir()
    write_results(folder, digest_weights(exported))
    model = tmp_path / "model"
    export_command(pretrained, model, evaluation=folder, evaluation_tokens=200)
    assert digest_weights(model) == digest_weights(exported)
    assert (model / EVALUATION_FILE).read_bytes() == (folder / "results.json").read_bytes()
    assert sections_of(model / "README.md") == [
        "Architecture",
        "Training",
        "Evaluation",
        "Held-out text",
        "Sources and licences",
    ]
    english = (model / "README.md").read_text(encoding="utf-8")
    assert "| +33.1 (+28.1 – +38.1) | better |" in english
    assert "### Conversations" in english
    chinese = (model / "README.zh-CN.md").read_text(encoding="utf-8")
    assert sections_of(model / "README.zh-CN.md")[2] == "评测"
    assert "| +33.1 (+28.1 – +38.1) | 更好 |" in chinese


def test_an_evaluation_of_other_weights_is_refused(pretrained: Path, tmp_path: Path) -> None:
    write_results(tmp_path, "00" * 32)
    with pytest.raises(UserError, match=r"results\.json: is an evaluation of other weights"):
        export_command(pretrained, tmp_path / "model", evaluation=tmp_path, evaluation_tokens=200)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_model_without_an_evaluation_says_nothing_of_one(exported: Path) -> None:
    assert "Evaluation" not in sections_of(exported / "README.md")
    assert not (exported / EVALUATION_FILE).exists()


def test_the_defaults_in_sampling_are_read_by_both_programs(
    pretrained: Path, tmp_path: Path
) -> None:
    export_command(
        pretrained,
        tmp_path / "model",
        temperature=0.6,
        top_p=0.95,
        repetition_penalty=1.1,
        no_repeat_ngram_size=6,
        evaluation_tokens=200,
    )
    theirs = GenerationConfig.from_pretrained(tmp_path / "model")
    assert theirs.do_sample is True
    assert (theirs.temperature, theirs.top_p, theirs.repetition_penalty) == (0.6, 0.95, 1.1)
    with ChatGLM.from_pretrained(tmp_path / "model") as ours:
        defaults = ours.defaults
    assert (defaults.temperature, defaults.top_p, defaults.repetition_penalty) == (0.6, 0.95, 1.1)
    # Transformers would apply it to the prompt, too.
    assert (theirs.no_repeat_ngram_size or 0, defaults.no_repeat_ngram_size) == (0, 6)


def test_a_model_may_take_the_likeliest_token_by_default(pretrained: Path, tmp_path: Path) -> None:
    greedy = Decoding(temperature=0)
    export(pretrained, tmp_path / "model", decoding=greedy, evaluation_tokens=200)
    assert GenerationConfig.from_pretrained(tmp_path / "model").do_sample is False
    with ChatGLM.from_pretrained(tmp_path / "model") as ours:
        assert ours.defaults.temperature == 0


def test_without_a_word_the_defaults_are_those_of_every_checkpoint(
    pretrained: Path, exported: Path
) -> None:
    plain = read_json(pretrained / "model" / "generation_config.json")
    assert read_json(exported / "generation_config.json") == plain | {"repetition_penalty": 1.0}


@pytest.mark.parametrize(
    "field", ["temperature", "top_p", "repetition_penalty", "no_repeat_ngram_size"]
)
def test_defaults_out_of_range_are_refused(field: str) -> None:
    with pytest.raises(UserError, match=f"^{field}: -1"):
        Decoding(**{field: -1})
