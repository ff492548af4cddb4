"""A finished run as a model to give away: stored small, measured, and with its card."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from qingtan.corpus.shards import Corpus
from qingtan.engine.sampling import SamplingParams
from qingtan.errors import UserError
from qingtan.files import new_folder, read_json, write_json, write_text
from qingtan.glm.checkpoint import load_model, write_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.digests import digest_weights
from qingtan.glm.layouts import CONFIG_FILE, GENERATION_FILE
from qingtan.glm.lora import merge_lora
from qingtan.glm.lora_files import load_lora
from qingtan.glm.model import GLM
from qingtan.glm.tokenizer import GLMTokenizer, load_tokenizer
from qingtan.i18n import tr
from qingtan.provenance import PROVENANCE_FILE, Provenance, Step
from qingtan.training.card import BITS_PREFIX, CARD_FILES, render_card
from qingtan.training.evaluation import evaluate
from qingtan.training.run import ADAPTER_FOLDER, MODEL_FOLDER, RECIPE_FILE
from qingtan.training.subject import Subject

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# The words of a person that open each card.
OPENINGS = {"en": "about.md", "zh": "about.zh-CN.md"}
# What an evaluation found, beside the model that it is of.
EVALUATION_FILE = "evaluation.json"


@dataclass(frozen=True)
class Decoding:
    """The model's defaults in sampling, which stand in its `generation_config.json`.

    Attributes:
        temperature: 0 picks the likeliest token always.
        top_p: keep the likeliest tokens that together have this probability.
        repetition_penalty: on tokens that are there already; 1 is none, without which very small
            models loop.
        no_repeat_ngram_size: no run of so many tokens stands in an answer twice; 0 allows all.
            Transformers does not read it.

    Raises:
        UserError: a field is out of range; the message begins with its name.
    """

    temperature: float = 0.8
    top_p: float = 0.8
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0

    def __post_init__(self) -> None:
        SamplingParams(**asdict(self))  # refuses what the engine would refuse

    def settings(self) -> dict[str, Any]:
        """Return the entries of `generation_config.json`: transformers', and under "qingtan" what
        is not meant for it."""
        values = asdict(self)
        size = values.pop("no_repeat_ngram_size")
        own = {"qingtan": {"no_repeat_ngram_size": size}} if size else {}
        return {"do_sample": self.temperature > 0, **values, **own}


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found, for the cards.

    Attributes:
        weights_sha256: of the checkpoint that was evaluated, as `digest_weights` gives it.
        results: the file with all figures; it is kept beside the model.
        sections: what the cards say of it, Markdown by language.
    """

    weights_sha256: str
    results: Path
    sections: Mapping[str, str]


def export(
    run: str | Path,
    folder: str | Path,
    *,
    about: str | Path | None = None,
    layout: str = "glm",
    dtype: str = "bfloat16",
    decoding: Decoding | None = None,
    evaluated: Evaluated | None = None,
    evaluation_tokens: int = 20_000,
    replace: bool = False,
) -> Path:
    """Write a run's model as a checkpoint with its provenance and a card in both languages.

    Of a run that trained LoRA, the base with the adapter merged into it is written. The checkpoint
    is measured as it is stored: bits per byte on the validation documents of every
    source of the run's corpus, whether the run drew on it or not. An encoder predicts no text, and
    has the figures of its training.

    Args:
        run: a finished run's folder.
        about: a folder with `about.md` and `about.zh-CN.md`, which open the cards.
        layout: "glm" (transformers') or "chatglm".
        dtype: how the tensors are stored, a key of DTYPES.
        decoding: the model's defaults in sampling; None for those of `Decoding`.
        evaluated: an evaluation of the very model that is written, for its cards.
        evaluation_tokens: of each source, at most.
        replace: replace a checkpoint that is there.

    Raises:
        UserError: the run is not finished, or trained a prefix, which cannot be merged; a name is
            unknown, the evaluation is of other weights, or the folder is in the way.
    """
    run = Path(run)
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r} is none of {', '.join(DTYPES)}")
    recipe = read_json(run / RECIPE_FILE)
    openings = {name: _read_opening(about, file, Path(folder)) for name, file in OPENINGS.items()}
    model, tokenizer, source = _open_result(run, recipe)
    with new_folder(folder, CONFIG_FILE, replace) as partial:
        write_model(model, tokenizer, partial, layout, DTYPES[dtype])
        generation = read_json(partial / GENERATION_FILE) | (decoding or Decoding()).settings()
        write_json(partial / GENERATION_FILE, generation)
        if evaluated:
            _add_evaluation(partial, evaluated, Path(folder))
        encodes = recipe.get("contrastive") is not None
        figures = {} if encodes else _measure(partial, recipe, evaluation_tokens)
        step = Step.now("export", dtype=dtype, layout=layout, **figures)
        provenance = Provenance.read(source).with_step(step)
        provenance.write(partial)
        write_json(partial / RECIPE_FILE, recipe)
        _write_cards(partial, model.config, provenance, openings, evaluated)
    print(tr("The model is", "模型已写入"), folder)
    for name, value in figures.items():
        print(f"  {name.removeprefix(BITS_PREFIX):24} {value:.3f} bits/byte")
    return Path(folder)


