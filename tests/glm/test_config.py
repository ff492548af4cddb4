"""The configuration: sizes, parameter counts, both published forms, and what is refused."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qingtan.errors import UserError
from qingtan.glm.config import SIZES, GLMConfig
from qingtan.glm.model import GLM

from .samples import BASE, SHAPES

NAMED = pytest.mark.parametrize("name", SIZES)


@NAMED
def test_both_forms_carry_every_size(name: str) -> None:
    config = SIZES[name]
    assert GLMConfig.from_json(config.to_chatglm()) == config
    assert GLMConfig.from_json(config.to_transformers()) == config


@given(
    groups=st.integers(1, 4),
    share=st.integers(1, 4),
    pairs=st.integers(1, 8),
    sizes=st.tuples(*[st.integers(1, 10**6)] * 5),
    eps=st.floats(1e-9, 1e-2),
    ratio=st.sampled_from([1.0, 0.5, 50.0, 500.0]),
    flags=st.tuples(st.booleans(), st.booleans()),
    eos=st.lists(st.integers(0, 10**6), min_size=1, max_size=3),
)
def test_both_forms_carry_any_shape(
    groups: int,
    share: int,
    pairs: int,
    sizes: tuple[int, ...],
    eps: float,
    ratio: float,
    flags: tuple[bool, bool],
    eos: list[int],
) -> None:
    vocabulary, hidden, layers, ffn, context = sizes
    config = GLMConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=groups * share,
        num_key_value_heads=groups,
        head_dim=4 * pairs,
        intermediate_size=ffn,
        max_position_embeddings=context,
        rms_norm_eps=eps,
        rope_theta=10_000.0 * ratio,
        tie_word_embeddings=flags[0],
        attention_bias=flags[1],
        eos_token_id=tuple(eos),
    )
    assert GLMConfig.from_json(config.to_chatglm()) == config
    assert GLMConfig.from_json(config.to_transformers()) == config


@pytest.mark.parametrize("config", [*SIZES.values(), *SHAPES.values()])
def test_parameters_are_those_of_the_model(config: GLMConfig) -> None:
    with torch.device("meta"):
        model = GLM(config)
    assert config.num_parameters == sum(p.numel() for p in model.parameters())


def test_sizes_are_what_they_are_called_for() -> None:
    millions = {name: config.num_parameters / 1e6 for name, config in SIZES.items()}
    assert millions["tiny"] < 1
    expected = {"student": 31, "mid": 67, "flagship": 98, "chatglm3-6b": 6244, "glm-4-9b": 9400}
    assert {name: round(millions[name]) for name in expected} == expected


def test_chatglm_without_grouped_heads_has_a_group_a_head() -> None:
    values = BASE.to_chatglm() | {"multi_query_attention": False}
    assert GLMConfig.from_json(values).num_key_value_heads == BASE.num_attention_heads


def test_an_unknown_size_is_named_with_the_known() -> None:
    with pytest.raises(UserError, match=r"'huge' is none of mini, tiny, pocket, laptop"):
        GLMConfig.named("huge")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rmsnorm", False),
        ("post_layer_norm", False),
        ("original_rope", False),
        ("add_bias_linear", True),
        ("apply_residual_connection_post_layernorm", True),
        ("hidden_dropout", 0.1),
        ("attention_dropout", 0.1),
        ("quantization_bit", 3),
        ("pre_seq_len", 128),
        ("rope_scaling", {"type": "linear"}),
        ("a_new_field", 1),
        ("num_layers", "28"),
        ("num_layers", True),
        ("hidden_size", 0),
        ("kv_channels", 6),
        ("layernorm_epsilon", None),
        ("multi_query_group_num", 3),
        ("tie_word_embeddings", "false"),
    ],
)
def test_what_would_change_a_chatglm_is_refused(field: str, value: Any) -> None:
    ours = {"kv_channels": "head_dim", "multi_query_group_num": "num_key_value_heads"}
    with pytest.raises(UserError, match=ours.get(field, field)):
        GLMConfig.from_json(BASE.to_chatglm() | {field: value})


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("hidden_act", "gelu", "hidden_act"),
        ("attention_dropout", 0.1, "attention_dropout"),
        ("rope_parameters", {"rope_type": "yarn"}, "yarn"),
        ("rope_parameters", {"rope_type": "default", "partial_rotary_factor": 1.0}, "1.0"),
        ("quantization_config", {"bits": 4}, "quantization_config"),
        ("rope_scaling", {"factor": 2}, "rope_scaling"),
        ("a_new_field", None, "a_new_field"),
        ("vocab_size", 3.5, "vocab_size"),
        ("num_key_value_heads", 0, "num_key_value_heads"),
        ("attention_bias", 1, "attention_bias"),
    ],
)
def test_what_would_change_a_transformers_glm_is_refused(
    field: str, value: Any, named: str
) -> None:
    with pytest.raises(UserError, match=f"here: .*{named}"):
        GLMConfig.from_json(BASE.to_transformers() | {field: value}, "here")


@pytest.mark.parametrize("field", ["num_layers", "multi_query_attention", "add_qkv_bias"])
def test_a_missing_field_is_named(field: str) -> None:
    values = BASE.to_chatglm()
    del values[field]
    with pytest.raises(UserError, match=f"here: the field '{field}' is missing"):
        GLMConfig.from_json(values, "here")


@pytest.mark.parametrize("kind", ["llama", None, 3])
def test_other_models_are_refused(kind: Any) -> None:
    with pytest.raises(UserError, match=f"here: model_type {kind!r} is none of chatglm, glm"):
        GLMConfig.from_json({"model_type": kind}, "here")


def test_a_rope_of_the_wrong_type_is_an_error() -> None:
    with pytest.raises(UserError, match="here: "):
        GLMConfig.from_json(BASE.to_chatglm() | {"rope_ratio": "50"}, "here")


def test_a_prefix_is_no_model_and_a_model_without_one_may_say_so() -> None:
    values = GLMConfig.named("tiny").to_chatglm()
    off = {"pre_seq_len": None, "prefix_projection": False}
    assert GLMConfig.from_json({**values, **off}) == GLMConfig.from_json(values)
    with pytest.raises(UserError, match="pre_seq_len is 16, so this is a P-Tuning v2 prefix"):
        GLMConfig.from_json({**values, "pre_seq_len": 16})
