"""The training recipe: one TOML file a run."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, model_validator

from qingtan.recipe import Recipe


class ModelTable(Recipe):
    """`[model]`: what is trained. Give `size` for a new model, or `start` to go on from one."""

    size: str | None = None
    """A named size, such as "laptop"; its vocabulary is the corpus's, rounded up to 64 rows."""
    start: Path | None = None
    """A checkpoint's folder to start from."""

    @model_validator(mode="after")
    def _one_of_two(self) -> "ModelTable":
        if (self.size is None) == (self.start is None):
            raise ValueError("give either size or start")
        return self


class DataTable(Recipe):
    """`[data]`: which documents, in what sequences."""

    corpus: Path
    """The folder that `qingtan corpus build` made."""
    sources: dict[str, NonNegativeFloat] | None = None
    """How often each source is read in an epoch, by name; 0.5 draws half of its documents, anew
    each time. By default as the corpus's recipe says with `epochs` or `weight`."""
    sequence_length: int = Field(default=1024, ge=8)
    """Tokens in a row; documents are packed into rows by best fit."""


class OptimizerTable(Recipe):
    """`[optimizer]`: how weights move."""

    name: Literal["muon", "adamw"] = "muon"
    """muon: Muon for the matrices of the blocks, AdamW for embedding, head, norms and biases."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """The highest; Muon's updates are scaled to AdamW's size, so that one rate suits both."""
    weight_decay: float = Field(default=0.1, ge=0)
    """On matrices of the blocks only."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Muon's."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""
    warmup_steps: int = Field(default=40, ge=0)
    """Steps of linear rise."""
    decay_share: float = Field(default=0.65, ge=0, le=1)
    """The last part of the steps, in which the rate falls linearly."""
    final_share: float = Field(default=0.05, ge=0, le=1)
    """Where it falls to, as a share of the highest."""


class TrainRecipe(Recipe):
    """A run of the trainer."""

    output: Path
    """The run's folder."""
    model: ModelTable
    data: DataTable
    optimizer: OptimizerTable = OptimizerTable()
    steps: int = Field(ge=1)
    """Updates of the weights."""
    batch_tokens: int = Field(default=16_384, ge=1)
    """Tokens in an update, padding included; rounded down to whole micro-batches."""
    micro_batch_tokens: int = Field(default=2048, ge=1)
    """Tokens in a forward pass; the passes of an update are accumulated."""
    seed: int = 0
    """For the initial weights and the order of the documents."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one. On a GPU the products are bf16, on a CPU float32."""
    compile: bool = False
    """Compile the model with torch.compile; needs a C++ compiler on a CPU."""
    log_every: int = Field(default=10, ge=1)
    """Steps between lines of metrics.jsonl."""
    checkpoint_every: int = Field(default=200, ge=1)
    """Steps between checkpoints; the last two are kept."""
    evaluate_every: int = Field(default=500, ge=1)
    """Steps between evaluations on the validation documents; the last step always is one."""
    evaluation_tokens: int = Field(default=50_000, ge=1)
    """Validation tokens of each source to evaluate on, whole documents, at most."""

    @model_validator(mode="after")
    def _check_batch(self) -> "TrainRecipe":
        if self.micro_batch_tokens < self.data.sequence_length:
            raise ValueError("micro_batch_tokens is less than one row of data.sequence_length")
        if self.batch_tokens < self.micro_batch_tokens:
            raise ValueError("batch_tokens is less than micro_batch_tokens")
        return self

    @property
    def micro_batch_rows(self) -> int:
        """Rows in a forward pass."""
        return self.micro_batch_tokens // self.data.sequence_length

    @property
    def accumulation(self) -> int:
        """Forward passes in an update."""
        return self.batch_tokens // (self.micro_batch_rows * self.data.sequence_length)

    @property
    def batch_rows(self) -> int:
        """Rows in an update."""
        return self.accumulation * self.micro_batch_rows
