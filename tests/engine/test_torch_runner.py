"""Steps on blocks against whole sequences without a cache."""

import gc
import os
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GlmForCausalLM

from qingtan.engine.runner import Chunk
from qingtan.engine.torch_runner import TorchRunner, parse_dtype
from qingtan.errors import UserError
from qingtan.glm.checkpoint import save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, initialize
from qingtan.glm.tokenizer import GLMTokenizer

from .sequences import LONGEST, PLANS, Blocks, Sequence, Wanted, follow, tokens, whole

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
# Tiny: 2 layers, 2 groups, 16 wide, keys and values of 4 bytes.
TOKEN_BYTES = 2 * 2 * 2 * 16 * 4
SMALL = 40 * 5 * TOKEN_BYTES
# A copy of so much takes a hundred times as long as a step.
LARGE = 256 * 1024**2


@pytest.fixture(scope="module")
def model() -> GLM:
    return initialize(GLM(GLMConfig.named("tiny")))


@pytest.fixture(scope="module")
def runner(model: GLM) -> TorchRunner:
    """Of 39 blocks, 5 tokens each."""
    return TorchRunner(model, context=60, cache_bytes=SMALL, block_tokens=5)


@settings(max_examples=30)
@given(plan=PLANS, seed=st.integers(0, 99))
def test_any_chunks_on_any_blocks_give_the_whole_sequences_numbers(
    model: GLM, runner: TorchRunner, plan: list[dict[int, Wanted]], seed: int
) -> None:
    expected = {i: whole(model, tokens(LONGEST, i)) for i in range(3)}
    for result, wanted in follow(runner, plan, seed, expected):
        assert result.logits.dtype == result.hidden.dtype == np.float32
        np.testing.assert_allclose(result.logits, wanted.logits, **CLOSE)
        np.testing.assert_allclose(result.hidden, wanted.hidden, rtol=1e-4, atol=1e-3)


def test_sequences_share_blocks_and_copy_the_one_that_they_part_in(
    model: GLM, runner: TorchRunner
) -> None:
    free = Blocks(runner)
    common = tokens(13, 0)
    first, second = (Sequence(common + tokens(20, seed), free) for seed in (1, 2))
    runner.forward([first.chunk(13)])
    between, own = free.free.pop(), free.free.pop()
    # Two whole blocks are shared; of the third each continues another copy.
    second.blocks, second.seen = [*first.blocks[:2], own], 13
    copies = [(first.blocks[2], between), (between, own)]
    chunks_of_both = [second.chunk(1), first.chunk(12)]
    results = [runner.forward(chunks_of_both, copies), runner.forward([first.chunk(2)])]
    results.append(runner.forward([second.chunk(19), first.chunk(3)]))
    ends = [(second, 14), (first, 25), (first, 27), (second, 33), (first, 30)]
    rows = np.concatenate([result.logits for result in results])
    for (sequence, end), row in zip(ends, rows, strict=True):
        np.testing.assert_allclose(row, whole(model, sequence.tokens[:end])[0][-1], **CLOSE)


def test_copies_are_made_in_their_order(model: GLM, runner: TorchRunner) -> None:
    """The second copy takes the place of what the first one kept."""
    one, other = tokens(5, 1), tokens(5, 2)
    runner.forward([Chunk(one, 0, [0]), Chunk(other, 0, [1])])
    result = runner.forward([Chunk([7], 5, [2, 3]), Chunk([7], 5, [0, 4])], [(0, 2), (1, 0)])
    for row, known in zip(result.logits, (one, other), strict=True):
        np.testing.assert_allclose(row, whole(model, [*known, 7])[0][-1], **CLOSE)


def test_a_prompt_that_is_only_read_gives_no_numbers(runner: TorchRunner) -> None:
    result = runner.forward([Chunk([1, 2], 0, [0], logits=0), Chunk([3] * 9, 0, [1, 2], logits=0)])
    assert result.logits.shape == (0, 1024)
    assert result.hidden.shape == (0, 64)


