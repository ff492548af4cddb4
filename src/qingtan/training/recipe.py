"""The training recipe: one TOML file a run. What is learnt follows from its tables."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from qingtan.recipe import Recipe
from qingtan.training.tables import (
    ContrastiveTable,
    DataTable,
    DistillationTable,
    InfillingTable,
    LoRATable,
    ModelTable,
    OptimizerTable,
    PreferenceTable,
    PrefixTable,
    PrivacyTable,
    SamplesTable,
)


class TrainRecipe(Recipe):
    """A run of the trainer."""

    output: Path
    """The run's folder."""
    model: ModelTable
    data: DataTable
    infilling: InfillingTable | None = None
    lora: LoRATable | None = None
    prefix: PrefixTable | None = None
    preference: PreferenceTable | None = None
    contrastive: ContrastiveTable | None = None
    distillation: DistillationTable | None = None
    privacy: PrivacyTable | None = None
    optimizer: OptimizerTable = OptimizerTable()
    samples: SamplesTable | None = None
    steps: int = Field(ge=1)
    """Updates of the weights."""
    batch_tokens: int = Field(default=16_384, ge=1)
    """Tokens in an update, padding included; rounded down to whole micro-batches."""
    micro_batch_tokens: int = Field(default=2048, ge=1)
    """Tokens in a forward pass; the passes of an update are accumulated."""
    seed: int = 0
    """For the initial weights and the order of the documents."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the products; auto: bfloat16 on a GPU and on a CPU that has instructions for it (AVX-512
    BF16), float32 on others."""
    compile: bool = False
    """Compile the blocks with torch.compile. On a CPU that takes some 15 to 60 seconds and a C++
    compiler, and gives a sixth where products are fast (AMX), a few per cent elsewhere."""
    log_every: int = Field(default=10, ge=1)
    """Steps between lines of metrics.jsonl."""
    tensorboard: bool = False
    """Write the metrics for TensorBoard too, into the run's folder."""
    checkpoint_every: int = Field(default=200, ge=1)
    """Steps between checkpoints; the last two are kept."""
    evaluate_every: int = Field(default=500, ge=1)
    """Steps between evaluations on the validation documents; the last step always is one."""
    evaluation_tokens: int = Field(default=50_000, ge=1)
    """Validation tokens of each source to evaluate on, whole documents, at most."""
    forgetting_items: int = Field(default=50, ge=0)
    """A run that starts from a model measures, before and after, all validation documents of the
    corpus and so many four-way questions of each source; 0 leaves the comparison out."""
    spike_nats: float = Field(default=3.0, ge=0)
    """Stop when the loss is so far above the median of the last 50 steps; 0 never stops for it."""

    @model_validator(mode="after")
    def _check_batch(self) -> Self:
        if self.micro_batch_tokens < self.data.sequence_length:
            raise ValueError("micro_batch_tokens is less than one row of data.sequence_length")
        if self.batch_tokens < self.micro_batch_tokens:
            raise ValueError("batch_tokens is less than micro_batch_tokens")
        if self.preference and self.batch_tokens < 2 * self.data.sequence_length:
            raise ValueError("batch_tokens is less than one pair of rows, which preference needs")
        return self

    @model_validator(mode="after")
    def _check_tables(self) -> Self:
        if self.lora and self.prefix:
            raise ValueError("lora, prefix: a run trains one of the two")
        if self.preference and self.distillation:
            raise ValueError("preference, distillation: a run has one of the two")
        if self.adapter and self.model.start is None:
            raise ValueError(f"{self.adapter}: needs model.start, the base that it is trained on")
        if self.data.questions:
            self._check_questions()
        if self.preference:
            self._check_preference()
        if self.contrastive:
            self._check_contrastive(self.contrastive)
        if self.privacy:
            self._check_privacy()
        return self

    def _check_questions(self) -> None:
        """Refuse what has to know where the answers stand."""
        table = self.distillation
        others = {
            "infilling": self.infilling,
            "preference": self.preference,
            "privacy": self.privacy,
            "distillation.logits": table and table.logits,
            "distillation.on_policy_share": table and table.on_policy_share,
        }
        if names := [name for name, used in others.items() if used]:
            raise ValueError(f"data.questions: cannot be learnt with {', '.join(names)}")

    def _check_preference(self) -> None:
        if self.model.start is None:
            raise ValueError("preference: needs model.start, a model that answers already")
        if self.data.sources is not None:
            raise ValueError("data.sources: preference learns from its pairs, not from documents")
        if self.infilling:
            raise ValueError("infilling: preference learns from its pairs, not from documents")

    def _check_contrastive(self, table: ContrastiveTable) -> None:
        others = {
            "preference": self.preference,
            "distillation": self.distillation,
            "infilling": self.infilling,
            "privacy": self.privacy,
            "samples": self.samples,
            "data.sources": self.data.sources is not None,
            "data.questions": self.data.questions,
        }
        if names := [name for name, used in others.items() if used]:
            raise ValueError(f"contrastive: has no use for {', '.join(names)}")
        if table.length > self.data.sequence_length:
            raise ValueError("contrastive.length is more than a row of data.sequence_length")
        if self.accumulation > 1:
            raise ValueError(
                "batch_tokens: contrastive compares the passages of one forward pass, and "
                "accumulating passes would not make them more; give micro_batch_tokens the same "
                "value"
            )
        if self.batch_rows < (rows := 2 * (2 + table.negatives)):
            raise ValueError(
                f"batch_tokens is less than {rows} rows of data.sequence_length, which two pairs "
                "with their negatives may take in contrastive"
            )

    def _check_privacy(self) -> None:
        """Refuse whatever would make of (ε, δ) an empty promise."""
        others = {
            "preference": self.preference,
            "distillation": self.distillation,
            "infilling": self.infilling,
        }
        if names := [name for name, table in others.items() if table]:
            raise ValueError(f"privacy: is not accounted for with {', '.join(names)}")
        if not self.lora:
            raise ValueError("privacy: needs lora; the guarantee is computed for its weights only")
        if self.optimizer.name == "muon":
            raise ValueError("optimizer.name: privacy is accounted for with adamw only")
        if any(weight not in (0, 1) for weight in (self.data.sources or {}).values()):
            raise ValueError(
                "data.sources: privacy needs each source to count 1 or 0; a document that is read "
                "more often than others would be protected less than promised"
            )

    @property
    def adapter(self) -> Literal["lora", "prefix"] | None:
        """Which adapter is trained; None trains the whole model."""
        return "lora" if self.lora else "prefix" if self.prefix else None

    @property
    def micro_batch_rows(self) -> int:
        """Rows in a forward pass; an even number for pairs."""
        rows = self.micro_batch_tokens // self.data.sequence_length
        return max(2, rows - rows % 2) if self.preference else rows

    @property
    def accumulation(self) -> int:
        """Forward passes in an update."""
        return self.batch_tokens // (self.micro_batch_rows * self.data.sequence_length)

    @property
    def batch_rows(self) -> int:
        """Rows in an update."""
        return self.accumulation * self.micro_batch_rows
