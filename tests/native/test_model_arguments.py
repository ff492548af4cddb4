"""Nothing malformed reaches the model: steps, layers, models and adapters are refused by name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.native import reference as ref
from tests.native.reference import PLAIN, Floats, Native, low_rank, native, packed

from qingtan.native import Cache, Layer, Matrix, Model, Pool


def good_step(model: Native) -> dict[str, Any]:
    return {
        "tokens": np.array([1, 2, 3, 4, 5], np.int32),
        "sequences": np.array([[4, 6, 3, -1], [1, 0, 0, 0]], np.int32),
        "tables": np.array([[5, 0], [7, -1]], np.int32),
        "rows": np.array([4, 0], np.int32),
        "cache": model.cache(8),
        "logits": np.zeros((2, PLAIN.vocabulary), np.float32),
        "pooled": np.array([0, 1], np.int32),
        "hidden": np.zeros((2, PLAIN.hidden), np.float32),
    }


def changed(name: str, place: tuple[int, ...], value: int) -> Callable[[dict[str, Any]], None]:
    def change(step: dict[str, Any]) -> None:
        step[name][place] = value

    return change


def with_cache(layers: int, groups: int, head_dim: int) -> Callable[[dict[str, Any]], None]:
    return lambda step: step.update(cache=Cache(layers, groups, head_dim, 8, ref.BLOCK_TOKENS))


def replaced(name: str, array: NDArray[Any]) -> Callable[[dict[str, Any]], None]:
    return lambda step: step.update({name: array})


def words(*shape: int) -> NDArray[np.int32]:
    return np.zeros(shape, np.int32)


BAD_STEPS = [
    (changed("tokens", (2,), PLAIN.vocabulary), "tokens: must lie from 0 to 76, not at 77"),
    (changed("tokens", (0,), -1), "tokens: must lie"),
    (replaced("tokens", words(6)), "tokens: must be as many as the sequences' rows, 5"),
    (replaced("tokens", words(0)), "tokens: length: must lie"),
    (replaced("tokens", np.zeros(5, np.int64)), "tokens: must be int32"),
    (replaced("sequences", words(2, 3)), "sequences: must have the shape"),
    (changed("sequences", (1, 0), 0), "sequences: rows: must lie"),
    (changed("sequences", (0, 1), -1), "sequences: start: must lie from 0 to 316"),
    (changed("sequences", (0, 1), 317), "sequences: start: must lie from 0 to 316"),
    (changed("sequences", (0, 2), -1), "sequences: prefix: must lie"),
    (changed("sequences", (0, 2), 2**31 - 1), "sequences: prefix: must lie"),
    (changed("sequences", (0, 2), 7), "tables: must name a block for every position"),
    (changed("sequences", (1, 3), 1), "sequences: adapter: must lie from -1 to 0, not at 1"),
    (changed("sequences", (1, 3), -2), "sequences: adapter: must lie"),
    (changed("tables", (0, 1), 8), "tables: must lie from 0 to 7, not at 8"),
    (changed("tables", (1, 0), -1), "tables: must lie"),
    (replaced("tables", words(3, 2)), "tables: must have the shape"),
    (changed("rows", (1,), 5), "rows: must lie from 0 to 4"),
    (changed("rows", (1,), -1), "rows: must lie"),
    (replaced("rows", words(3)), "logits: must have the shape"),
    (replaced("logits", np.zeros((2, 80), np.float32)), "logits: must have the shape"),
    (changed("pooled", (1,), 2), "pooled: must lie from 0 to 1"),
    (changed("pooled", (1,), 0), "pooled: must ascend"),
    (replaced("hidden", np.zeros((1, 64), np.float32)), "hidden: must have the shape"),
    (with_cache(3, 2, 20), "cache: must have the model's"),
    (with_cache(2, 2, 16), "cache: must have the model's"),
    (with_cache(3, 1, 16), "cache: must have the model's"),
]


@pytest.mark.parametrize(("change", "message"), BAD_STEPS, ids=range(len(BAD_STEPS)))
def test_a_wrong_step_is_refused_and_nothing_written(
    pool: Pool, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    model = native(PLAIN, None, pool)
    model.model.add_adapter(packed(low_rank(model, 2, 1), pool))
    step = good_step(model)
    change(step)
    with pytest.raises(ValueError, match=f"^{message}"):
        model.model.forward(**step)
    assert not step["logits"].any()
    assert not step["hidden"].any()
    cache = step["cache"]
    blocks = np.arange(cache.blocks, dtype=np.int32)
    groups_agree = cache.read(0, cache.blocks * cache.block_tokens, blocks)
    assert not np.stack(groups_agree).any()


def test_a_right_step_passes(pool: Pool) -> None:
    model = native(PLAIN, None, pool)
    model.model.add_adapter(packed(low_rank(model, 2, 1), pool))
    step = good_step(model)
    model.model.forward(**step)
    assert step["logits"].any(1).all()
    assert step["hidden"].any(1).all()


def zeros(*shape: int) -> Floats:
    return np.zeros(shape, np.float32)


BAD_LAYERS = [
    ("attention_norm", zeros(64, 1), "attention_norm: must have the shape"),
    ("attention_norm", zeros(32), "qkv: must have the shape"),
    ("qkv_bias", zeros(159), "qkv_bias: must have the shape"),
    ("mlp_norm", zeros(63), "mlp_norm: must have the shape"),
    ("mlp_norm", np.zeros(64), "mlp_norm: must be float32"),
    ("out", zeros(65, 96), r"out: must have the shape \(64, any\), not \(65, 96\)"),
    ("gate_up", zeros(191, 64), "gate_up: must have as many gates as ups"),
    ("gate_up", zeros(194, 64), "down: must have the shape"),
    ("down", zeros(64, 95), "down: must have the shape"),
    ("down", None, "down: must be a Matrix"),
]


def as_argument(value: Floats | None, pool: Pool, is_matrix: bool) -> Any:
    return Matrix(value, "f32", pool) if is_matrix and value is not None else value


@pytest.mark.parametrize(("name", "value", "message"), BAD_LAYERS, ids=[b[2] for b in BAD_LAYERS])
def test_a_layer_of_wrong_shapes_is_refused(
    pool: Pool, name: str, value: Floats | None, message: str
) -> None:
    right: dict[str, Any] = {
        "attention_norm": zeros(64), "qkv": zeros(160, 64), "qkv_bias": zeros(160),
        "out": zeros(64, 96), "mlp_norm": zeros(64), "gate_up": zeros(192, 64),
        "down": zeros(64, 96),
    }  # fmt: skip

    def layer(weights: dict[str, Any]) -> Layer:
        return Layer(
            **{key: as_argument(array, pool, key in ref.PLACES) for key, array in weights.items()}
        )

    layer(right)
    with pytest.raises(ValueError, match=f"^{message}"):
        layer({**right, name: value})


BAD_MODELS: list[tuple[dict[str, Any], str]] = [
    ({"heads": 5}, "heads: must be a multiple of groups"),
    ({"groups": 0}, "groups: must lie"),
    ({"heads": 8}, r"layers\[0\]: qkv: must have the shape \(192, 64\), not \(160, 64\)"),
    ({"heads": 4, "groups": 4, "head_dim": 12}, r"layers\[0\]: qkv: must have the shape"),
    ({"head_dim": 18}, "head_dim: must be a multiple of 4"),
    ({"context": 0}, "context: must lie"),
    ({"epsilon": 0.0}, "epsilon: must be"),
    ({"theta": float("inf")}, "theta: must be"),
    ({"final_norm": zeros(63)}, "final_norm: must have the shape"),
    ({"layers": []}, "layers: must not be empty"),
    ({"layers": [{}]}, r"layers\[0\]: must be a Layer"),
    ({"kernels": "avx1024"}, "kernels: must be one of"),
    ({"embedding": None}, "embedding: must be a Matrix"),
    ({"head": zeros(77, 64)}, "head: must be a Matrix"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_MODELS, ids=[b[1] for b in BAD_MODELS])
def test_a_wrong_model_is_refused(pool: Pool, changes: dict[str, Any], message: str) -> None:
    built = native(PLAIN, None, pool)
    right: dict[str, Any] = {
        "heads": 6, "groups": 2, "head_dim": 16, "context": 10, "epsilon": 1e-5, "theta": 1e4,
        "embedding": built.matrix("embedding"), "layers": [built.layer(i) for i in range(3)],
        "final_norm": zeros(64), "head": None, "pool": pool,
    }  # fmt: skip
    Model(**right)
    with pytest.raises(ValueError, match=f"^{message}"):
        Model(**{**right, **changes})


def test_a_wrong_adapter_is_refused(pool: Pool) -> None:
    model = native(PLAIN, None, pool)
    matrices: dict[str, Any] = {
        "right": (Matrix(zeros(4, 64), "f32", pool), Matrix(zeros(160, 4), "f32", pool)),
        "rank": (Matrix(zeros(4, 64), "f32", pool), Matrix(zeros(160, 5), "f32", pool)),
        "inputs": (Matrix(zeros(4, 60), "f32", pool), Matrix(zeros(160, 4), "f32", pool)),
        "format": (Matrix(zeros(4, 64), "bf16", pool), Matrix(zeros(160, 4), "f32", pool)),
    }
    model.model.add_adapter([{}, {}, {"qkv": matrices["right"]}])
    for name, message in [
        ("rank", r"layers\[2\]\[qkv\]: up: must have the shape \(160, 4\)"),
        ("inputs", r"layers\[2\]\[qkv\]: down: must have the shape"),
        ("format", r"layers\[2\]\[qkv\]: down: must be packed as f32"),
    ]:
        with pytest.raises(ValueError, match=f"^{message}"):
            model.model.add_adapter([{}, {}, {"qkv": matrices[name]}])
    with pytest.raises(ValueError, match="its keys must be"):
        model.model.add_adapter([{}, {}, {"head": matrices["right"]}])
    with pytest.raises(ValueError, match="layers: must be as many as the model's, 3"):
        model.model.add_adapter([{}])
    wrong: Any = [{}, {}, {"qkv": matrices["right"][0]}]
    with pytest.raises(ValueError, match="must be a tuple"):
        model.model.add_adapter(wrong)
