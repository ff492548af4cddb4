"""Adapters of several kinds in one engine, against models that have one each."""

import queue
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from adapters import ADAPTERS, save_adapters
from qingtan.engine.engine import Engine
from qingtan.engine.events import Delta, Event, Finished
from qingtan.engine.runner import Chunk
from qingtan.engine.sampling import SamplingParams
from qingtan.engine.torch_runner import TorchRunner
from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model
from qingtan.glm.lora import merge_lora
from qingtan.glm.lora_files import load_lora
from qingtan.glm.model import GLM
from qingtan.glm.prefix import load_prefix
from qingtan.glm.tokenizer import GLMTokenizer
from scripted import ScriptedRunner

from .sequences import Blocks, Sequence

NAMES = (None, *ADAPTERS)
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def folders(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_adapters(tiny_checkpoint, tmp_path_factory.mktemp("adapters"))


class Alone:
    """A model with one adapter, or none, which computes whole sequences without a cache."""

    def __init__(self, checkpoint: Path, folder: Path | None, kind: str) -> None:
        self.model: GLM = load_model(checkpoint).eval()
        self.prefix: torch.Tensor | None = None
        if folder is not None and kind == "lora":
            load_lora(self.model, "only", folder)
            merge_lora(self.model, "only")
        elif folder is not None:
            self.prefix = load_prefix(self.model.config, folder)()

    def logits(self, tokens: list[int]) -> np.ndarray:
        with torch.inference_mode():
            output = self.model(torch.tensor([tokens]), prefix=self.prefix)
        return output.logits[0, -1].numpy()

    def greedy(self, prompt: list[int], count: int, vocab_size: int) -> list[int]:
        tokens = list(prompt)
        for _ in range(count):
            tokens.append(int(self.logits(tokens)[:vocab_size].argmax()))
        return tokens[len(prompt) :]


@pytest.fixture(scope="module")
def alone(tiny_checkpoint: Path, folders: dict[str, Path]) -> dict[str | None, Alone]:
    kinds: dict[str | None, str] = {None: "", **ADAPTERS}
    return {
        name: Alone(tiny_checkpoint, folders.get(name or ""), kind) for name, kind in kinds.items()
    }


@pytest.fixture
def runner(tiny_checkpoint: Path, folders: dict[str, Path]) -> TorchRunner:
    return TorchRunner(load_model(tiny_checkpoint), adapters=folders)


def prompts(count: int) -> list[list[int]]:
    rng = np.random.default_rng(5)
    return [rng.integers(3, 480, 3 + 5 * i).tolist() for i in range(count)]


def test_the_adapters_say_different_things(alone: dict[str | None, Alone]) -> None:
    """Otherwise the tests below could not fail."""
    rows = [of_one.logits(prompts(2)[1]) for of_one in alone.values()]
    for i, row in enumerate(rows):
        for other in rows[:i]:
            assert np.abs(row - other).max() > 0.1


def test_concurrent_requests_say_what_each_says_alone(
    runner: TorchRunner, tiny_tokenizer: GLMTokenizer, alone: dict[str | None, Alone]
) -> None:
    engine = Engine(runner, tiny_tokenizer, step_tokens=16)
    params = SamplingParams(temperature=0, max_tokens=24)
    asked = list(zip(prompts(8), NAMES * 2, strict=True))
    queues: list[queue.Queue[Event]] = []
    for prompt, name in asked:
        queues.append(queue.Queue())
        engine.generate(prompt, params, (), [queues[-1].put], adapter=name)
    for (prompt, name), events in zip(asked, queues, strict=True):
        tokens: list[int] = []
        while isinstance(event := events.get(timeout=30), Delta):
            tokens += event.tokens
        assert isinstance(event, Finished)
        # A prefix is not counted as a part of the prompt.
        assert event.usage.prompt_tokens == len(prompt)
        assert tokens == alone[name].greedy(prompt, 24, tiny_tokenizer.vocab_size), name
    engine.close()


def test_blocks_are_used_again_by_other_adapters(
    runner: TorchRunner, alone: dict[str | None, Alone]
) -> None:
    """Chunks of every length in one step; a block's next sequence has another prefix, or none."""
    known = prompts(8)
    free = Blocks(runner)
    del free.free[40:]
    for turn in range(len(NAMES)):
        names = [NAMES[(i + turn) % len(NAMES)] for i in range(8)]
        sequences = [
            Sequence(prompt, free, name, runner.prefix_tokens(name))
            for prompt, name in zip(known, names, strict=True)
        ]
        for part in range(3):
            sizes = [len(prompt) // 3 for prompt in known]
            if part == 2:
                sizes = [len(prompt) - 2 * size for prompt, size in zip(known, sizes, strict=True)]
            pairs = list(zip(sequences, sizes, strict=True))[::-1]
            result = runner.forward([sequence.chunk(size) for sequence, size in pairs])
            for (sequence, _), row in zip(pairs, result.logits, strict=True):
                expected = alone[sequence.adapter].logits(sequence.tokens[: sequence.seen])
                np.testing.assert_allclose(row, expected, **CLOSE)
        for sequence in sequences:
            sequence.release()


def test_sequences_of_one_adapter_share_blocks_with_its_prefix(
    runner: TorchRunner, alone: dict[str | None, Alone]
) -> None:
    size = runner.block_tokens
    known = np.random.default_rng(8).integers(3, 480, 2 * size).tolist()
    first = Sequence(known, Blocks(runner), "prefix", runner.prefix_tokens("prefix"))
    runner.forward([first.chunk(size)])
    # The first block holds the prefix and the tokens that fit after it.
    shared = size - first.first
    tokens = [*known[:shared], *range(100, 112)]
    second = replace(first, tokens=tokens, seen=shared, blocks=first.blocks[:1])
    result = runner.forward([second.chunk(12), first.chunk(2)])
    np.testing.assert_allclose(result.logits[0], alone["prefix"].logits(tokens), **CLOSE)
    expected = alone["prefix"].logits(known[: size + 2])
    np.testing.assert_allclose(result.logits[1], expected, **CLOSE)


def test_a_prefix_takes_nothing_of_the_context(
    runner: TorchRunner, alone: dict[str | None, Alone]
) -> None:
    tokens = np.random.default_rng(7).integers(3, 480, runner.context).tolist()
    free = Blocks(runner)
    sequences = [
        Sequence(tokens, free, name, runner.prefix_tokens(name)) for name in ("prefix", None)
    ]
    assert [sequence.first for sequence in sequences] == [5, 0]
    runner.forward([sequence.chunk(len(tokens) - 1, logits=0) for sequence in sequences])
    result = runner.forward([sequence.chunk(1) for sequence in sequences])
    for sequence, row in zip(sequences, result.logits, strict=True):
        np.testing.assert_allclose(row, alone[sequence.adapter].logits(tokens), **CLOSE)


def test_a_prefix_takes_its_part_of_the_memory(
    tiny_checkpoint: Path, folders: dict[str, Path]
) -> None:
    """The least that a cache has room for is one context, with the prefix before it."""
    model = load_model(tiny_checkpoint)
    assert TorchRunner(model, cache_bytes=1, block_tokens=8).blocks == 1024 / 8
    adapters = {"prefix": folders["prefix"]}
    assert (
        TorchRunner(model, cache_bytes=1, block_tokens=8, adapters=adapters).blocks == 1024 / 8 + 1
    )


def test_a_model_without_adapters_is_left_as_it_is(
    tiny_checkpoint: Path, folders: dict[str, Path], alone: dict[str | None, Alone]
) -> None:
    """An adapter that its owner has put into it and switched on answers."""
    model = load_model(tiny_checkpoint)
    load_lora(model, "own", folders["law"])
    [row] = TorchRunner(model).forward([Chunk([5, 6, 7], 0, [0])]).logits
    np.testing.assert_allclose(row, alone["law"].logits([5, 6, 7]), **CLOSE)


@pytest.fixture
def scripted(tiny_tokenizer: GLMTokenizer) -> Iterator[Engine]:
    engine = Engine(
        ScriptedRunner(lambda tokens: 5, adapters=("law", "poems")), tiny_tokenizer, lookup=False
    )
    yield engine
    engine.close()


def test_chunks_carry_their_requests_adapter(scripted: Engine) -> None:
    events: queue.Queue[Event] = queue.Queue()
    params = SamplingParams(max_tokens=3)
    (generation,) = scripted.generate([1, 2], params, (), [events.put], adapter="poems")
    assert generation.adapter == "poems"
    assert scripted.wait_idle(10)
    assert isinstance(scripted.runner, ScriptedRunner)
    assert [chunk.adapter for step in scripted.runner.steps for chunk in step] == ["poems"] * 3


def test_an_unknown_adapter_is_named_beside_the_known_ones(
    scripted: Engine, tiny_tokenizer: GLMTokenizer
) -> None:
    with pytest.raises(UserError, match=r"adapter: .*'lore'.*'law', 'poems'"):
        scripted.generate([1], SamplingParams(), (), [print], adapter="lore")
    engine = Engine(ScriptedRunner(lambda tokens: 5), tiny_tokenizer)
    with pytest.raises(UserError, match=r"'law'.*without adapters"):
        engine.generate([1], SamplingParams(), (), [print], adapter="law")
    engine.close()


def test_a_folder_that_is_no_adapter_is_named(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=tmp_path.name):
        TorchRunner(load_model(tiny_checkpoint), adapters={"law": tmp_path})
