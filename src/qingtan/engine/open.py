"""Which runner opens a model, and its draft model."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from qingtan.engine.runner import DEFAULT_CACHE_BYTES, Runner
from qingtan.errors import UserError
from qingtan.glm.quantization import Precision
from qingtan.glm.tokenizer import load_tokenizer
from qingtan.i18n import tr

EngineName = Literal["native", "torch"]
# What the native engine calls the types of weights.
_PRECISIONS: dict[str, Precision] = {
    "float32": "float32",
    "bfloat16": "bf16",
    "int8": "int8",
    "int4": "int4",
}


@dataclass(frozen=True)
class RunnerOptions:
    """How to open a model; the fields are those of `ChatGLM.from_pretrained`."""

    device: str = "cpu"
    dtype: str | None = None
    engine: EngineName | None = None
    context: int | None = None
    cache_bytes: int | None = None
    threads: int | None = None
    adapters: Mapping[str, Path] = field(default_factory=dict)


def open_runner(folder: Path, options: RunnerOptions) -> Runner:
    """Open a checkpoint with the engine that suits the device.

    Raises:
        UserError: an option is wrong, torch is asked for and not installed, or the checkpoint or
            an adapter cannot be used.
    """
    if _engine(options) == "torch":
        return _open_torch(folder, options)
    if options.device != "cpu":
        raise UserError(f"the native engine runs on the CPU, not on {options.device!r}")
    if options.dtype is not None and options.dtype not in _PRECISIONS:
        known = ", ".join(_PRECISIONS)
        raise UserError(f"dtype {options.dtype!r} is none of the native engine's: {known}")
    from qingtan.engine.native_runner import NativeRunner

    return NativeRunner.open(
        folder,
        precision=None if options.dtype is None else _PRECISIONS[options.dtype],
        threads=options.threads,
        context=options.context,
        cache_bytes=options.cache_bytes or DEFAULT_CACHE_BYTES,
        adapters=options.adapters,
    )


def open_draft(folder: Path, model: Path, options: RunnerOptions) -> Runner:
    """Open a model that guesses tokens for another one, with the other one's options.

    Its weights are of int8 on the native engine, and it has no adapters.

    Args:
        model: the folder of the one that checks the guesses.

    Raises:
        UserError: they have different tokenizers, or see `open_runner`.
    """
    if load_tokenizer(folder).model != load_tokenizer(model).model:
        raise UserError(
            tr(
                f"draft: {folder} and {model} have different tokenizers; a draft model must have "
                f"the model's own",
                f"draft：{folder} 与 {model} 的分词器不同；草稿模型必须与模型使用同一分词器",
            )
        )
    options = replace(options, dtype=None, adapters={})
    if _engine(options) == "native":
        from qingtan.engine.weights import draft_precision

        options = replace(options, dtype=draft_precision(folder))
    return open_runner(folder, options)


def _engine(options: RunnerOptions) -> EngineName:
    engine = options.engine or ("native" if options.device == "cpu" else "torch")
    if engine not in get_args(EngineName):
        raise UserError(f"engine {engine!r} is none of {', '.join(get_args(EngineName))}")
    return engine


def _open_torch(folder: Path, options: RunnerOptions) -> Runner:
    try:
        from qingtan.engine.torch_runner import TorchRunner, parse_dtype
        from qingtan.glm.checkpoint import load_model, working_dtype
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError("the torch engine needs torch: pip install 'qingtan[train]'") from None
    wanted = parse_dtype(options.dtype)
    if wanted is None and options.device == "cpu":
        wanted = working_dtype(folder)
    model = load_model(folder, dtype=wanted, device=options.device)
    return TorchRunner(
        model,
        context=options.context,
        cache_bytes=options.cache_bytes or DEFAULT_CACHE_BYTES,
        adapters=options.adapters,
    )
