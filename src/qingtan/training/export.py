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
from qingtan.i18n import tr
from qingtan.provenance import Provenance, Step
from qingtan.training.card import BITS_PREFIX, render_card
from qingtan.training.evaluation import HeldOut, evaluate
from qingtan.training.run import MODEL_FOLDER, RECIPE_FILE

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# The cards by language, and the words of a person that open each.
CARDS = {"en": ("README.md", "about.md"), "zh": ("README.zh-CN.md", "about.zh-CN.md")}


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

    The checkpoint is measured as it is stored: bits per byte on the validation documents of every
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
        UserError: the run is not finished, a name is unknown, or the folder is in the way.
    """
    run = Path(run)
    source = run / MODEL_FOLDER
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r} is none of {', '.join(DTYPES)}")
    if not (source / CONFIG_FILE).exists():
        raise UserError(f"{run}: holds no finished model; let the run end, with --resume if needed")
    recipe = read_json(run / RECIPE_FILE)
    openings = {name: _read_opening(about, name, Path(folder)) for _, name in CARDS.values()}
    model = load_model(source)
    with new_folder(folder, CONFIG_FILE, replace) as partial:
        write_model(model, load_tokenizer(source), partial, layout, DTYPES[dtype])
        generation = read_json(partial / GENERATION_FILE)
        generation["repetition_penalty"] = repetition_penalty
        write_json(partial / GENERATION_FILE, generation)
        figures = _measure(partial, recipe, evaluation_tokens)
        step = Step.now("export", dtype=dtype, layout=layout, **figures)
        provenance = Provenance.read(source).with_step(step)
        provenance.write(partial)
        write_json(partial / RECIPE_FILE, recipe)
        for language, (card, opening) in CARDS.items():
            text = render_card(model.config, provenance, openings[opening], language)
            write_text(partial / card, text)
    print(tr("The model is", "模型已写入"), folder)
    for name, value in figures.items():
        print(f"  {name.removeprefix(BITS_PREFIX):24} {value:.3f} bits/byte")
    return Path(folder)


def _measure(checkpoint: Path, recipe: dict[str, Any], max_tokens: int) -> dict[str, float]:
    corpus = Corpus.open(recipe["data"]["corpus"])
    model = load_model(checkpoint, dtype=torch.float32)
    length = model.config.max_position_embeddings
    results: dict[str, HeldOut] = evaluate(model, corpus.select("valid"), length, max_tokens)
    return {f"{BITS_PREFIX}{name}": round(r.bits_per_byte, 4) for name, r in results.items()}


def _read_opening(about: str | Path | None, name: str, folder: Path) -> str:
    if about is None:
        return f"# {folder.name}"
    path = Path(about) / name
    if not path.is_file():
        raise UserError(f"{path}: no such file; it opens the model's card")
    return path.read_text(encoding="utf-8")
