"""A checkpoint made smaller: its matrices packed as the kernels read them, for a CPU."""

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from qingtan.engine.calibration import Calibration
from qingtan.engine.gptq import CALIBRATED
from qingtan.engine.sources import Source
from qingtan.engine.weights import choose_quantization
from qingtan.errors import UserError
from qingtan.files import check_free, new_folder, write_json, write_text
from qingtan.glm.digests import digest_weights
from qingtan.glm.layouts import CONFIG_FILE, tensor_shapes
from qingtan.glm.packed import Tensor, check_packable, stored_quantization, write_packed
from qingtan.glm.quantization import PACKED_FIELD, Precision, Quantization
from qingtan.glm.stored import Stored
from qingtan.glm.tokenizer import load_tokenizer
from qingtan.native import Pool, usable_processors
from qingtan.provenance import ATTRIBUTIONS_FILE, PROVENANCE_FILE, Step, checkpoint_provenance

# What stays behind: the tensors, in whatever form, their index, what is written anew, and programs
# that read the original's tensors.
_LEFT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf", ".py")
_LEFT_ENDS = (*_LEFT_SUFFIXES, ".index.json", CONFIG_FILE, PROVENANCE_FILE, ATTRIBUTIONS_FILE)
_KEPT = ("generation_config.json", "tokenizer_config.json")
# A model's cards, each with what is said in it of the conversion.
_NOTES = {
    "README.md": (
        "\n## Conversion\n\n"
        "The matrices of this checkpoint were rounded by `qingtan convert`{how}: those of the "
        "layers to {precision}, the embedding and the head to {head}. Every figure above was "
        "measured before that, on the weights with the digest `{digest}`.\n"
    ),
    "README.zh-CN.md": (
        "\n## 转换\n\n"
        "本检查点的矩阵经 `qingtan convert` 舍入{how}："
        "各层为 {precision}，词嵌入与输出头为 {head}。"
        "以上数字均在转换之前测得，其权重摘要为 `{digest}`。\n"
    ),
}


_CALIBRATED = {
    "README.md": " with GPTQ on {calibration_tokens:,} tokens of text",
    "README.zh-CN.md": "（GPTQ，以 {calibration_tokens:,} 个词元的文本校准）",
}


@dataclass(frozen=True)
class Converted:
    """What a conversion made.

    Attributes:
        folder: of the packed checkpoint.
        quantization: the precisions that it has.
        bytes_before, bytes_after: of the tensors.
    """

    folder: Path
    quantization: Quantization
    bytes_before: int
    bytes_after: int


def convert(
    source: str | Path,
    folder: str | Path,
    precision: Precision,
    *,
    head: Precision | None = None,
    calibration: Sequence[Sequence[int]] | None = None,
    replace: bool = False,
) -> Converted:
    """Write a checkpoint as a packed one, one tensor after another, whole or not at all.

    Everything else that belongs to the model goes along: tokenizer, defaults, licences, and the
    cards, which say what was done, as the provenance does.

    Args:
        source: a checkpoint of safetensors, of plain floats or with ChatGLM3's own quantization,
            whose numbers are kept exactly.
        folder: to make.
        precision: of the layers' matrices.
        head: of the embedding and head; by default int8 beside int8 and int4, else the same.
        calibration: token ids of texts, by which the layers' matrices are rounded so that their
            products change little (`engine.gptq`); None rounds each number for itself.
        replace: replace a checkpoint that is there.

    Raises:
        UserError: the source is missing, damaged, packed already or cannot have this precision,
            the calibration cannot be used, or the folder is in the way; the message says what to
            do.
    """
    source, folder = Path(source), Path(folder)
    check_free(folder, CONFIG_FILE, replace)
    opened = Source.open(source)
    stored = stored_quantization(source)
    target = choose_quantization(source, opened.config, stored, precision, head)
    check_packable(source, opened.config, target)
    tensors = _packing(opened, target, calibration)
    load_tokenizer(source)  # a checkpoint without one is of no use
    with new_folder(folder, CONFIG_FILE, replace) as partial:
        _copy_rest(source, partial)
        values = opened.config.to_chatglm() | {PACKED_FIELD: target.to_json()}
        write_json(partial / CONFIG_FILE, values)
        write_packed(partial, opened.config, target, tensors)
        _record(source, partial, target, calibration)
        after = sum(path.stat().st_size for path in partial.glob("*.safetensors"))
    return Converted(folder, target, _size(opened.stored), after)


def _packing(
    opened: Source, target: Quantization, calibration: Sequence[Sequence[int]] | None
) -> Iterator[tuple[str, Tensor]]:
    """Return the packed tensors one after another, with a bar that shows how much is done."""
    pool = Pool(usable_processors())
    if calibration is None:
        return _shown(opened.tensors(target, pool), opened)
    if opened.quantized:
        raise UserError(
            f"{opened.folder}: is quantized already, and keeps its numbers: leave the calibration "
            "out, or name the original checkpoint"
        )
    if target.precision not in CALIBRATED:
        raise UserError(
            f"a calibration is for {' and '.join(CALIBRATED)}, not for {target.precision}: leave "
            "it out"
        )
    return _shown(Calibration(opened, target, calibration, pool).tensors(), opened)


def _shown(tensors: Iterator[tuple[str, Tensor]], opened: Source) -> Iterator[tuple[str, Tensor]]:
    total = opened.config.num_parameters
    with tqdm(total=total, unit=" weights", unit_scale=True, disable=None) as bar:
        for name, tensor in tensors:
            yield name, tensor
            bar.update(math.prod(tensor_shapes(opened.config)[name]))


def _copy_rest(source: Path, target: Path) -> None:
    for path in sorted(source.iterdir()):
        left = path.name.startswith(".") or (
            path.name.endswith(_LEFT_ENDS) and path.name not in _KEPT
        )
        if path.is_file() and not left:
            shutil.copyfile(path, target / path.name)


def _record(
    source: Path,
    target: Path,
    quantization: Quantization,
    calibration: Sequence[Sequence[int]] | None,
) -> None:
    """Write what was done into the provenance and the cards."""
    digest = digest_weights(source)
    details: dict[str, Any] = {
        "precision": quantization.precision,
        "head": quantization.head or "",
    }
    if calibration is not None:
        details |= {"method": "GPTQ", "calibration_tokens": sum(map(len, calibration))}
    step = Step.now("convert", **details, source_weights_sha256=digest)
    checkpoint_provenance(source).with_step(step).write(target)
    for name, note in _NOTES.items():
        card = target / name
        if card.is_file():
            text = card.read_text(encoding="utf-8")
            how = "" if calibration is None else _CALIBRATED[name].format(**details)
            said = note.format(digest=digest, how=how, **details)
            write_text(card, text.rstrip("\n") + "\n" + said)


def _size(stored: dict[str, Stored]) -> int:
    return sum(tensor.nbytes for tensor in stored.values())
