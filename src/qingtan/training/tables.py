"""The tables of the training recipe. A table that is there turns on what it is about."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from qingtan.recipe import Recipe

Share = Annotated[float, Field(ge=0, le=1)]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Linear = Literal["qkv", "out", "gate_up", "down", "head"]


class ModelTable(Recipe):
    """`[model]`: what is trained. Give `size` for a new model, or `start` to go on from one."""

    size: str | None = None
    """A named size, such as "laptop"; its vocabulary is the corpus's, rounded up to 64 rows."""
    start: Path | None = None
    """A checkpoint's folder to start from."""
    dtype: Dtype = "auto"
    """How a model that is not trained itself is held: the base of an adapter, and a teacher. auto:
    as stored from a billion parameters on, else float32. What is trained is float32 always."""
    activation_checkpointing: bool = False
    """Compute each block again in the backward pass instead of keeping it: much less memory, about
    a third more time."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
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
    general: Path | None = None
    """Another corpus with the same tokenizer, whose validation documents stand for what tuning
    must not forget; by default `corpus` does so itself."""
    questions: bool = False
    """Learn the questions of conversations too, not only the answers: in a small corpus much is to
    be learnt from the passages that they quote."""
    sequence_length: int = Field(default=1024, ge=8)
    """Tokens in a row; documents are packed into rows by best fit."""
    mask_documents: bool = False
    """Hide the documents of a row from each other. It costs time, and was measured to matter
    little in pretraining."""


class InfillingTable(Recipe):
    """`[infilling]`: GLM's autoregressive blank infilling, for a share of the text documents."""

    share: Share = 0.5
    """Of text documents, drawn anew each epoch; the others are learnt from left to right."""
    mask: NonNegativeFloat = 1.0
    """Weight of short spans, `[MASK]`: 15% of the tokens, lengths Poisson-distributed."""
    smask: NonNegativeFloat = 1.0
    """Weight of whole sentences, `[sMASK]`: 15% of the tokens."""
    gmask: NonNegativeFloat = 1.0
    """Weight of one long span at the end, `[gMASK]`: 50–100% of the tokens."""
    masked_share: float = Field(default=0.15, gt=0, lt=1)
    """Of the tokens, for the first two."""
    mean_span: float = Field(default=3.0, ge=1)
    """Tokens of a short span on average."""

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if not self.mask + self.smask + self.gmask:
            raise ValueError("give mask, smask or gmask a weight above 0")
        return self


class LoRATable(Recipe):
    """`[lora]`: train low-rank additions to linear layers, and nothing else (2106.09685)."""

    rank: int = Field(default=8, ge=1)
    """Of each addition."""
    alpha: float = Field(default=16.0, gt=0)
    """The additions are scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Of an addition's input."""
    targets: tuple[Linear, ...] = Field(default=("qkv", "out", "gate_up", "down"), min_length=1)
    """Which linear layers."""


class PrefixTable(Recipe):
    """`[prefix]`: train a P-Tuning v2 prefix, and nothing else (2110.07602)."""

    length: int = Field(default=128, ge=1)
    """Virtual tokens before each layer's own."""
    projection: bool = False
    """Learn an embedding and two linear layers that make the prefix, instead of itself."""


class PreferenceTable(Recipe):
    """`[preference]`: DPO, from pairs of a better and a worse answer (2305.18290)."""

    pairs: Path
    """JSON Lines, plain, .gz or .zst: {"messages": …, "chosen": "…", "rejected": "…"}, perhaps with
    {"tools": …}; the messages end with the question, the answers are texts or messages."""
    beta: float = Field(default=0.1, gt=0)
    """How dear it is to move away from the model at the start."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """The share of pairs that are thought to be the wrong way round."""
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    """Of the pairs, kept out by a hash of the question and measured before and after."""
    source: str
    """What the pairs are called in the model's provenance."""
    licence: str
    """Their licence: an SPDX expression or `LicenseRef-…`."""
    origin: str = ""
    """Where they were taken from."""
    attribution: str = ""
    """Whom to name."""


