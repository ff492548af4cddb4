"""Writes a checkpoint in transformers' layout as a GGUF file for llama.cpp.

PYTHONPATH=benchmarks python -m engine_peers.write_gguf CHECKPOINT FILE PRECISION

Keys and tensors are those of the architecture `chatglm` (ChatGLM3's joint QKV, gate before up), as
llama.cpp's own converter writes them. The vocabulary is made up: only numbers of tokens are ever
given to the model.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf  # type: ignore[import-not-found]
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray
from safetensors import safe_open

from engine_peers.precisions import PRECISIONS

TYPES = {"float32": Type.F32, "int8": Type.Q8_0, "int4": Type.Q4_0}
TABLES = ("token_embd.weight", "output.weight")
# Our name without the layer → theirs, and what stands joined in it.
TENSORS = {
    "model.embed_tokens": ("token_embd", [""]),
    "input_layernorm": ("attn_norm", [""]),
    "self_attn": ("attn_qkv", [".q_proj", ".k_proj", ".v_proj"]),
    "self_attn.o_proj": ("attn_output", [""]),
    "post_attention_layernorm": ("ffn_norm", [""]),
    "mlp.gate_up_proj": ("ffn_up", [""]),
    "mlp.down_proj": ("ffn_down", [""]),
    "model.norm": ("output_norm", [""]),
    "lm_head": ("output", [""]),
}
Matrix = NDArray[Any]


def main() -> None:
    """Write the file beside, then rename it."""
    checkpoint, path, precision = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    partial = path.with_name(f".{path.name}.partial")
    config = json.loads((checkpoint / "config.json").read_text())
    stored = Stored(checkpoint)
    writer = gguf.GGUFWriter(partial, "chatglm")
    add_config(writer, config)
    add_vocabulary(writer, config["vocab_size"])
    tensors = list(list_tensors(stored, config["num_hidden_layers"]))
    for name, parts in tensors:
        add_info(writer, name, stored.shape(parts), type_of(name, stored.shape(parts), precision))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, parts in tensors:
        tensor = stored.joined(parts)
        writer.write_tensor_data(gguf.quantize(tensor, type_of(name, tensor.shape, precision)))
    writer.close()
    partial.replace(path)


class Stored:
    """The tensors of a checkpoint, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        files: list[Any] = [safe_open(path, "np") for path in sorted(folder.glob("*.safetensors"))]
        self._files = {name: file for file in files for name in file.keys()}  # noqa: SIM118

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def shape(self, parts: list[str]) -> tuple[int, ...]:
        """Return the shape of tensors joined by their rows."""
        shapes = [self._files[part].get_slice(part).get_shape() for part in parts]
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def joined(self, parts: list[str]) -> Matrix:
        """Return tensors joined by their rows, float32."""
        tensors = [self._files[part].get_tensor(part) for part in parts]
        return np.concatenate(tensors).astype(np.float32, copy=False)


def list_tensors(stored: Stored, layers: int) -> Iterator[tuple[str, list[str]]]:
    """Yield llama.cpp's names, and the stored tensors that each joins."""
    for ours, (theirs, parts) in TENSORS.items():
        whole = ours.startswith(("model.", "lm_head"))
        for layer in range(1 if whole else layers):
            prefix, block = ("", "") if whole else (f"model.layers.{layer}.", f"blk.{layer}.")
            for kind in ("weight", "bias"):
                names = [f"{prefix}{ours}{part}.{kind}" for part in parts]
                if names[0] in stored:
                    yield f"{block}{theirs}.{kind}", names


def type_of(name: str, shape: tuple[int, ...], precision: str) -> Type:
    """Return the type of a tensor: vectors stay float32, rows of no whole groups are fp16."""
    wanted = TYPES[PRECISIONS[precision][name in TABLES]]
    if len(shape) == 1 or wanted == Type.F32:
        return Type.F32
    return wanted if shape[1] % 32 == 0 else Type.F16


def add_info(writer: gguf.GGUFWriter, name: str, shape: tuple[int, ...], kind: Type) -> None:
    """Announce a tensor that is written later."""
    if kind in (Type.F32, Type.F16):
        dtype = np.dtype(np.float32 if kind == Type.F32 else np.float16)
        writer.add_tensor_info(name, shape, dtype, int(np.prod(shape)) * dtype.itemsize)
        return
    stored = gguf.quants.quant_shape_to_byte_shape(shape, kind)
    writer.add_tensor_info(name, stored, np.dtype(np.uint8), int(np.prod(stored)), raw_dtype=kind)


def add_config(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    """Write the model's shape."""
    rotary = config["rope_parameters"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(int(config["head_dim"] * rotary["partial_rotary_factor"]))
    writer.add_rope_freq_base(rotary["rope_theta"])


def add_vocabulary(writer: gguf.GGUFWriter, size: int) -> None:
    """Write a SentencePiece vocabulary of three special tokens, all bytes, and made-up words."""
    special = ["<unk>", "<bos>", "<eos>"]
    pieces = [*special, *(f"<0x{i:02X}>" for i in range(256))]
    pieces += [f"word{i}" for i in range(size - len(pieces))]
    token = gguf.TokenType
    kinds = [token.UNKNOWN, token.CONTROL, token.CONTROL, *[token.BYTE] * 256]
    kinds += [token.NORMAL] * (size - len(kinds))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("chatglm-spm")
    writer.add_token_list(pieces)
    writer.add_token_scores([-float(i) for i in range(size)])
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)


if __name__ == "__main__":
    main()
