"""Digests of checkpoints, held against those of the files' bytes."""

import hashlib
from pathlib import Path

import pytest
import torch

from qingtan.errors import UserError
from qingtan.glm.checkpoint import save_model
from qingtan.glm.digests import digest_checkpoint, digest_weights
from qingtan.glm.tokenizer import GLMTokenizer

from .samples import BASE, random_model


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_the_digest_of_the_weights_is_that_of_the_files_digests(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    model = random_model(BASE)
    save_model(model, tiny_tokenizer, tmp_path / "m", max_shard_bytes=9000)
    files = sorted((tmp_path / "m").glob("*.safetensors"))
    assert len(files) > 1
    whole = b"".join(sha256(path.read_bytes()) for path in files)
    digest = digest_weights(tmp_path / "m")
    assert digest == sha256(whole).hex()
    (tmp_path / "m" / "config.json").write_text("{}", encoding="utf-8")
    assert digest_weights(tmp_path / "m") == digest
    with torch.no_grad():
        model.head.weight[0, 0] += 1
    save_model(model, tiny_tokenizer, tmp_path / "other", max_shard_bytes=9000)
    assert digest_weights(tmp_path / "other") != digest
    with pytest.raises(UserError, match="holds no safetensors"):
        digest_weights(tmp_path / "nothing")


def test_the_digest_of_a_checkpoint_begins_with_its_configuration(
    tiny_tokenizer: GLMTokenizer, tmp_path: Path
) -> None:
    save_model(random_model(BASE), tiny_tokenizer, tmp_path / "m")
    config, weights = tmp_path / "m" / "config.json", tmp_path / "m" / "model.safetensors"
    digest = digest_checkpoint(tmp_path / "m")
    assert digest == sha256(sha256(config.read_bytes()) + sha256(weights.read_bytes())).hex()
    config.write_text("{}", encoding="utf-8")
    assert digest_checkpoint(tmp_path / "m") != digest
    config.unlink()
    with pytest.raises(UserError, match=r"m.config\.json: no such file"):
        digest_checkpoint(tmp_path / "m")
