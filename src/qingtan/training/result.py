"""What a run leaves behind: the model or adapter, with where it comes from."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from qingtan.corpus.shards import Corpus
from qingtan.files import new_folder, write_text
from qingtan.glm.checkpoint import write_model
from qingtan.glm.layouts import CONFIG_FILE, load_config
from qingtan.glm.lora_files import write_lora
from qingtan.glm.prefix import write_prefix
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.provenance import Provenance, Source, Step, checkpoint_provenance, merge
from qingtan.training.batches import BatchSource
from qingtan.training.card import BITS_PREFIX, CARD_FILES, render_card
from qingtan.training.distillation.sampled_logits import read_index
from qingtan.training.parallel import Processes, gather, scatter_like
from qingtan.training.passages import PassagePairs
from qingtan.training.recipe import TrainRecipe
from qingtan.training.setup import ADAPTER
from qingtan.training.subject import Subject
from qingtan.training.tables import DistillationTable

Facts = Mapping[str, str | int | float]


class Result:
    """The weights of a run on their way to the disk, and their origins."""

    def __init__(
        self,
        recipe: TrainRecipe,
        corpus: Corpus,
        tokenizer: GLMTokenizer,
        sources: Collection[str],
        source: BatchSource,
        subject: Subject,
        processes: Processes,
    ) -> None:
        self._recipe = recipe
        self._corpus = corpus
        self._tokenizer = tokenizer
        self._sources = sources
        self._source = source
        self._subject = subject
        self._processes = processes
        # Looked at now: when a long run ends its teacher may be gone, or another one.
        table = recipe.distillation
        self._teacher = _origin_of_teacher(table) if table else Provenance()
        self._teaching = _describe_teaching(table, self._teacher) if table else {}

    def writer(self) -> Callable[[Path], None]:
        """Return a function that writes the weights as they are now into a folder.

        Tensors that are sharded over processes are gathered first, so all of these must call it.
        """
        model, prefix = self._subject.model, self._subject.prefix
        if self._recipe.lora:
            base = str(self._recipe.model.start)
            return lambda folder: write_lora(model, ADAPTER, folder, base=base)
        if prefix is not None:
            return lambda folder: write_prefix(prefix, folder)
        state = self._gathered() if self._processes.world > 1 else None
        return lambda folder: write_model(model, self._tokenizer, folder, state=state)

    def beside_the_model(self) -> dict[str, Tensor]:
        """Return the trained tensors that a checkpoint's model files do not hold, by name."""
        whole = self._recipe.adapter is None
        return {
            name: gather(parameter)
            for name, parameter in self._subject.named_parameters()
            if parameter.requires_grad and not (whole and name.startswith("model."))
        }

    @torch.no_grad()
    def take_up(self, saved: Mapping[str, Tensor]) -> None:
        """Take up what `beside_the_model` gave."""
        parameters = dict(self._subject.named_parameters())
        for name, tensor in saved.items():
            parameters[name].copy_(scatter_like(tensor, parameters[name]))

    def finish(
        self,
        folder: Path,
        write: Callable[[Path], None],
        facts: Facts,
        bits_per_byte: Mapping[str, float],
    ) -> None:
        """Write the finished model or adapter, whole or not at all."""
        config = self._subject.model.config
        step = Step.now(
            "train",
            size=self._recipe.model.size or str(self._recipe.model.start),
            parameters=config.num_parameters,
            **facts,
            **self._teaching,
            **{f"{BITS_PREFIX}{name}": value for name, value in bits_per_byte.items()},
        )
        provenance = merge(self._origins()).with_step(step)
        marker = "provenance.json" if self._recipe.adapter else CONFIG_FILE
        with new_folder(folder, marker) as partial:
            write(partial)
            provenance.write(partial)
            if self._recipe.adapter:
                for language, name in CARD_FILES.items():
                    card = render_card(config, provenance, f"# {folder.parent.name}", language)
                    write_text(partial / name, card)

    def _origins(self) -> list[Provenance]:
        recipe = self._recipe
        records = []
        if recipe.model.start:
            records.append(checkpoint_provenance(recipe.model.start))
        records.append(self._teacher)
        if recipe.preference:
            table = recipe.preference
            pairs = Source(
                name=table.source,
                licence=table.licence,
                origin=table.origin,
                attribution=table.attribution,
            )
            return [*records, Provenance(sources=(pairs,))]
        if isinstance(self._source, PassagePairs):
            return [*records, self._source.provenance]
        return [*records, self._corpus.provenance_of(list(self._sources))]

    def _gathered(self) -> dict[str, Tensor]:
        return {name: gather(tensor) for name, tensor in self._subject.model.state_dict().items()}


def _origin_of_teacher(table: DistillationTable) -> Provenance:
    """Return where a teacher comes from; its steps name the folder that the recipe gives."""
    folder = str(table.teacher or table.logits)
    return checkpoint_provenance(folder).of_teacher(folder)


def _describe_teaching(table: DistillationTable, origin: Provenance) -> Facts:
    """Return from whom a run learns and how, as its step records it."""
    facts: dict[str, str | int | float] = {}
    if table.logits:
        facts |= {"teacher": read_index(table.logits).settings.teacher, "logits": str(table.logits)}
        own = [step.details for step in origin.steps if step.of == str(table.logits)]
        counts = [details["parameters"] for details in own if "parameters" in details]
        if counts:
            facts["teacher_parameters"] = counts[-1]
    elif table.teacher:
        facts["teacher"] = str(table.teacher)
        facts["teacher_parameters"] = load_config(table.teacher).num_parameters
    facts |= {"divergence": table.divergence, "ce_weight": table.ce_weight}
    if table.divergence == "jsd":
        facts["jsd_beta"] = table.jsd_beta
    if table.temperature != 1:
        facts["temperature"] = table.temperature
    if table.on_policy_share:
        facts["on_policy_share"] = table.on_policy_share
    if table.hidden_weight:
        facts["hidden_weight"] = table.hidden_weight
    return facts
