"""A finished run as a model to give away: stored small, measured, and with its card."""

from pathlib import Path
from typing import Any

import torch

from qingtan.corpus.shards import Corpus
from qingtan.errors import UserError
from qingtan.files import new_folder, read_json, write_json, write_text
from qingtan.glm.checkpoint import (
    CONFIG_FILE,
    GENERATION_FILE,
    load_model,
    load_tokenizer,
    write_model,
)
from qingtan.glm.lora import merge_lora
from qingtan.glm.lora_files import load_lora
from qingtan.glm.model import GLM
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.i18n import tr
from qingtan.provenance import PROVENANCE_FILE, Provenance, Step
from qingtan.training.card import BITS_PREFIX, CARD_FILES, render_card
from qingtan.training.evaluation import evaluate
from qingtan.training.run import ADAPTER_FOLDER, MODEL_FOLDER, RECIPE_FILE
from qingtan.training.subject import Subject

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# The words of a person that open each card.
OPENINGS = {"en": "about.md", "zh": "about.zh-CN.md"}


def export(
    run: str | Path,
    folder: str | Path,
    *,
    about: str | Path | None = None,
    layout: str = "glm",
    dtype: str = "bfloat16",
    repetition_penalty: float = 1.0,
    evaluation_tokens: int = 20_000,
    replace: bool = False,
) -> Path:
    """Write a run's model as a checkpoint with its provenance and a card in both languages.

    Of a run that trained LoRA, the base with the adapter merged into it is written. The checkpoint
    is measured as it is stored: bits per byte on the validation documents of every
    source of the run's corpus, whether the run drew on it or not.

    Args:
        run: a finished run's folder.
        about: a folder with `about.md` and `about.zh-CN.md`, which open the cards.
        layout: "glm" (transformers') or "chatglm".
        dtype: how the tensors are stored, a key of DTYPES.
        repetition_penalty: the model's default in sampling; very small models loop without one.
        evaluation_tokens: of each source, at most.
        replace: replace a checkpoint that is there.

    Raises:
        UserError: the run is not finished, or trained a prefix, which cannot be merged; a name is
            unknown, or the folder is in the way.
    """
    run = Path(run)
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r} is none of {', '.join(DTYPES)}")
    recipe = read_json(run / RECIPE_FILE)
    openings = {name: _read_opening(about, name, Path(folder)) for name in OPENINGS.values()}
    model, tokenizer, source = _open_result(run, recipe)
    with new_folder(folder, CONFIG_FILE, replace) as partial:
        write_model(model, tokenizer, partial, layout, DTYPES[dtype])
        generation = read_json(partial / GENERATION_FILE)
        generation["repetition_penalty"] = repetition_penalty
        write_json(partial / GENERATION_FILE, generation)
        figures = _measure(partial, recipe, evaluation_tokens)
        step = Step.now("export", dtype=dtype, layout=layout, **figures)
        provenance = Provenance.read(source).with_step(step)
        provenance.write(partial)
        write_json(partial / RECIPE_FILE, recipe)
        for language, card in CARD_FILES.items():
            opening = openings[OPENINGS[language]]
            write_text(partial / card, render_card(model.config, provenance, opening, language))
    print(tr("The model is", "模型已写入"), folder)
    for name, value in figures.items():
        print(f"  {name.removeprefix(BITS_PREFIX):24} {value:.3f} bits/byte")
    return Path(folder)


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
