"""The models that are measured: random weights in several shapes, and the built-in one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from engine_peers.precisions import PRECISIONS
from engine_peers.processes import BENCHMARKS, BUILT_IN
from qingtan.engine.convert import convert
from qingtan.files import new_folder, write_json
from qingtan.glm.checkpoint import CONFIG_FILE, load_config
from qingtan.glm.config import GLMConfig
from qingtan.glm.tensor_files import open_tensors
from qingtan.glm.tokenizer import load_tokenizer

CHECKPOINT = "checkpoint"
DEVIATION = 0.02
# Of each width so many rows are drawn, which then stand in all matrices in another order.
DRAWN_ROWS = 4096
Tensors = dict[str, NDArray[np.float16]]


def _shape(vocab: int, hidden: int, layers: int, heads: int, ffn: int) -> GLMConfig:
    return GLMConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=2,
        head_dim=hidden // heads,
        intermediate_size=ffn,
        max_position_embeddings=8192,
    )


SHAPES = {
    "built-in": load_config(BUILT_IN),
    "25m": _shape(16_384, 384, 8, 6, 1024),
    "100m": _shape(65_024, 768, 12, 12, 2048),
    "6b": GLMConfig.named("chatglm3-6b"),
}


def prepare(shape: str, work: Path) -> Path:
    """Return the folder of a shape, with a checkpoint in transformers' layout, float16.

    Args:
        shape: a key of SHAPES.
        work: where folders of shapes are kept; 6b takes 12 GB, and 4 to 25 more a precision.
    """
    folder = work / shape
    if not (folder / CHECKPOINT).exists():
        with new_folder(folder / CHECKPOINT, CONFIG_FILE) as partial:
            config = SHAPES[shape]
            write_json(partial / CONFIG_FILE, config.to_transformers())
            load_tokenizer(BUILT_IN).save(partial)
            parts = read_built_in() if shape == "built-in" else draw_tensors(config)
            write_parts(partial, parts)
    return folder


def prepare_packed(folder: Path, precision: str) -> Path:
    """Return a folder with a shape's checkpoint in a precision, as `qingtan convert` writes it."""
    packed = folder / f"packed-{precision}"
    if not (packed / CHECKPOINT).exists():
        layers, head = PRECISIONS[precision]
        convert(folder / CHECKPOINT, packed / CHECKPOINT, layers, head=head)
    return packed


def prepare_gguf(folder: Path, precision: str, python: str) -> None:
    """Write a shape's checkpoint as a GGUF file of a precision, where that is missing.

    Args:
        python: the interpreter of llama.cpp's environment.
    """
    path = folder / f"{precision}.gguf"
    if not path.exists():
        arguments = [str(folder.absolute() / CHECKPOINT), str(path.absolute()), precision]
        command = [python, "-m", "engine_peers.write_gguf", *arguments]
        subprocess.run(command, check=True, cwd=BENCHMARKS)


def read_built_in() -> Iterator[Tensors]:
    """Yield the built-in model's tensors as one part."""
    stored, _ = open_tensors(BUILT_IN, allow_pickle=False)
    yield {name: tensor.to(torch.float16).numpy() for name, tensor in stored.items()}


def draw_tensors(config: GLMConfig) -> Iterator[Tensors]:
    """Yield random weights in parts: the tables, then layer by layer; biases too, norms of one."""
    matrices = Matrices()
    hidden, vocab, ffn = config.hidden_size, config.vocab_size, config.intermediate_size
    yield {"model.embed_tokens.weight": matrices.take(vocab, hidden)}
    yield {
        "lm_head.weight": matrices.take(vocab, hidden),
        "model.norm.weight": np.ones(hidden, np.float16),
    }
    heads = config.num_attention_heads * config.head_dim
    groups = config.num_key_value_heads * config.head_dim
    for layer in range(config.num_hidden_layers):
        part: Tensors = {
            "self_attn.o_proj.weight": matrices.take(hidden, heads),
            "mlp.gate_up_proj.weight": matrices.take(2 * ffn, hidden),
            "mlp.down_proj.weight": matrices.take(hidden, ffn),
        }
        for name, rows in (("q", heads), ("k", groups), ("v", groups)):
            part[f"self_attn.{name}_proj.weight"] = matrices.take(rows, hidden)
            part[f"self_attn.{name}_proj.bias"] = matrices.take(1, rows)[0]
        for name in ("input_layernorm", "post_attention_layernorm"):
            part[f"{name}.weight"] = np.ones(hidden, np.float16)
        yield {f"model.layers.{layer}.{name}": tensor for name, tensor in part.items()}


class Matrices:
    """Random matrices; drawing each anew would take minutes for billions of weights."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._drawn: dict[int, NDArray[np.float16]] = {}

    def take(self, rows: int, width: int) -> NDArray[np.float16]:
        """Return a matrix (rows, width) of normally distributed numbers."""
        if width not in self._drawn:
            normal = self._random.standard_normal((DRAWN_ROWS, width), np.float32)
            self._drawn[width] = (DEVIATION * normal).astype(np.float16)
        matrix = np.empty((rows, width), np.float16)
        for start in range(0, rows, DRAWN_ROWS):
            place = matrix[start : start + DRAWN_ROWS]
            chosen = self._random.permutation(DRAWN_ROWS)[: len(place)]
            np.take(self._drawn[width], chosen, axis=0, out=place)
        return matrix


def write_parts(folder: Path, parts: Iterator[Tensors]) -> None:
    """Write each part as a file of its own, with the index of them all."""
    weight_map: dict[str, str] = {}
    size = 0
    for number, part in enumerate(parts):
        file = f"model-{number:05d}.safetensors"
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
        size += sum(tensor.nbytes for tensor in part.values())
    index: dict[str, Any] = {"metadata": {"total_size": size}, "weight_map": weight_map}
    write_json(folder / "model.safetensors.index.json", index)
