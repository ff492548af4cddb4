"""What a run measures of its model: held-out text, what tuning changed, and samples."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from qingtan.corpus.shards import Corpus
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.batches import BatchSource
from qingtan.training.contrastive import evaluate_finding
from qingtan.training.evaluation import evaluate
from qingtan.training.forgetting import (
    Standing,
    read_standing,
    render,
    take_standing,
    write_standing,
)
from qingtan.training.objective import Objective
from qingtan.training.pairs import PreferencePairs
from qingtan.training.parallel import whole_root
from qingtan.training.passages import PassagePair, PassagePairs
from qingtan.training.preference import DirectPreference, evaluate_preference
from qingtan.training.recipe import TrainRecipe
from qingtan.training.samples import take_samples
from qingtan.training.subject import Subject


class Examination:
    """Everything is measured on validation documents, the same ones each time.

    All processes of a run measure together, for each holds a part of the weights.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        corpus: Corpus,
        tokenizer: GLMTokenizer,
        sources: Collection[str],
        source: BatchSource,
        objective: Objective,
    ) -> None:
        self._recipe = recipe
        self._tokenizer = tokenizer
        self._sources = () if recipe.preference else tuple(sources)
        # An encoder predicts no tokens any more.
        self._shards = [] if recipe.contrastive else corpus.select("valid", list(sources))
        general = _open_general(recipe, corpus)
        self._general = general.select("valid")
        self._pairs = source if isinstance(source, PreferencePairs) else None
        self._held_out = _held_out_pairs(recipe, source)
        self._objective = objective
        kinds = {entry.kind for entry in corpus.index.sources if entry.name in sources}
        self._as_conversation = bool(recipe.preference) or kinds == {"conversations"}

    @property
    def compares(self) -> bool:
        """Whether the run says what tuning changed."""
        recipe = self._recipe
        started = recipe.model.start is not None and recipe.contrastive is None
        return started and recipe.forgetting_items > 0

    @property
    def begins(self) -> bool:
        """Whether `evaluate` is due before the first step, to be compared with the last."""
        return self._recipe.contrastive is not None

    def evaluate(self, subject: Subject) -> dict[str, Any]:
        """Return bits per byte by source, for preferences how many of the pairs are right, and for
        an encoder how well it finds passages."""
        recipe = self._recipe
        results = evaluate(
            subject, self._shards, recipe.data.sequence_length, recipe.evaluation_tokens
        )
        entry: dict[str, Any] = {
            "bits_per_byte": {name: round(r.bits_per_byte, 4) for name, r in results.items()}
        }
        if recipe.preference and self._pairs and isinstance(self._objective, DirectPreference):
            reference = self._objective.reference
            entry["preference"] = evaluate_preference(
                subject, reference, self._pairs.validation, recipe.preference
            )
        if self._held_out:
            entry["finding"] = evaluate_finding(subject, self._held_out)
        return entry

    def stand(self, subject: Subject) -> Standing:
        """Measure what the model can on general text."""
        recipe = self._recipe
        return take_standing(
            subject,
            self._general,
            recipe.data.sequence_length,
            recipe.evaluation_tokens,
            recipe.forgetting_items,
            recipe.seed,
        )

    def write_before(self, folder: Path, standing: Standing) -> None:
        """Keep what the model could before."""
        write_standing(folder, "before", standing, self._sources)

    def compare(self, folder: Path, standing: Standing) -> str:
        """Keep what the model can now, and return what has changed, as a table."""
        write_standing(folder, "after", standing, self._sources)
        return render(read_standing(folder, "before"), standing, self._sources)

    def samples(self, subject: Subject) -> list[dict[str, str]]:
        """Return what the model writes after the recipe's prompts."""
        table = self._recipe.samples
        if table is None:
            return []
        with whole_root(subject):
            texts = take_samples(subject, self._tokenizer, table, self._as_conversation)
        return [
            {"prompt": prompt, "text": text}
            for prompt, text in zip(table.prompts, texts, strict=True)
        ]


def _held_out_pairs(recipe: TrainRecipe, source: BatchSource) -> list[PassagePair]:
    """Return the pairs to find passages of: whole documents, by their places."""
    if recipe.contrastive is None or not isinstance(source, PassagePairs):
        return []
    pairs = sorted(source.validation, key=lambda pair: pair.place)
    return pairs[: recipe.contrastive.validation_pairs]


def _open_general(recipe: TrainRecipe, corpus: Corpus) -> Corpus:
    path = recipe.data.general
    if path is None:
        return corpus
    general = Corpus.open(path)
    if general.index.tokenizer_sha256 != corpus.index.tokenizer_sha256:
        raise UserError(f"data.general: {path} has another tokenizer than data.corpus")
    return general
