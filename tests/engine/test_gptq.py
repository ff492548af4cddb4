"""Compensated rounding: against plain rounding, and against the paper's algorithm, step by step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from qingtan.engine.comparison import Passage, predict
from qingtan.engine.convert import convert
from qingtan.engine.gptq import pack_compensated
from qingtan.engine.weights import load_weights
from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, initialize
from qingtan.glm.packed import FORMATS, fill_up, packed_shapes, stored_quantization, unpack
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.native import Matrix, Pool
from qingtan.provenance import Provenance

from .test_weights import BASE, by_name, make_checkpoint, quantize_as_chatglm

POOL = Pool(1)
Doubles = NDArray[np.float64]


def problem(n: int, k: int, seed: int = 0) -> tuple[NDArray[np.float32], Doubles]:
    """A matrix, and inputs (4 k, k) that a few directions make up for the most part."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((k // 4, k))
    inputs = rng.standard_normal((4 * k, k // 4)) @ directions + rng.standard_normal((4 * k, k))
    return rng.standard_normal((n, k)).astype(np.float32), inputs


def squared_error(weights: NDArray[np.float32], matrix: Matrix, inputs: Doubles) -> float:
    return float((((weights - unpack(matrix, POOL)) @ inputs.T) ** 2).sum())


@pytest.mark.parametrize(("precision", "share"), [("int4", 0.4), ("int8", 0.4)])
@pytest.mark.parametrize("shape", [(40, 96), (24, 320)])
def test_products_change_less_than_by_plain_rounding(
    shape: tuple[int, int], precision: Any, share: float
) -> None:
    weights, inputs = problem(*shape)
    plain = Matrix(weights, FORMATS[precision], POOL)
    made = pack_compensated(weights, inputs.T @ inputs, precision, POOL)
    assert made.format == FORMATS[precision]
    before, after = squared_error(weights, plain, inputs), squared_error(weights, made, inputs)
    assert after < share * before


def test_inputs_that_have_nothing_to_do_with_each_other_leave_plain_rounding() -> None:
    weights, _ = problem(40, 96)
    for products in (np.diag(np.linspace(1, 9, 96)), np.zeros((96, 96))):
        made = pack_compensated(weights, products, "int4", POOL)
        assert bytes(made.data) == bytes(Matrix(weights, "q4", POOL).data)


def test_it_is_optimal_brain_quantization_in_the_columns_order() -> None:
    """Section 3.2: after each column H⁻¹ loses it by a step of Gauss, equation 3."""
    weights, inputs = problem(17, 160)
    made = pack_compensated(weights, inputs.T @ inputs, "int4", POOL)
    found = unpack(made, POOL)
    products = inputs.T @ inputs
    inverse = np.linalg.inv(products + 0.01 * np.diagonal(products).mean() * np.eye(160))
    rest, matching = weights.astype(np.float64), 0
    for column in range(160):
        if column % 32 == 0:
            group = np.ascontiguousarray(rest[:, column : column + 32], np.float32)
            rounded = unpack(Matrix(group, "q4", POOL), POOL)
            widths = [np.diff(np.unique(np.append(row, 0))).min() for row in rounded]
            # Of a group's numbers that of the greatest magnitude has a level below 0.
            signs = [-np.sign(row[np.abs(row).argmax()]) for row in rounded]
            scales = np.array(widths) * signs
        levels = np.clip(np.rint(rest[:, column] / scales), -8, 7)
        # Numbers half way between two levels may go either way.
        differences = np.abs(levels * scales - found[:, column])
        assert (differences < 1.001 * np.abs(scales)).all()
        matching += int((differences < 0.001 * np.abs(scales)).sum())
        error = (rest[:, column] - found[:, column]) / inverse[column, column]
        rest[:, column:] -= np.outer(error, inverse[column, column:])
        inverse -= np.outer(inverse[:, column], inverse[column]) / inverse[column, column]
    assert matching > 0.99 * weights.size


def test_what_is_not_finite_is_refused() -> None:
    weights, inputs = problem(4, 32)
    weights[2, 5] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        pack_compensated(weights, inputs.T @ inputs, "int4", POOL)


def learnt(tokenizer: GLMTokenizer, folder: Path) -> tuple[Path, list[list[int]]]:
    """A small model that has learnt texts whose tokens follow each other by a rule, and texts."""
    torch.manual_seed(0)
    model = initialize(GLM(GLMConfig.named("tiny")), 0).train()
    rng = np.random.default_rng(0)

    def write(count: int) -> list[list[int]]:
        texts = []
        for _ in range(count):
            first, step = rng.integers(0, 97), rng.integers(1, 6)
            noise = rng.integers(0, 3, 48)
            texts.append([int(x) for x in (first + step * np.arange(48) + noise) % 97 + 10])
        return texts

    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(150):
        rows = torch.tensor(write(16))
        logits = model(rows[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_model(model.eval(), tokenizer, folder)
    return folder, write(48)


def test_a_calibrated_model_predicts_other_texts_better(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    source, texts = learnt(tiny_tokenizer, tmp_path / "source")
    plain = convert(source, tmp_path / "plain", "int4").folder
    made = convert(source, tmp_path / "m", "int4", calibration=texts[:32]).folder
    passages = [Passage(text, None, len(text)) for text in texts[32:]]
    original, rounded, calibrated = (predict(each, passages) for each in (source, plain, made))
    assert abs(calibrated.nats - original.nats) < abs(rounded.nats - original.nats)
    assert calibrated.agreement(original) >= rounded.agreement(original)


def inputs_of(model: GLM, texts: list[list[int]]) -> dict[str, Doubles]:
    """Σ x xᵀ of each linear layer of torch's model, by the name of its weights."""
    found: dict[str, Doubles] = {}

    def watch(name: str) -> Any:
        def hook(module: Any, given: Any) -> None:
            x = given[0].flatten(0, -2).double().numpy()
            found[name] = found.get(name, 0) + x.T @ x

        return hook

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(watch(f"{name}.weight"))
    with torch.no_grad():
        for text in texts:
            model(torch.tensor([text]))
    return found


def test_each_matrix_is_rounded_by_what_the_rounded_ones_before_it_give(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    texts = [[int(x) for x in rng.integers(0, 500, length)] for length in (30, 64, 7)]
    made = convert(tiny_checkpoint, tmp_path / "m", "int4", calibration=texts).folder
    seen = inputs_of(load_model(made), texts)
    quantization = stored_quantization(made)
    assert quantization is not None
    shapes = packed_shapes(GLMConfig.named("tiny"), quantization)
    plain = dict(by_name(load_weights(tiny_checkpoint)))
    for name, tensor in by_name(load_weights(made)):
        if not isinstance(tensor, Matrix) or not name.startswith("layers."):
            continue
        weights = fill_up(name, unpack(plain[name], POOL), shapes[name])
        products = np.zeros((shapes[name][1],) * 2)
        width = len(seen[name])
        products[:width, :width] = seen[name]
        expected = unpack(pack_compensated(weights, products, "int4", POOL), POOL)
        same = np.isclose(unpack(tensor, POOL), expected, atol=1e-6)
        assert same.mean() > 0.98, name  # the same but for numbers half way between two levels


def test_what_a_calibration_is_not_for_is_said(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    folder = make_checkpoint(tmp_path / "source", tiny_tokenizer, BASE, "chatglm", torch.float16)
    cases: list[tuple[Any, list[list[int]], str]] = [
        ("bf16", [[1, 2]], "a calibration is for int8 and int4, not for bf16"),
        ("int4", [], "no tokens"),
        ("int4", [[1, 160]], "tokens that the model does not have"),
    ]
    for precision, texts, message in cases:
        with pytest.raises(UserError, match=message):
            convert(folder, tmp_path / "m", precision, calibration=texts)
    quantize_as_chatglm(folder, 4)
    with pytest.raises(UserError, match="is quantized already, and keeps its numbers"):
        convert(folder, tmp_path / "m", "int4", calibration=[[1, 2]])
    assert not (tmp_path / "m").exists()


def test_provenance_and_cards_say_how_it_was_rounded(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    source = make_checkpoint(tmp_path / "source", tiny_tokenizer)
    for name in ("README.md", "README.zh-CN.md"):
        (source / name).write_text("what it is\n")
    made = convert(source, tmp_path / "m", "int8", calibration=[[1, 2, 3], [4]]).folder
    details = Provenance.read(made).steps[-1].details
    assert (details["method"], details["calibration_tokens"]) == ("GPTQ", 4)
    assert "GPTQ on 4 tokens" in (made / "README.md").read_text()
    assert "GPTQ，以 4 个词元" in (made / "README.zh-CN.md").read_text(encoding="utf-8")