def _add_evaluation(checkpoint: Path, evaluated: Evaluated, folder: Path) -> None:
    """Keep an evaluation's figures beside the weights that it is of.

    Args:
        checkpoint: what is written.
        folder: where it will stand.
    """
    if digest_weights(checkpoint) != evaluated.weights_sha256:
        raise UserError(
            f"{evaluated.results}: is an evaluation of other weights; export the model without "
            f"it first, run qingtan evaluate on {folder}, and export again with the same dtype, "
            "layout and that evaluation"
        )
    shutil.copyfile(evaluated.results, checkpoint / EVALUATION_FILE)


def _write_cards(
    folder: Path,
    config: GLMConfig,
    provenance: Provenance,
    openings: Mapping[str, str],
    evaluated: Evaluated | None,
) -> None:
    sections = evaluated.sections if evaluated else {}
    for language, name in CARD_FILES.items():
        section = sections.get(language, "")
        card = render_card(config, provenance, openings[language], language, section)
        write_text(folder / name, card)


def _open_result(run: Path, recipe: dict[str, Any]) -> tuple[GLM, GLMTokenizer, Path]:
    """Return a run's model, adapters merged, its tokenizer, and the folder of the result."""
    model, adapter = run / MODEL_FOLDER, run / ADAPTER_FOLDER
    if (model / CONFIG_FILE).exists():
        return load_model(model), load_tokenizer(model), model
    if not (adapter / PROVENANCE_FILE).exists():
        raise UserError(f"{run}: holds no finished model; let the run end, with --resume if needed")
    if recipe["prefix"]:
        raise UserError(
            f"{run}: trained a prefix, which cannot be merged into a model; give {adapter} away "
            "as it is, beside its base"
        )
    base = recipe["model"]["start"]
    merged = load_model(base, dtype=torch.float32)
    load_lora(merged, ADAPTER_FOLDER, adapter)
    return merge_lora(merged, ADAPTER_FOLDER), load_tokenizer(base), adapter


def _measure(checkpoint: Path, recipe: dict[str, Any], max_tokens: int) -> dict[str, float]:
    corpus = Corpus.open(recipe["data"]["corpus"])
    model = load_model(checkpoint, dtype=torch.float32)
    length = model.config.max_position_embeddings
    results = evaluate(Subject(model), corpus.select("valid"), length, max_tokens)
    return {f"{BITS_PREFIX}{name}": round(r.bits_per_byte, 4) for name, r in results.items()}


def _read_opening(about: str | Path | None, name: str, folder: Path) -> str:
    if about is None:
        return f"# {folder.name}"
    path = Path(about) / name
    if not path.is_file():
        raise UserError(f"{path}: no such file; it opens the model's card")
    return path.read_text(encoding="utf-8")
