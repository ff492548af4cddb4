"""Against transformers' own GLM, in both directions."""

import json
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig, GlmConfig, GlmForCausalLM

from qingtan.glm.cache import KVCache
from qingtan.glm.checkpoint import load_model, save_model
from qingtan.glm.config import GLMConfig
from qingtan.glm.model import GLM, LAST
from qingtan.glm.tokenizer import GLMTokenizer

from .samples import BASE, SHAPES, random_model, random_tokens

TOLERANCE = {"rtol": 0, "atol": 1e-4}
NEW_TOKENS = 12


def complete(model: GLM, prompt: list[int]) -> list[int]:
    """Return the greedy continuation."""
    cache = KVCache(model.config, 1, len(prompt) + NEW_TOKENS)
    tokens, answer = prompt, []
    with torch.inference_mode():
        for _ in range(NEW_TOKENS):
            logits = model(torch.tensor([tokens]), cache=cache, logits_at=LAST).logits
            tokens = [int(logits[0, -1].argmax())]
            answer += tokens
    return answer


def complete_theirs(model: GlmForCausalLM, prompt: list[int]) -> list[int]:
    model.generation_config.eos_token_id = None
    settings = GenerationConfig(max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0)
    ids = torch.tensor([prompt])
    answer = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    return answer[0, len(prompt) :].tolist()


def compare(ours: GLM, theirs: GlmForCausalLM) -> None:
    """Compare logits, with and without a cache, and what greedy decoding gives."""
    tokens = random_tokens(ours.config, 3, 17)
    with torch.inference_mode():
        expected = theirs(tokens).logits
        torch.testing.assert_close(ours(tokens).logits, expected, **TOLERANCE)
        cache = KVCache(ours.config, 3, 17)
        pieces = [ours(part, cache=cache).logits for part in tokens.split([9, 1, 5, 1, 1], 1)]
        torch.testing.assert_close(torch.cat(pieces, 1), expected, **TOLERANCE)
        prompt = tokens[0, :5].tolist()
        assert complete(ours, prompt) == complete_theirs(theirs, prompt)


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_transformers_reads_what_we_write(
    config: GLMConfig, tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    model = random_model(config)
    save_model(model, tiny_tokenizer, tmp_path / "ours", layout="glm")
    theirs, report = GlmForCausalLM.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report.values())
    compare(model, theirs.eval())


@pytest.mark.parametrize("shard_size", ["1GB", "20KB"], ids=["single", "sharded"])
@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_we_read_what_transformers_writes(
    config: GLMConfig, shard_size: str, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    theirs = GlmForCausalLM(GlmConfig(**config.to_transformers(), initializer_range=0.3)).eval()
    theirs.save_pretrained(tmp_path, max_shard_size=shard_size)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard_size == "20KB")
    model = load_model(tmp_path)
    assert model.config == config
    compare(model, theirs)


def test_older_transformers_wrote_rope_theta_at_the_top(tmp_path: Path) -> None:
    values = BASE.to_transformers()
    del values["rope_parameters"]
    values |= {"rope_theta": 500_000.0, "partial_rotary_factor": 0.5, "torch_dtype": "float32"}
    assert GLMConfig.from_json(values).rope_theta == 500_000.0


def test_the_generation_config_stops_where_our_engine_does(
    tiny_checkpoint: Path, tiny_tokenizer: GLMTokenizer
) -> None:
    settings = GenerationConfig.from_pretrained(tiny_checkpoint)
    names = [tiny_tokenizer.token_name(token) for token in settings.eos_token_id]
    assert names == ["</s>", "<|user|>", "<|observation|>"]
    written = json.loads((tiny_checkpoint / "generation_config.json").read_text(encoding="utf-8"))
    assert (written["temperature"], written["top_p"]) == (0.8, 0.8)
