"""The memory that loading takes, measured in processes of their own."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qingtan.glm.checkpoint import save_model
from qingtan.glm.model import GLM
from qingtan.glm.tokenizer import GLMTokenizer

from .samples import BASE

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "loading.py"
# A group a head, so that transformers' layout splits as much of the model as it can.
CONFIG = replace(
    BASE,
    vocab_size=2048,
    hidden_size=768,
    num_hidden_layers=7,
    num_attention_heads=12,
    num_key_value_heads=12,
    head_dim=64,
    intermediate_size=2048,
)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_a_checkpoint_loads_within_its_own_size(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    model = GLM(CONFIG)
    running = {}
    for layout in ("chatglm", "glm"):
        # In shards, as large models are.
        save_model(model, tiny_tokenizer, tmp_path / layout, layout=layout, max_shard_bytes=6 << 24)
        command = [sys.executable, str(BENCHMARK), "--measure", "qingtan", str(tmp_path / layout)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        running[layout] = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    size = CONFIG.num_parameters * 4
    assert size > 200e6
    for process in running.values():
        output, _ = process.communicate(timeout=60)
        # Less than the whole would mean that not every weight was there to be read.
        assert 0.97 < json.loads(output)["bytes"] / size < 1.10
