"""Against what ChatGLM3's published code and files gave."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from qingtan.engine.native_runner import NativeRunner
from qingtan.engine.runner import Chunk
from qingtan.glm.cache import KVCache
from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.config import SIZES, GLMConfig
from qingtan.glm.conversation import encode_prompt
from qingtan.glm.model import GLM
from qingtan.glm.prefix import PrefixEncoder, save_prefix
from qingtan.glm.tokenizer import SPECIAL_TOKENS, GLMTokenizer

from .reference import Reference
from .samples import GOLDEN, needs_golden

pytestmark = needs_golden

CONFIG = GLMConfig(
    vocab_size=5,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=8,
    num_key_value_heads=2,
    head_dim=4,
    intermediate_size=48,
    max_position_embeddings=64,
)
# ChatGLM3's names, in the order of the file.
LAYER = "transformer.encoder.layers.0."
SHAPES = {
    "transformer.embedding.word_embeddings.weight": (5, 32),
    LAYER + "input_layernorm.weight": (32,),
    LAYER + "self_attention.query_key_value.weight": (48, 32),
    LAYER + "self_attention.query_key_value.bias": (48,),
    LAYER + "self_attention.dense.weight": (32, 32),
    LAYER + "post_attention_layernorm.weight": (32,),
    LAYER + "mlp.dense_h_to_4h.weight": (96, 32),
    LAYER + "mlp.dense_4h_to_h.weight": (32, 48),
    "transformer.encoder.final_layernorm.weight": (32,),
}


@dataclass(frozen=True)
class Golden:
    """One of the `.data` files; the prefix is (keys or values, groups, length, head_dim)."""

    prefix: NDArray[np.float16] | None
    tensors: dict[str, NDArray[np.float32]]
    steps: list[tuple[list[int], NDArray[np.float32]]]

    @property
    def tokens(self) -> list[int]:
        return [token for tokens, _ in self.steps for token in tokens]

    @property
    def outputs(self) -> NDArray[np.float32]:
        return np.concatenate([output for _, output in self.steps])

    def model(self, folder: Path) -> GLM:
        """Load the tensors as a checkpoint, with a head of zeros, which the file lacks."""
        tensors = {**self.tensors, "transformer.output_layer.weight": np.zeros((5, 32), "<f4")}
        folder.mkdir(exist_ok=True)
        save_file(tensors, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(CONFIG.to_chatglm()), encoding="utf-8")
        return load_model(folder)

    def adapters(self, folder: Path) -> dict[str, Path]:
        """Write the prefix, if there is one, as an adapter."""
        if self.prefix is None:
            return {}
        encoder = PrefixEncoder(CONFIG, length=self.prefix.shape[2])
        rows = torch.from_numpy(self.prefix).float().permute(2, 0, 1, 3).flatten(1)
        encoder.load_state_dict({"embedding.weight": rows})
        save_prefix(encoder, folder)
        return {"prefix": folder}

    def torch_prefix(self) -> torch.Tensor | None:
        return None if self.prefix is None else torch.from_numpy(self.prefix).float()[None]


def read_golden(name: str, has_prefix: bool) -> Golden:
    data = (GOLDEN / name).read_bytes()
    place = 0

    def take(shape: tuple[int, ...], kind: str = "<f4") -> NDArray:
        nonlocal place
        array = np.frombuffer(data, kind, int(np.prod(shape)), place)
        place += array.nbytes
        return array.reshape(shape).copy()

    prefix = take((2, 2, 5, 4), "<f2") if has_prefix else None
    tensors = {tensor: take(shape) for tensor, shape in SHAPES.items()}
    steps = [(take((n,), "<i4").tolist(), take((n, 32))) for n in (3, 1, 1)]
    assert place == len(data)
    return Golden(prefix, tensors, steps)


CASES = pytest.mark.parametrize(
    ("name", "has_prefix", "tolerance"),
    [
        ("chatglm3_one_layer.data", False, 1e-5),
        ("chatglm3_one_layer_ptuning_v2.data", True, 2e-4),
    ],
)


@CASES
def test_outputs_in_one_pass(name: str, has_prefix: bool, tolerance: float, tmp_path: Path) -> None:
    golden = read_golden(name, has_prefix)
    tokens = torch.tensor([golden.tokens])
    with torch.inference_mode():
        hidden = golden.model(tmp_path)(tokens, prefix=golden.torch_prefix()).hidden[0]
    np.testing.assert_allclose(hidden, golden.outputs, rtol=0, atol=tolerance)


@CASES
def test_outputs_step_by_step_through_a_cache(
    name: str, has_prefix: bool, tolerance: float, tmp_path: Path
) -> None:
    golden = read_golden(name, has_prefix)
    model = golden.model(tmp_path)
    cache = KVCache(CONFIG, 1, 10, prefix=golden.torch_prefix())
    for tokens, output in golden.steps:
        with torch.inference_mode():
            hidden = model(torch.tensor([tokens]), cache=cache).hidden[0]
        np.testing.assert_allclose(hidden, output, rtol=0, atol=tolerance)


@CASES
def test_outputs_of_the_native_engine(
    name: str, has_prefix: bool, tolerance: float, tmp_path: Path
) -> None:
    """It keeps keys and values in float16, and its sums of hidden states are of a token each."""
    golden = read_golden(name, has_prefix)
    golden.model(tmp_path / "model")
    adapters = golden.adapters(tmp_path / "prefix")
    runner = NativeRunner.open(tmp_path / "model", threads=1, adapters=adapters)
    adapter = next(iter(adapters), None)
    for i, (token, output) in enumerate(zip(golden.tokens, golden.outputs, strict=True)):
        step = [Chunk([token], i, [3], logits=0, hidden=True, adapter=adapter)]
        hidden = runner.forward(step).hidden[0]
        np.testing.assert_allclose(hidden, output, rtol=0, atol=tolerance + 5e-4)


@CASES
def test_the_reference_of_our_own_agrees(name: str, has_prefix: bool, tolerance: float) -> None:
    golden = read_golden(name, has_prefix)
    prefix = None
    if golden.prefix is not None:
        keys, values = golden.prefix.astype(np.float64)
        prefix = [(keys, values)]
    reference = Reference(golden.tensors, heads=8, groups=2, head_dim=4, prefix=prefix)
    hidden = reference.hidden(golden.tokens)
    np.testing.assert_allclose(hidden, golden.outputs, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def tokenizer() -> GLMTokenizer:
    return GLMTokenizer.from_file(GOLDEN / "chatglm3_tokenizer.model")


def test_the_published_vocabulary(tokenizer: GLMTokenizer) -> None:
    assert tokenizer.vocab_size == 64_789 + 9
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2)
    assert [tokenizer.special_id(token) for token in SPECIAL_TOKENS] == [*range(64_789, 64_798)]
    assert tokenizer.prefix == [64_790, 64_792]
    assert tokenizer.special_id("<|observation|>") == 64_797
    assert tokenizer.encode("\n") == [30_910, 13]


def test_conversations_have_the_published_tokens(tokenizer: GLMTokenizer) -> None:
    samples = json.loads((GOLDEN / "conversation_tokens.json").read_text(encoding="utf-8"))
    for sample in samples:
        messages = [{"role": role, "content": text} for role, text in sample["messages"]]
        assert encode_prompt(tokenizer, messages) == sample["ids"]
    answer = samples[1]["messages"][1][1]
    ids = samples[1]["ids"]
    start = ids.index(tokenizer.special_id("<|assistant|>")) + 3
    end = ids.index(tokenizer.special_id("<|user|>"), start)
    assert tokenizer.decode(ids[start:end]) == answer


def test_the_published_configuration() -> None:
    values = json.loads((GOLDEN / "chatglm3_config.json").read_text(encoding="utf-8"))
    assert GLMConfig.from_json(values) == SIZES["chatglm3-6b"]


def test_the_published_index_has_exactly_our_names(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    index = json.loads((GOLDEN / "chatglm3_index.json").read_text(encoding="utf-8"))
    published = {name for name in index["weight_map"] if not name.endswith("inv_freq")}
    config = SIZES["chatglm3-6b"]
    with torch.device("meta"):
        model = GLM(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == 6_243_584_000
    assert config.num_parameters == 6_243_584_000
    # The file counts the 32 float16 rotary frequencies too.
    assert index["metadata"]["total_size"] == 2 * (6_243_584_000 + 32)

    # What is written does not depend on a tensor's size: the same depth, in miniature.
    small = GLMConfig.named("chatglm3-6b", **MINIATURE)
    folder = tmp_path / "model"
    save_model(GLM(small), tiny_tokenizer, folder, layout="chatglm", max_shard_bytes=10_000)
    written = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
    assert set(written["weight_map"]) == published
    assert load_model(folder).config == small


MINIATURE = {
    "vocab_size": 16,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "head_dim": 4,
    "intermediate_size": 8,
}