class ContrastiveTable(Recipe):
    """`[contrastive]`: an encoder, from questions with the passages that answer them (2004.04906).

    A question shall be nearer to its own passage than to all others of the batch, and a passage to
    its own question. Texts of one document do not count against each other.
    """

    pairs: Path
    """JSON Lines, plain, .gz or .zst: {"question": "…", "passage": "…"}, perhaps with "negatives",
    passages that do not answer; "document", what the passage is from; and the record's own
    "source", "licence" and "attribution"."""
    length: int = Field(default=256, ge=8)
    """Tokens of a question or passage that are read; the rest is cut off."""
    negatives: int = Field(default=1, ge=0)
    """Of a record's negatives, drawn anew each epoch, at most."""
    temperature: float = Field(default=0.05, gt=0)
    """Cosines are divided by it: the lower, the more the nearest wrong passages matter."""
    validation_share: float = Field(default=0.05, gt=0, lt=1)
    """Of the documents, kept out with their pairs by a hash and measured before and after."""
    validation_pairs: int = Field(default=500, ge=1)
    """The most held-out pairs that are measured."""
    source: str = ""
    """What pairs that name no source are called in the model's provenance."""
    licence: str = ""
    """The licence of pairs that state none: an SPDX expression or `LicenseRef-…`."""
    origin: str = ""
    """Where pairs that name no source were taken from."""
    attribution: str = ""
    """Whom to name for pairs that name no source."""
    licences: Path | None = None
    """A table of known sources with licence, origin and attribution, as of a corpus."""


class DistillationTable(Recipe):
    """`[distillation]`: learn from a teacher's distribution, not only from what is written."""

    teacher: Path | None = None
    """A checkpoint with the same tokenizer, which runs beside the student."""
    logits: Path | None = None
    """A folder that `qingtan distill logits` made of the same corpus, instead of a teacher."""
    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = "forward_kl"
    """From the teacher to the student, from the student to the teacher, or the generalized
    Jensen-Shannon divergence between them (2306.13649). Offline logits: forward_kl only."""
    jsd_beta: float = Field(default=0.5, gt=0, lt=1)
    """The teacher's share in the mixture of jsd; near 0 is forward, near 1 is reverse KL."""
    temperature: float = Field(default=1.0, gt=0)
    """Both distributions are softened by it, and the divergence is multiplied by its square."""
    ce_weight: Share = 0.5
    """The share of the usual cross-entropy in the loss; the divergence has the rest."""
    on_policy_share: Share = 0.0
    """Of the updates, whose answers the student writes itself, for the teacher to mark (GKD)."""
    answer_tokens: int = Field(default=128, ge=1)
    """The most tokens of such an answer."""
    hidden_weight: NonNegativeFloat = 0.0
    """Weight of the hidden states' mean squared difference, the student's through a learned
    projection; both are brought to unit mean square."""
    hidden_layers: tuple[tuple[PositiveInt, PositiveInt], ...] = ()
    """Which layers are compared: pairs of student's and teacher's, from 1; by default four pairs
    evenly from the lowest to the last, fewer in a smaller student."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.teacher is None) == (self.logits is None):
            raise ValueError("give either teacher or logits")
        if self.logits is not None:
            live = {
                "divergence": self.divergence != "forward_kl",
                "temperature": self.temperature != 1,
                "on_policy_share": self.on_policy_share > 0,
                "hidden_weight": self.hidden_weight > 0,
            }
            if names := [name for name, used in live.items() if used]:
                raise ValueError(f"{', '.join(names)}: needs a teacher; logits cannot serve it")
        if self.on_policy_share and self.ce_weight == 1:
            raise ValueError("on_policy_share: with ce_weight 1 nothing is learnt from a teacher")
        return self


class PrivacyTable(Recipe):
    """`[privacy]`: DP-SGD (1607.00133) for LoRA: the guarantee holds for each conversation."""

    epsilon: float = Field(gt=0)
    """The guarantee to reach by the last step; the noise follows from it."""
    delta: float = Field(gt=0, lt=1)
    """The chance that it fails; less than one by the number of documents."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Each document's gradient is scaled down to this norm."""


class OptimizerTable(Recipe):
    """`[optimizer]`: how weights move."""

    name: Literal["auto", "muon", "adamw"] = "auto"
    """muon: Muon for the matrices of the blocks, AdamW for embedding, head, norms and biases. auto:
    muon for whole models, adamw for adapters."""
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
    schedule: Literal["wsd", "cosine"] = "wsd"
    """wsd: warm-up, constant, linear down at the end. cosine: warm-up, then half a cosine."""
    warmup_steps: int = Field(default=40, ge=0)
    """Steps of linear rise."""
    decay_share: Share = 0.65
    """wsd: the last part of the steps, in which the rate falls linearly."""
    final_share: Share = 0.05
    """Where it falls to, as a share of the highest."""
    average_decay: float = Field(default=0.0, ge=0, lt=1)
    """Keep an exponential moving average of the weights, each step's old share, such as 0.999; it
    is what is evaluated and written. 0: none."""


class SamplesTable(Recipe):
    """`[samples]`: what the model writes while it learns."""

    prompts: tuple[str, ...] = Field(min_length=1)
    """Always the same ones: questions where conversations are learnt, else beginnings of texts."""
    every: int = Field(default=500, ge=1)
    """Steps between them; the last step always has some."""
    tokens: int = Field(default=60, ge=1)
    """The most of each, the likeliest always."""