def test_steps_give_what_transformers_gives(
    model: GLM, runner: TorchRunner, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    save_model(model, tiny_tokenizer, tmp_path / "model", layout="glm")
    theirs = GlmForCausalLM.from_pretrained(tmp_path / "model").eval()
    sequence = Sequence(tokens(40, 5), Blocks(runner))
    sizes = [17, 1, 3, 18, 1]
    rows = [runner.forward([sequence.chunk(size, size)]).logits for size in sizes]
    with torch.inference_mode():
        expected = theirs(torch.tensor([sequence.tokens])).logits[0].numpy()
    np.testing.assert_allclose(np.concatenate(rows), expected, **CLOSE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_another_dtype_is_near(dtype: torch.dtype) -> None:
    exact = initialize(GLM(GLMConfig.named("tiny")))
    sequence = tokens(30, 3)
    expected = whole(exact, sequence)[0]
    runner = TorchRunner(exact, device="cpu", dtype=dtype, cache_bytes=1)
    # The same model, converted: its owner's too.
    assert exact.head.weight.dtype is dtype
    known = Sequence(sequence, Blocks(runner))
    rows = [runner.forward([known.chunk(size, size)]).logits for size in (20, 4, 6)]
    got = np.concatenate(rows)
    assert got.dtype == np.float32
    assert np.linalg.norm(got - expected) / np.linalg.norm(expected) < 0.03


needs_compiling = pytest.mark.skipif(
    os.environ.get("QINGTAN_REQUIRE_ALL") != "1",
    reason="compiling takes half a minute; QINGTAN_REQUIRE_ALL=1 does it",
)


@pytest.fixture(scope="module")
def compiled(model: GLM) -> TorchRunner:
    """One for all tests, so that its code is made once; with blocks of 4 tokens."""
    return TorchRunner(model, compile=True, context=60, cache_bytes=LARGE, block_tokens=4)


@needs_compiling
def test_compiled_code_gives_the_same_numbers(model: GLM, compiled: TorchRunner) -> None:
    """Numbers of rows and of blocks that are padded, and some that are not."""
    free = Blocks(compiled)
    sequences = [Sequence(tokens(60, seed), free) for seed in (1, 2)]
    expected = [whole(model, sequence.tokens) for sequence in sequences]
    plans = [{0: 3}, {0: 9, 1: 3}, {1: 1, 0: 1}, {0: 5, 1: 4}]
    for plan in plans:
        of_plan = [sequences[i].chunk(count, 1, hidden=True) for i, count in plan.items()]
        result = compiled.forward(of_plan)
        for row, (i, count) in enumerate(plan.items()):
            logits, hidden = (of_all[: sequences[i].seen] for of_all in expected[i])
            np.testing.assert_allclose(result.logits[row], logits[-1], **CLOSE)
            total = hidden[-count:].sum(0)
            np.testing.assert_allclose(result.hidden[row], total, rtol=1e-4, atol=1e-3)


@needs_compiling
def test_compiled_code_writes_into_the_cache_and_copies_none_of_it(compiled: TorchRunner) -> None:
    chunks = [Chunk([1], 10, [0, 1, 2]), Chunk([2], 3, [3])]
    compiled.forward(chunks)
    a_copy = least_time(np.zeros(LARGE, np.uint8).copy)
    assert least_time(lambda: compiled.forward(chunks)) < a_copy / 4


def least_time(run: Callable[[], object]) -> float:
    """Return the processor's seconds of the fastest of some runs."""
    seconds = []
    for _ in range(5):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds)


def test_memory_bounds_the_blocks(model: GLM) -> None:
    sized: dict[str, Any] = {"context": 512, "block_tokens": 16}
    # One of the blocks is the runner's own.
    assert TorchRunner(model, cache_bytes=100 * 16 * TOKEN_BYTES, **sized).blocks == 99
    assert TorchRunner(model, cache_bytes=100 * 16 * TOKEN_BYTES - 1, **sized).blocks == 98
    assert TorchRunner(model, cache_bytes=1, **sized).blocks == 32
    assert TorchRunner(model, cache_bytes=1, context=5000, block_tokens=1000).blocks == 2
    assert TorchRunner(model, cache_bytes=1, context=5000).context == 1024


GOOD = Chunk([1, 2, 3], 4, [0, 1])


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (replace(GOOD, tokens=[]), "0 tokens from 4"),
        (replace(GOOD, start=-1), "3 tokens from -1"),
        (replace(GOOD, start=58, blocks=range(13)), "context of 60"),
        (replace(GOOD, tokens=[1, 1024]), "token 1024 is none of 0 to 1023"),
        (replace(GOOD, blocks=[0]), "1 blocks of 5 tokens; the chunk needs 2"),
        (replace(GOOD, blocks=[0, 39]), "block 39 is none of 0 to 38"),
        (replace(GOOD, logits=4), "logits of 4 tokens; the chunk has 3"),
        (replace(GOOD, adapter="law"), "adapter 'law' is none of"),
    ],
)
def test_a_chunk_that_cannot_be_is_refused(runner: TorchRunner, chunk: Chunk, message: str) -> None:
    with pytest.raises(UserError, match=message):
        runner.forward([chunk])


def test_a_step_that_cannot_be_is_refused(model: GLM, runner: TorchRunner) -> None:
    with pytest.raises(UserError, match="at least one"):
        runner.forward([])
    with pytest.raises(UserError, match="copies: block 39"):
        runner.forward([GOOD], [(39, 0)])
    with pytest.raises(UserError, match="context 0"):
        TorchRunner(model, context=0)


def test_closing_frees_the_model() -> None:
    model = initialize(GLM(GLMConfig.named("mini")))
    runner = TorchRunner(model, cache_bytes=1)
    runner.forward([Chunk([1], 0, [0])])
    weights = weakref.ref(model)
    runner.close()
    runner.close()
    del model
    gc.collect()
    assert weights() is None
    with pytest.raises(UserError, match="closed"):
        runner.forward([Chunk([1], 0, [0])])


def test_unknown_dtypes_are_named() -> None:
    assert parse_dtype("bfloat16") is torch.bfloat16
    assert parse_dtype(None) is None
    with pytest.raises(UserError, match="int3"):
        parse_dtype("int3")
