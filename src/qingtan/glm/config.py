"""The shape of a GLM, with named sizes, and its two published forms of `config.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qingtan.errors import UserError
from qingtan.glm.quantization import STORAGE_FIELDS, Quantization


@dataclass(frozen=True)
class GLMConfig:
    """Everything that the mathematics of a GLM depends on; names as in transformers' `glm`.

    Attributes:
        vocab_size: rows of the embedding, padding rows included.
        hidden_size: width of the residual stream.
        num_hidden_layers: transformer blocks.
        num_attention_heads: query heads.
        num_key_value_heads: heads of keys and values; each serves a group of query heads.
        head_dim: width of a head; rotary positions turn its first half.
        intermediate_size: width of the gate and of the up projection.
        max_position_embeddings: context in tokens.
        rms_norm_eps: epsilon of RMSNorm.
        rope_theta: base of the rotary frequencies (ChatGLM3: 10000 × rope_ratio).
        tie_word_embeddings: the head shares the embedding's weight.
        attention_bias: whether the QKV projection has a bias.
        eos_token_id: tokens that end a generation.
        pad_token_id: padding.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    max_position_embeddings: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    tie_word_embeddings: bool = False
    attention_bias: bool = True
    eos_token_id: tuple[int, ...] = field(default=(2,))
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        if self.num_attention_heads % self.num_key_value_heads:
            raise UserError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        if self.head_dim % 4:
            raise UserError(f"head_dim {self.head_dim}: half of it must hold whole rotary pairs")

    @classmethod
    def named(cls, name: str, **changes: Any) -> "GLMConfig":
        """Return a named size (a key of SIZES), with some fields changed.

        Raises:
            UserError: there is no such size.
        """
        if name not in SIZES:
            raise UserError(f"model size {name!r} is none of {', '.join(SIZES)}")
        return replace(SIZES[name], **changes)

    @property
    def num_parameters(self) -> int:
        """Parameters, a tied head counted once."""
        qkv = self.hidden_size * self.qkv_size + self.qkv_size * self.attention_bias
        out = self.num_attention_heads * self.head_dim * self.hidden_size
        mlp = 3 * self.hidden_size * self.intermediate_size
        layer = qkv + out + mlp + 2 * self.hidden_size
        tables = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return self.num_hidden_layers * layer + tables + self.hidden_size

    @property
    def qkv_size(self) -> int:
        """Rows of the joint projection of queries, keys and values."""
        return (self.num_attention_heads + 2 * self.num_key_value_heads) * self.head_dim

    @classmethod
    def from_json(cls, values: Mapping[str, Any], origin: str = "config.json") -> "GLMConfig":
        """Read ChatGLM3's `config.json` or transformers' `glm` one.

        Raises:
            UserError: another `model_type`, a missing field, or a field whose value (or whose very
                presence) would change the mathematics; the message names it.
        """
        readers = {"chatglm": _from_chatglm, "glm": _from_transformers}
        kind = values.get("model_type")
        if kind not in readers:
            raise UserError(f"{origin}: model_type {kind!r} is none of {', '.join(readers)}")
        try:
            return readers[kind](values, origin)
        except KeyError as error:
            raise UserError(f"{origin}: the field {error} is missing") from None
        except TypeError as error:
            raise UserError(f"{origin}: a field is of the wrong type: {error}") from None

    def to_chatglm(self) -> dict[str, Any]:
        """Return ChatGLM3's `config.json`."""
        return {
            "model_type": "chatglm",
            "architectures": ["ChatGLMForConditionalGeneration"],
            **{name: getattr(self, ours) for name, ours in _CHATGLM_NAMES.items()},
            **_CHATGLM_FIXED,
            "multi_query_attention": True,
            "rope_ratio": self.rope_theta / 10_000,
            "eos_token_id": _json_eos(self.eos_token_id),
        }

    def to_transformers(self) -> dict[str, Any]:
        """Return the `config.json` that transformers' `GlmForCausalLM` reads."""
        return {
            "model_type": "glm",
            "architectures": ["GlmForCausalLM"],
            **{name: getattr(self, name) for name in _TRANSFORMERS_NAMES},
            **_TRANSFORMERS_FIXED,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": self.rope_theta,
                "partial_rotary_factor": 0.5,
            },
            "eos_token_id": _json_eos(self.eos_token_id),
        }


