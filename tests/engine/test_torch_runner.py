import numpy as np
import pytest
import torch

from qingtan.engine.runner import Chunk
from qingtan.engine.torch_runner import TorchRunner, parse_dtype
from qingtan.errors import UserError
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, initialize


@pytest.fixture(scope="module")
def model() -> GLM:
    return initialize(GLM(GLMConfig.named("tiny")))


def expected(model: GLM, tokens: list[int]) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.tensor([tokens])).logits[0, -1].numpy()


def tokens(length: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(0, 500, length).tolist()


def test_chunks_of_any_kind_give_the_whole_sequences_logits(model: GLM) -> None:
    runner = TorchRunner(model, slots=3)
    known = {0: tokens(30, 0), 1: tokens(7, 1), 2: tokens(300, 2)}
    seen = dict.fromkeys(known, 0)
    # Slots in any order, one token beside many, some left out, and more than the first capacity.
    steps = [{2: 10, 0: 30}, {1: 1, 2: 289}, {2: 1, 1: 1}, {1: 5}]
    for step in steps:
        batch = [Chunk(s, seen[s], known[s][seen[s] : seen[s] + n]) for s, n in step.items()]
        logits = runner.forward(batch)
        assert logits.dtype == np.float32
        for row, (slot, size) in zip(logits, step.items(), strict=True):
            seen[slot] += size
            np.testing.assert_allclose(
                row, expected(model, known[slot][: seen[slot]]), atol=1e-4, rtol=1e-4
            )


def test_full_batches_and_reused_slots_keep_to_their_own(model: GLM) -> None:
    runner = TorchRunner(model, slots=2)
    first, second = tokens(5, 3), tokens(9, 4)
    runner.forward([Chunk(1, 0, first), Chunk(0, 0, second)])
    logits = runner.forward([Chunk(1, 5, [1]), Chunk(0, 9, [2])])
    np.testing.assert_allclose(logits[0], expected(model, [*first, 1]), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(logits[1], expected(model, [*second, 2]), atol=1e-4, rtol=1e-4)
    runner.release(1)
    logits = runner.forward([Chunk(1, 0, second)])
    np.testing.assert_allclose(logits[0], expected(model, second), atol=1e-4, rtol=1e-4)


def test_memory_bounds_the_slots(model: GLM) -> None:
    # Tiny: 2 layers, 2 groups, 16 wide, keys and values of 4 bytes, 1,024 tokens.
    slot_bytes = 2 * 2 * 2 * 16 * 4 * 1024
    assert TorchRunner(model, slots=8, cache_bytes=3 * slot_bytes).slots == 3
    assert TorchRunner(model, slots=8, cache_bytes=1).slots == 1
    assert TorchRunner(model, slots=8, context=512, cache_bytes=3 * slot_bytes).slots == 6
    assert TorchRunner(model, context=5000).context == 1024


def test_unknown_dtypes_are_named() -> None:
    assert parse_dtype("bfloat16") is torch.bfloat16
    assert parse_dtype(None) is None
    with pytest.raises(UserError, match="int3"):
        parse_dtype("int3")
