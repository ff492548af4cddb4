"""P-Tuning v2 (2110.07602): learned keys and values instead of a prompt, and its stored forms.

Shapes as in `model.py`: P virtual tokens, L layers, G key-value heads, W head width; a virtual
token's keys and values are a row of K = L · 2 · G · W numbers, the layer slowest, keys first.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qingtan.errors import UserError
from qingtan.files import new_folder, write_json
from qingtan.glm.adapter_files import torch_opener
from qingtan.glm.config import GLMConfig
from qingtan.glm.layouts import CONFIG_FILE
from qingtan.glm.peft_config import ADAPTER_CONFIG_FILE, ADAPTER_STEMS
from qingtan.glm.prefix_tensors import PEFT_TENSOR, chatglm_name, peft_shape, read_stored_prefix
from qingtan.glm.tensor_files import save_tensors

# A layout's marker among the files.
_MARKERS = {"chatglm": CONFIG_FILE, "peft": ADAPTER_CONFIG_FILE}


class PrefixEncoder(nn.Module):
    """Makes the keys and values that stand before every layer's own; see `GLM.forward`.

    Args:
        length: P, the number of virtual tokens.
        projection: pass the rows (P, K) through Linear, tanh, Linear (ChatGLM's
            `prefix_projection`), instead of learning keys and values directly.
    """

    def __init__(self, config: GLMConfig, length: int, projection: bool = False) -> None:
        super().__init__()
        self.config = config
        width = config.num_hidden_layers * 2 * config.num_key_value_heads * config.head_dim
        self.embedding = nn.Embedding(length, width)
        self.projection: nn.Module = nn.Identity()
        if projection:
            self.projection = nn.Sequential(
                nn.Linear(width, config.hidden_size),
                nn.Tanh(),
                nn.Linear(config.hidden_size, width),
            )
        self.dropout = nn.Dropout(0.1)

    @property
    def length(self) -> int:
        """P, the number of virtual tokens."""
        return self.embedding.num_embeddings

    @property
    def has_projection(self) -> bool:
        """Whether the rows are made by two linear layers."""
        return isinstance(self.projection, nn.Sequential)

    def rows(self) -> Tensor:
        """Return the keys and values by virtual token, (P, K), without dropout."""
        rows: Tensor = self.projection(self.embedding.weight)
        return rows

    def forward(self) -> Tensor:
        """Return the prefix (L, 2, G, P, W)."""
        c = self.config
        flat = self.dropout(self.rows())
        shape = (len(flat), c.num_hidden_layers, 2, c.num_key_value_heads, c.head_dim)
        prefix: Tensor = flat.view(shape).permute(1, 2, 3, 0, 4)
        return prefix


def init_prefix(encoder: PrefixEncoder, seed: int = 0) -> PrefixEncoder:
    """Draw a prefix's weights, the same ones for the same seed; return it.

    As torch draws them, whose defaults ChatGLM takes: the embedding normal with deviation 1, the
    linear layers uniform within 1/√inputs.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            drawn = torch.empty(parameter.shape)
            if name == "embedding.weight":
                nn.init.normal_(drawn, generator=generator)
            else:
                layer = encoder.get_submodule(name.rpartition(".")[0])
                assert isinstance(layer, nn.Linear)
                bound = 1 / math.sqrt(layer.in_features)
                nn.init.uniform_(drawn, -bound, bound, generator=generator)
            parameter.copy_(drawn)
    return encoder


def save_prefix(
    encoder: PrefixEncoder,
    folder: str | Path,
    *,
    base: str = "",
    layout: str = "chatglm",
    replace: bool = False,
) -> None:
    """Write a prefix, whole or not at all.

    Args:
        base: the name or the path of the model that it belongs to, for people and for PEFT.
        layout: "chatglm" for ChatGLM's published form, a `config.json` with `pre_seq_len` beside
            the tensors of its `prefix_encoder`; "peft" for PEFT's PREFIX_TUNING, as ChatGLM3's
            fine-tuning demo writes it, which stores a projection's result. Both count a text's
            positions from its own start, as ChatGLM's code does; transformers' `GlmForCausalLM`
            counts them from the prefix's start unless it is given `position_ids`.
        replace: a prefix that is there is replaced, once the new one is whole.

    Raises:
        UserError: there is no such layout, or the folder exists and is not to be replaced.
    """
    _check_layout(layout)
    with new_folder(folder, _MARKERS[layout], replace) as partial:
        write_prefix(encoder, partial, base=base, layout=layout)


def write_prefix(
    encoder: PrefixEncoder, folder: Path, *, base: str = "", layout: str = "chatglm"
) -> None:
    """Write a prefix's files into a folder, for a caller who adds to them; see `save_prefix`."""
    _check_layout(layout)
    if layout == "peft":
        write_json(folder / ADAPTER_CONFIG_FILE, _peft_config(encoder, base))
        tensors, stem = {PEFT_TENSOR: encoder.rows()}, ADAPTER_STEMS[0]
    else:
        write_json(
            folder / CONFIG_FILE,
            {
                **encoder.config.to_chatglm(),
                "_name_or_path": base,
                "pre_seq_len": encoder.length,
                "prefix_projection": encoder.has_projection,
            },
        )
        state = encoder.state_dict()
        tensors = {f"transformer.{chatglm_name(name)}": tensor for name, tensor in state.items()}
        stem = "model"
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_tensors(plain, folder / f"{stem}.safetensors")


def load_prefix(config: GLMConfig, folder: str | Path, allow_pickle: bool = False) -> PrefixEncoder:
    """Read a prefix, in float32 and without dropout (`eval`).

    Args:
        config: the model's that it is for.
        folder: what `save_prefix` wrote; or a checkpoint of ChatGLM's P-Tuning v2, which may have
            the model's tensors too, and its names with or without `transformer.`; or a prefix of
            PEFT's PREFIX_TUNING.
        allow_pickle: read `pytorch_model.bin` or `adapter_model.bin` where there are no
            safetensors, with `weights_only`.

    Raises:
        UserError: the prefix is of a model with another shape, or a file or tensor is missing,
            damaged, or unknown; the message names the file and the field or tensor.
    """
    stored = read_stored_prefix(config, Path(folder), torch_opener(allow_pickle))
    # Drawing what is about to be replaced must not change what else is drawn.
    with torch.random.fork_rng(devices=[]):
        encoder = PrefixEncoder(config, stored.length, stored.has_projection)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            parameter.copy_(torch.from_numpy(stored.tensors[name]))
    return encoder.eval()


def _check_layout(layout: str) -> None:
    if layout not in _MARKERS:
        raise UserError(f"layout {layout!r} is none of {', '.join(_MARKERS)}")


def _peft_config(encoder: PrefixEncoder, base: str) -> dict[str, Any]:
    return {
        "peft_type": "PREFIX_TUNING",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "num_virtual_tokens": encoder.length,
        **peft_shape(encoder.config),
        "num_transformer_submodules": 1,
        "encoder_hidden_size": encoder.config.hidden_size,
        "prefix_projection": False,
    }