# ChatGLM3's name → ours, for the fields that carry over as they are.
_CHATGLM_NAMES = {
    "num_layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "ffn_hidden_size": "intermediate_size",
    "kv_channels": "head_dim",
    "num_attention_heads": "num_attention_heads",
    "multi_query_group_num": "num_key_value_heads",
    "padded_vocab_size": "vocab_size",
    "seq_length": "max_position_embeddings",
    "layernorm_epsilon": "rms_norm_eps",
    "add_qkv_bias": "attention_bias",
    "tie_word_embeddings": "tie_word_embeddings",
    "pad_token_id": "pad_token_id",
}
# What this model computes, and what another value would change.
_CHATGLM_FIXED: dict[str, Any] = {
    "rmsnorm": True,
    "post_layer_norm": True,
    "original_rope": True,
    "add_bias_linear": False,
    "apply_residual_connection_post_layernorm": False,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
}
# What a checkpoint may say that it has not.
_CHATGLM_OFF: dict[str, Any] = {"pre_seq_len": 0, "prefix_projection": False}
_TRANSFORMERS_NAMES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "attention_bias",
    "pad_token_id",
)
_TRANSFORMERS_FIXED: dict[str, Any] = {"hidden_act": "silu", "attention_dropout": 0.0}
# Fields that change nothing of what the model computes: bookkeeping, fused variants of the same
# formula (apply_query_key_layer_scaling divides and multiplies by the layer's number), and
# training-time settings.
_HARMLESS = frozenset(
    [
        "_name_or_path",
        "architectures",
        "auto_map",
        "model_type",
        "torch_dtype",
        "dtype",
        "transformers_version",
        "use_cache",
        "vocab_size",
        "apply_query_key_layer_scaling",
        "attention_softmax_in_fp32",
        "bias_dropout_fusion",
        "fp32_residual_connection",
        "classifier_dropout",
        "multi_query_attention",
        "rope_ratio",
        "rope_parameters",
        "rope_theta",
        "partial_rotary_factor",
        "eos_token_id",
        "bos_token_id",
        "pad_token_id",
        "tie_word_embeddings",
        "initializer_range",
        "return_dict",
        "output_attentions",
        "output_hidden_states",
        "chunk_size_feed_forward",
        "is_encoder_decoder",
        "id2label",
        "label2id",
        "problem_type",
        "task_specific_params",
    ]
)


def _from_chatglm(values: Mapping[str, Any], origin: str) -> GLMConfig:
    if values.get("pre_seq_len"):
        raise UserError(
            f"{origin}: pre_seq_len is {values['pre_seq_len']}, so this is a P-Tuning v2 prefix; "
            "name its folder as an adapter, beside the model that it is for"
        )
    Quantization.from_json(values, origin)  # how the tensors are stored, not what they compute
    known = {name: value for name, value in values.items() if name not in STORAGE_FIELDS}
    _check_fields(known, origin, _CHATGLM_NAMES, {**_CHATGLM_FIXED, **_CHATGLM_OFF})
    # ChatGLM3's configuration class leaves these two to their defaults when they are absent.
    filled = {"tie_word_embeddings": False, "pad_token_id": 0, **values}
    if not values["multi_query_attention"]:
        filled["multi_query_group_num"] = values["num_attention_heads"]
    return GLMConfig(
        **{ours: filled[name] for name, ours in _CHATGLM_NAMES.items()},
        rope_theta=10_000.0 * values.get("rope_ratio", 1.0),
        eos_token_id=_eos_tuple(values.get("eos_token_id", 2)),
    )


