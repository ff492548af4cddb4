"""Checkpoints without a record of their own: published models, known by their shape."""

from pathlib import Path

from qingtan.files import read_json
from qingtan.provenance.record import PROVENANCE_FILE, ModelSource, Provenance
from qingtan.provenance.spdx import UNKNOWN_LICENCE

CONFIG_FILE = "config.json"
# Layers, hidden width and vocabulary, by `config.json` of both layouts. ChatGLM2-6B has the shape
# of ChatGLM3-6B, and a licence that asks the same.
_PUBLISHED = {
    (28, 4096, 65_024): ModelSource(
        name="ChatGLM3-6B",
        licence="LicenseRef-ChatGLM3",
        origin="recognised by the shape in its config.json",
        attribution="ChatGLM3-6B, Zhipu AI and Tsinghua KEG",
    ),
    (40, 4096, 151_552): ModelSource(
        name="GLM-4-9B",
        licence="LicenseRef-GLM-4",
        origin="recognised by the shape in its config.json",
        attribution="GLM-4-9B, Zhipu AI and Tsinghua KEG",
    ),
}


def recognise_model(folder: str | Path) -> ModelSource | None:
    """Return the published model whose shape a checkpoint has, else None.

    Shape alone cannot tell its weights from others of that shape: a model of one's own needs a
    `provenance.json`.

    Raises:
        UserError: `config.json` is not JSON.
    """
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        return None
    config = read_json(path)
    if config.get("model_type") not in ("chatglm", "glm"):
        return None
    layers = config.get("num_layers", config.get("num_hidden_layers"))
    vocabulary = config.get("padded_vocab_size", config.get("vocab_size"))
    shape = (layers, config.get("hidden_size"), vocabulary)
    return next((model for key, model in _PUBLISHED.items() if key == shape), None)


def checkpoint_provenance(folder: str | Path) -> Provenance:
    """Return what a checkpoint hands down to a model that is made from it.

    This is its own record; without one, a record with the published model of its shape, or with a
    model of the folder's name under `LicenseRef-unknown`.

    Raises:
        UserError: the record or `config.json` is damaged.
    """
    folder = Path(folder)
    if (folder / PROVENANCE_FILE).exists():
        return Provenance.read(folder)
    model = recognise_model(folder)
    unknown = ModelSource(name=folder.resolve().name, licence=UNKNOWN_LICENCE)
    return Provenance(models=(model or unknown,))
