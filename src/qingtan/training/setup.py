"""What a recipe asks for, as objects: the model to train, the objective, and the data."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from qingtan.corpus.shards import Corpus
from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model, working_dtype
from qingtan.glm.config import GLMConfig
from qingtan.glm.conversation import stop_ids
from qingtan.glm.layouts import load_config
from qingtan.glm.lora import LoRAConfig, add_lora
from qingtan.glm.model import GLM, initialize
from qingtan.glm.prefix import PrefixEncoder, init_prefix
from qingtan.glm.tokenizer import GLMTokenizer, load_tokenizer
from qingtan.training.batches import BatchSource, PackedRows
from qingtan.training.contrastive import Contrastive
from qingtan.training.distillation.offline import LogitsDistillation
from qingtan.training.distillation.teacher import TeacherDistillation, open_teacher
from qingtan.training.gradients import Gradients, MeanGradients
from qingtan.training.infilling import Infiller
from qingtan.training.objective import Likelihood, Objective
from qingtan.training.pairs import PreferencePairs
from qingtan.training.parallel import Processes
from qingtan.training.passages import PassagePairs
from qingtan.training.poisson import DocumentLikelihood, PoissonDocuments
from qingtan.training.preference import DirectPreference
from qingtan.training.recipe import TrainRecipe
from qingtan.training.subject import Subject

# What the LoRA of a run is called in the model.
ADAPTER = "trained"


def choose_device(name: str) -> torch.device:
    """Return the device that a recipe names.

    Raises:
        UserError: it is a GPU, and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        if not torch.cuda.is_available():
            raise UserError("device: cuda was asked for, and torch sees no GPU")
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the type of the products."""
    if name == "auto":
        fast = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def build_subject(
    recipe: TrainRecipe, corpus: Corpus, tokenizer: GLMTokenizer, checkpoint: Path | None
) -> Subject:
    """Return what is trained, in training mode, on the CPU.

    Args:
        checkpoint: a checkpoint of this run, which holds the newer weights of a whole model.

    Raises:
        UserError: the start does not fit the corpus, or the rows do not fit the model's context.
    """
    start = recipe.model.start
    if start:
        check_start(start, corpus, tokenizer)
    if recipe.adapter and start:
        model = load_model(start, dtype=_frozen_dtype(recipe, start))
    elif checkpoint or start:
        model = load_model(checkpoint or start or "", dtype=torch.float32)
    else:
        rows = -(-tokenizer.vocab_size // 64) * 64
        eos = stop_ids(tokenizer)
        config = GLMConfig.named(recipe.model.size or "", vocab_size=rows, eos_token_id=eos)
        model = initialize(GLM(config), recipe.seed)
    if model.config.max_position_embeddings < recipe.data.sequence_length:
        raise UserError(
            f"data.sequence_length {recipe.data.sequence_length} is more than the "
            f"model's context of {model.config.max_position_embeddings}"
        )
    model.activation_checkpointing = recipe.model.activation_checkpointing
    prefix = _attach(recipe, model)
    # An encoder reads each text by itself.
    apart = recipe.data.mask_documents or recipe.contrastive is not None
    return Subject(model, prefix, apart).train()


def check_start(start: Path, corpus: Corpus, tokenizer: GLMTokenizer) -> None:
    """Check that a model can be trained on a corpus.

    Raises:
        UserError: they have different tokenizers, or the model has too few rows.
    """
    rows = load_config(start).vocab_size
    if load_tokenizer(start).model != tokenizer.model:
        raise UserError(
            f"{start}: has another tokenizer than the corpus {corpus.path}; build the "
            "corpus with the model's tokenizer.model"
        )
    if rows < tokenizer.vocab_size:
        raise UserError(
            f"{start}: has {rows} rows of embeddings, but its tokenizer has "
            f"{tokenizer.vocab_size} tokens"
        )


def build_objective(
    recipe: TrainRecipe,
    corpus: Corpus,
    tokenizer: GLMTokenizer,
    sources: Mapping[str, float],
    subject: Subject,
    device: torch.device,
) -> Objective:
    """Return what the run tries to lower; its teacher or reference is on the device."""
    if recipe.privacy:
        return DocumentLikelihood()
    if recipe.preference:
        return DirectPreference(recipe.preference, _reference(recipe, device))
    if recipe.contrastive:
        return Contrastive(recipe.contrastive)
    table = recipe.distillation
    if table is None:
        return Likelihood()
    length = recipe.data.sequence_length
    if table.logits:
        read = [name for name, weight in sources.items() if weight]
        rows = tokenizer.vocab_size
        return LogitsDistillation(table, table.logits, corpus, length, rows, read)
    if table.teacher is None:  # the table has one of the two
        raise UserError("distillation: give either teacher or logits")
    dtype = _frozen_dtype(recipe, table.teacher)
    model = open_teacher(table.teacher, tokenizer, dtype, device, length)
    teacher = Subject(model, mask_documents=recipe.data.mask_documents)
    return TeacherDistillation(table, teacher, subject.model, tokenizer, recipe.seed)


def build_source(
    recipe: TrainRecipe, corpus: Corpus, tokenizer: GLMTokenizer, sources: Mapping[str, float]
) -> BatchSource:
    """Return what the run learns from.

    Args:
        sources: how often each source of the corpus is read in an epoch.
    """
    length = recipe.data.sequence_length
    if recipe.preference:
        return PreferencePairs.open(recipe.preference, tokenizer, length, recipe.seed)
    if recipe.contrastive:
        return PassagePairs.open(recipe.contrastive, tokenizer, length, recipe.seed)
    shards = corpus.select("train", list(sources))
    if recipe.privacy:
        return PoissonDocuments(shards, sources, length)
    if recipe.data.questions:
        shards = [replace(shard, trained=None) for shard in shards]
    infiller = Infiller(recipe.infilling, tokenizer) if recipe.infilling else None
    return PackedRows(shards, sources, length, recipe.seed, infiller)


def build_gradients(
    recipe: TrainRecipe,
    source: BatchSource,
    sources: Mapping[str, float],
    subject: Subject,
    processes: Processes,
) -> Gradients:
    """Return how losses become the gradient of an update."""
    table = recipe.privacy
    if table is None:
        return MeanGradients(subject, processes, recipe.optimizer.clip_norm)
    try:
        # Opacus is an extra.
        from qingtan.training.privacy import PrivateGradients, check_privacy
    except ImportError:
        raise UserError(
            'privacy: the package opacus is not installed; pip install "qingtan[privacy]"'
        ) from None
    check_privacy(recipe, sources, source.documents, processes.world)
    return PrivateGradients(subject, table, source.documents, recipe.batch_rows, recipe.steps)


def _attach(recipe: TrainRecipe, model: GLM) -> PrefixEncoder | None:
    """Freeze the model and give it the adapter that the recipe asks for, if it does."""
    if recipe.lora:
        table = recipe.lora
        config = LoRAConfig(table.rank, table.alpha, table.dropout, table.targets)
        add_lora(model, ADAPTER, config, recipe.seed)
    elif recipe.prefix:
        model.requires_grad_(False)
        prefix = PrefixEncoder(model.config, recipe.prefix.length, recipe.prefix.projection)
        init_prefix(prefix, recipe.seed)
        return prefix
    return None


def _reference(recipe: TrainRecipe, device: torch.device) -> Subject | None:
    """Return a frozen copy of the start; an adapter is its own, with the adapter left out."""
    start = recipe.model.start
    if recipe.adapter or start is None:
        return None
    model = load_model(start, dtype=_frozen_dtype(recipe, start), device=device)
    return Subject(model.requires_grad_(False)).eval()


def _frozen_dtype(recipe: TrainRecipe, folder: Path) -> torch.dtype | None:
    name = recipe.model.dtype
    if name == "auto":
        return working_dtype(folder)
    dtype: torch.dtype = getattr(torch, name)
    return dtype