def _from_transformers(values: Mapping[str, Any], origin: str) -> GLMConfig:
    _check_fields(values, origin, _TRANSFORMERS_NAMES, _TRANSFORMERS_FIXED)
    # Before transformers 5 the two stood at the top level.
    rope = dict(values.get("rope_parameters") or {})
    kind = rope.get("rope_type", "default")
    share = rope.get("partial_rotary_factor", values.get("partial_rotary_factor", 0.5))
    if kind != "default" or share != 0.5:
        raise UserError(
            f"{origin}: rope_parameters with rope_type {kind!r} and partial_rotary_factor {share} "
            "are not supported; GLM has 'default' and 0.5"
        )
    names = [name for name in _TRANSFORMERS_NAMES if name in values or name != "pad_token_id"]
    filled = {"tie_word_embeddings": False, "attention_bias": True, **values}
    return GLMConfig(
        **{name: filled[name] for name in names},
        rope_theta=float(rope.get("rope_theta", values.get("rope_theta", 10_000.0))),
        eos_token_id=_eos_tuple(values.get("eos_token_id", 2)),
    )


def _check_fields(
    values: Mapping[str, Any],
    origin: str,
    read: Mapping[str, str] | tuple[str, ...],
    fixed: Mapping[str, Any],
) -> None:
    for name, value in values.items():
        if name in fixed:
            if value != fixed[name] and not (value is None and not fixed[name]):
                raise UserError(f"{origin}: {name} is {value!r}; only {fixed[name]!r} is supported")
        elif name in read:
            ours = read[name] if isinstance(read, Mapping) else name
            if not _is_of_its_type(ours, value):
                raise UserError(f"{origin}: {name} is {value!r}, which it cannot be")
        elif name not in _HARMLESS:
            raise UserError(f"{origin}: the field {name!r} is not known, and may change the model")


def _is_of_its_type(name: str, value: Any) -> bool:
    if name in ("tie_word_embeddings", "attention_bias"):
        return isinstance(value, bool)
    if name == "rms_norm_eps":
        return isinstance(value, float | int) and value > 0
    return type(value) is int and value >= (0 if name == "pad_token_id" else 1)


def _eos_tuple(value: int | list[int] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)


def _json_eos(ids: tuple[int, ...]) -> int | list[int]:
    return ids[0] if len(ids) == 1 else list(ids)


def _own(vocab_size: int, hidden_size: int, layers: int, heads: int, ffn: int) -> GLMConfig:
    """Return one of the project's own sizes: two key-value groups, a tied head, 1,024 tokens."""
    return GLMConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=2,
        head_dim=hidden_size // heads,
        intermediate_size=ffn,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )


_CHATGLM3_6B = GLMConfig(
    vocab_size=65_024,
    hidden_size=4096,
    num_hidden_layers=28,
    num_attention_heads=32,
    num_key_value_heads=2,
    head_dim=128,
    intermediate_size=13_696,
    max_position_embeddings=8192,
)
# Named sizes. `mini` and `tiny` are for tests and examples; `pocket`, `laptop` and `desk` are what
# two processor cores can train in an hour or a few; the next three are for a GPU, the last three
# are published models.
SIZES = {
    "mini": _own(1024, 32, 1, 2, 88),
    "tiny": _own(1024, 64, 2, 4, 176),
    "pocket": _own(8064, 128, 4, 2, 352),
    "laptop": _own(8064, 192, 6, 4, 512),
    "desk": _own(8064, 256, 6, 4, 688),
    "student": _own(16_384, 512, 8, 8, 1408),
    "mid": _own(24_576, 640, 12, 10, 1728),
    "flagship": _own(32_768, 768, 12, 12, 2048),
    "chatglm3-6b": _CHATGLM3_6B,
    "chatglm3-6b-32k": replace(_CHATGLM3_6B, rope_theta=500_000.0, max_position_embeddings=32_768),
    "glm-4-9b": replace(
        _CHATGLM3_6B,
        vocab_size=151_552,
        num_hidden_layers=40,
        rms_norm_eps=1.5625e-7,
        eos_token_id=(151_329, 151_336, 151_338),
        pad_token_id=151_329,
    ),
}
