"""Adapters of the native engine: against torch's, PEFT's and ChatGLM's formulas, without torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import GlmForCausalLM

from adapters import ADAPTERS, save_adapters
from glm.samples import needs_golden
from glm.test_golden import Golden, read_golden
from qingtan.engine.native_adapters import read_lora, read_prefix
from qingtan.engine.native_runner import NativeRunner
from qingtan.engine.runner import Runner
from qingtan.engine.torch_runner import TorchRunner
from qingtan.errors import UserError
from qingtan.glm.checkpoint import load_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.lora import LoRAConfig, add_lora
from qingtan.glm.lora_files import save_lora
from qingtan.glm.prefix import PrefixEncoder, init_prefix, save_prefix

from .sequences import Blocks, Sequence

TINY = GLMConfig.named("tiny")
CLOSE = {"rtol": 0, "atol": 1e-3}
# Beside those of `save_adapters`.
NAMES = (None, *ADAPTERS, "separate", "projected")
WEIGHTS, ADAPTER_WEIGHTS = "model.safetensors", "adapter_model.safetensors"


def made_by_peft(base: Path, folder: Path) -> dict[str, torch.Tensor]:
    """Let PEFT make an adapter with a lora_A for each of q and v; return the merged tensors."""
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        target_modules=["q_proj", "v_proj", "o_proj", "down_proj"],
        r=3,
        lora_alpha=3,
        rank_pattern={"v_proj": 2},
        use_rslora=True,
        init_lora_weights=False,
    )
    torch.manual_seed(6)
    adapted = peft.get_peft_model(GlmForCausalLM.from_pretrained(base), config).eval()
    adapted.save_pretrained(folder)
    return dict(adapted.merge_and_unload().state_dict())


@pytest.fixture(scope="module")
def merged(
    tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("peft") / "separate"
    return folder, made_by_peft(tiny_checkpoint, folder)


@pytest.fixture(scope="module")
def folders(
    tiny_checkpoint: Path,
    merged: tuple[Path, dict[str, torch.Tensor]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    projected = init_prefix(PrefixEncoder(TINY, 20, projection=True), 3)
    save_prefix(projected, folder / "projected")
    known = save_adapters(tiny_checkpoint, folder)
    return {**known, "separate": merged[0], "projected": folder / "projected"}


@pytest.fixture(scope="module")
def runners(tiny_checkpoint: Path, folders: dict[str, Path]) -> tuple[NativeRunner, TorchRunner]:
    memory = 16 * 1024**2
    return (
        NativeRunner.open(tiny_checkpoint, threads=1, cache_bytes=memory, adapters=folders),
        TorchRunner(load_model(tiny_checkpoint), cache_bytes=memory, adapters=folders),
    )


def prompts(count: int, seed: int = 5) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(3, 480, 3 + 5 * i).tolist() for i in range(count)]


def continued(
    runner: Runner, known: list[list[int]], names: list[str | None], count: int
) -> tuple[list[list[int]], NDArray[np.float32]]:
    """Continue prompts greedily, side by side; return all tokens, and logits of each step."""
    free = Blocks(runner)
    sequences = [
        Sequence(list(prompt), free, name, runner.prefix_tokens(name))
        for prompt, name in zip(known, names, strict=True)
    ]
    steps = []
    for _ in range(count):
        chunks = [sequence.chunk(len(sequence.tokens) - sequence.seen) for sequence in sequences]
        steps.append(runner.forward(chunks).logits.copy())
        for sequence, row in zip(sequences, steps[-1], strict=True):
            sequence.tokens.append(int(row.argmax()))
    return [sequence.tokens for sequence in sequences], np.stack(steps)


def test_side_by_side_they_say_what_torch_says(runners: tuple[NativeRunner, TorchRunner]) -> None:
    native, reference = runners
    assert native.adapters == reference.adapters
    assert [native.prefix_tokens(name) for name in NAMES] == [0, 0, 0, 5, 0, 20]
    tokens, logits = continued(native, prompts(12), [*NAMES, *NAMES], 12)
    expected_tokens, expected = continued(reference, prompts(12), [*NAMES, *NAMES], 12)
    assert tokens == expected_tokens
    np.testing.assert_allclose(logits, expected, **CLOSE)


def test_each_changes_what_is_said(runners: tuple[NativeRunner, TorchRunner]) -> None:
    """Otherwise the test above could not fail."""
    same = [prompts(3)[2]] * len(NAMES)
    _, [rows] = continued(runners[0], same, list(NAMES), 1)
    for i, row in enumerate(rows):
        for other in rows[:i]:
            assert np.abs(row - other).max() > 0.1


def test_blocks_are_used_again_by_other_adapters(
    runners: tuple[NativeRunner, TorchRunner],
) -> None:
    """Chunks of a prompt in several steps; a block's next sequence has another prefix, or none."""
    known = prompts(6, seed=6)
    frees = [Blocks(runner) for runner in runners]
    for free in frees:
        free.free = list(range(24))
    for turn in range(len(NAMES)):
        names = [NAMES[(i + turn) % len(NAMES)] for i in range(len(known))]
        found = []
        for runner, free in zip(runners, frees, strict=True):
            sequences = [
                Sequence(prompt, free, name, runner.prefix_tokens(name))
                for prompt, name in zip(known, names, strict=True)
            ]
            first = [sequence.chunk(len(sequence.tokens) // 2) for sequence in sequences]
            found.append([runner.forward(first).logits.copy()])
            rest = [sequence.chunk(len(sequence.tokens) - sequence.seen) for sequence in sequences]
            found[-1].append(runner.forward(rest[::-1]).logits.copy())
            for sequence in sequences:
                sequence.release()
        np.testing.assert_allclose(found[0], found[1], **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_lora_is_what_peft_adds_to_the_weights(
    dtype: torch.dtype,
    tiny_checkpoint: Path,
    merged: tuple[Path, dict[str, torch.Tensor]],
    tmp_path: Path,
) -> None:
    folder, weights = merged
    base = GlmForCausalLM.from_pretrained(tiny_checkpoint).state_dict()
    stored = load_file(folder / ADAPTER_WEIGHTS)
    save_file({name: t.to(dtype) for name, t in stored.items()}, tmp_path / ADAPTER_WEIGHTS)
    (tmp_path / "adapter_config.json").write_bytes((folder / "adapter_config.json").read_bytes())
    added = read_lora(TINY, tmp_path)
    attention = "self_attn.{}_proj.weight"
    ours = {"qkv": [attention.format(part) for part in "qkv"], "out": [attention.format("o")]}
    ours["down"] = ["mlp.down_proj.weight"]
    for number, pairs in enumerate(added):
        assert pairs.keys() == ours.keys()
        assert [len(down) for down, _ in pairs.values()] == [5, 3, 3]
        for kind, (down, up) in pairs.items():
            assert down.dtype == up.dtype == np.float32
            names = [f"model.layers.{number}.{part}" for part in ours[kind]]
            expected = np.concatenate([(weights[n] - base[n]).numpy() for n in names])
            got = up.astype(np.float64) @ down
            atol = 1e-6 if dtype is torch.float32 else 3e-2 * np.abs(expected).max()
            np.testing.assert_allclose(got, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["prefix", "projected"])
def test_a_prefix_is_what_chatglm_makes_of_its_tensors(
    name: str, dtype: torch.dtype, folders: dict[str, Path], tmp_path: Path
) -> None:
    tensors = {n: t.to(dtype) for n, t in load_file(folders[name] / WEIGHTS).items()}
    save_file(tensors, tmp_path / WEIGHTS)
    (tmp_path / "config.json").write_bytes((folders[name] / "config.json").read_bytes())
    stem = "transformer.prefix_encoder."
    parts = {n.removeprefix(stem): t.double().numpy() for n, t in tensors.items()}
    rows = parts["embedding.weight"]
    if name == "projected":
        hidden = np.tanh(rows @ parts["trans.0.weight"].T + parts["trans.0.bias"])
        rows = hidden @ parts["trans.2.weight"].T + parts["trans.2.bias"]
    layers, groups, width = TINY.num_hidden_layers, TINY.num_key_value_heads, TINY.head_dim
    # ChatGLM: view (pre, layers · 2, groups, kv), permute, split by two.
    viewed = rows.reshape(len(rows), layers * 2, groups, width).transpose(1, 2, 0, 3)
    expected = viewed.reshape(layers, 2, groups, len(rows), width)
    got = read_prefix(TINY, tmp_path)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


@needs_golden
def test_the_published_prefix_gives_the_published_outputs(tmp_path: Path) -> None:
    golden = read_golden("chatglm3_one_layer_ptuning_v2.data", has_prefix=True)
    golden.model(tmp_path)
    folder = save_golden_prefix(golden, tmp_path / "prefix")
    runner = NativeRunner.open(tmp_path, threads=1, adapters={"published": folder})
    assert runner.prefix_tokens("published") == 5
    sequence = Sequence(golden.tokens, Blocks(runner), "published", 5)
    rows = [
        runner.forward([sequence.chunk(1, hidden=True)]).hidden[0].copy() for _ in golden.tokens
    ]
    np.testing.assert_allclose(rows, golden.outputs, rtol=0, atol=1e-3)


def save_golden_prefix(golden: Golden, folder: Path) -> Path:
    """Write the prefix (2, groups, tokens, head_dim) of the one layer as PEFT has it."""
    assert golden.prefix is not None
    tokens = golden.prefix.shape[2]
    rows = golden.prefix.transpose(2, 0, 1, 3).reshape(tokens, -1)
    folder.mkdir()
    save_file({"prompt_embeddings": torch.from_numpy(rows.copy())}, folder / ADAPTER_WEIGHTS)
    values = {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": tokens, "token_dim": 8}
    values |= {"num_attention_heads": 2, "num_layers": 1}
    (folder / "adapter_config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_it_needs_no_torch(tiny_checkpoint: Path, folders: dict[str, Path]) -> None:
    paths = {name: str(folder) for name, folder in folders.items()}
    code = (
        "import sys; from pathlib import Path; "
        "from qingtan.engine.native_runner import NativeRunner; "
        "from qingtan.engine.runner import Chunk; "
        f"adapters = {{name: Path(path) for name, path in {paths!r}.items()}}; "
        f"runner = NativeRunner.open({str(tiny_checkpoint)!r}, threads=1, adapters=adapters); "
        "[runner.forward([Chunk([5], 0, [0, 1], adapter=name)]) for name in adapters]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


Q = "base_model.model.model.layers.1.self_attn.q_proj"
EMBEDDING = "base_model.model.model.embed_tokens.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(f"{Q}.lora_B.weight"), r"q_proj\.lora_B\.weight is missing"),
        (lambda t: t[f"{Q}.lora_A.weight"].fill_(torch.nan), "LoRA of layer 1: .*not finite"),
        (lambda t: t[f"{Q}.lora_B.weight"].fill_(3e38), "LoRA of layer 1: .*not finite"),
        (
            lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(3, 64, dtype=torch.int8)}),
            r"is I8 of shape \[3, 64\]; .* ask for floats of shape \[4, 64\]",
        ),
        (lambda t: t.update({EMBEDDING: torch.ones(2, 64)}), "save_embedding_layers=False"),
        (lambda t: t.update(new=torch.ones(1)), "tensor new is not known"),
    ],
)
def test_lora_that_cannot_be_used_is_named(
    change: Callable[[dict[str, torch.Tensor]], Any],
    message: str,
    tiny_checkpoint: Path,
    folders: dict[str, Path],
    tmp_path: Path,
) -> None:
    tensors = load_file(folders["law"] / ADAPTER_WEIGHTS)
    change(tensors)
    save_file(tensors, tmp_path / ADAPTER_WEIGHTS)
    config = (folders["law"] / "adapter_config.json").read_bytes()
    (tmp_path / "adapter_config.json").write_bytes(config)
    with pytest.raises(UserError, match=message) as caught:
        NativeRunner.open(tiny_checkpoint, threads=1, adapters={"law": tmp_path})
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 65_520.0])
def test_a_prefix_beyond_the_caches_numbers_is_named(
    value: float, folders: dict[str, Path], tmp_path: Path
) -> None:
    tensors = load_file(folders["prefix"] / WEIGHTS)
    [rows] = tensors.values()
    rows[3, 7] = value
    save_file(tensors, tmp_path / WEIGHTS)
    (tmp_path / "config.json").write_bytes((folders["prefix"] / "config.json").read_bytes())
    with pytest.raises(UserError, match=rf"{tmp_path.name}: .*float16 cannot"):
        read_prefix(TINY, tmp_path)
    rows[3, 7] = 65_504
    save_file(tensors, tmp_path / WEIGHTS)
    assert np.abs(read_prefix(TINY, tmp_path)).max() == 65_504


def test_an_adapter_of_the_head_is_left_to_torch(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model = load_model(tiny_checkpoint)
    add_lora(model, "new", LoRAConfig(2, 4.0, targets=("qkv", "head")))
    save_lora(model, "new", tmp_path / "x", base="tiny")
    with pytest.raises(UserError, match=r"x: adds to the head.*torch engine"):
        read_lora(TINY, tmp_path / "x")


@pytest.mark.parametrize(("name", "stem"), [("law", "adapter_model"), ("prefix", "pytorch_model")])
def test_pickles_are_left_to_torch(
    name: str, stem: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    for file in folders[name].glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    read: Callable[..., object] = read_lora if name == "law" else read_prefix
    with pytest.raises(UserError, match=r"holds no .*model\.safetensors"):
        read(TINY, tmp_path)
    torch.save({}, tmp_path / f"{stem}.bin")
    with pytest.raises(UserError, match=rf"{stem}\.bin: a pickle.*convert it to safetensors"):
        read(TINY, tmp_path)
