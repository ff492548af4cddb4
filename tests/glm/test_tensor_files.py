"""Files of tensors: written and mapped again, and what is said of damaged and hostile ones."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qingtan.errors import UserError
from qingtan.glm.tensor_files import join_tensors, open_tensors, save_shards

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLE = "pytorch_model.bin"
TENSORS = {
    name: torch.randn(rows, 8, generator=torch.Generator().manual_seed(rows))
    for name, rows in (("query", 8), ("key", 4), ("value", 2))
}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A folder with all tensors in one file."""
    save_shards(TENSORS, tmp_path, 1 << 30)
    return tmp_path


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A folder with the tensors in two files and an index, beside which others may lie."""
    folder = tmp_path / "m"
    folder.mkdir()
    save_shards(TENSORS, folder, 300)
    return folder


def is_like_ours(folder: Path, allow_pickle: bool = False) -> bool:
    """Say whether a folder holds our tensors, each in the file that it is said to be in."""
    stored, files = open_tensors(folder, allow_pickle)
    assert stored.keys() == files.keys()
    if not allow_pickle:
        assert all(torch.equal(load_file(files[n])[n], stored[n]) for n in stored)
    joined = join_tensors(list(TENSORS), stored, files)
    assert torch.equal(joined, torch.cat(list(TENSORS.values())))
    return stored.keys() == TENSORS.keys() and all(
        torch.equal(stored[name], tensor) for name, tensor in TENSORS.items()
    )


def test_tensors_are_read_as_they_were_written(whole: Path, sharded: Path) -> None:
    assert is_like_ours(whole)
    assert is_like_ours(sharded)
    assert not (whole / INDEX).exists()
    index = json.loads((sharded / INDEX).read_text(encoding="utf-8"))
    first, second = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
    assert index["weight_map"] == {"query": first, "key": second, "value": second}
    assert index["metadata"]["total_size"] == 14 * 8 * 4
    assert {path.stat().st_mode & 0o777 for path in whole.glob("*.safetensors")} == {0o644}


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_is_named(whole: Path, keep: int) -> None:
    data = (whole / WEIGHTS).read_bytes()
    (whole / WEIGHTS).write_bytes(data[:keep])
    with pytest.raises(UserError, match=r"model\.safetensors: damaged or truncated"):
        open_tensors(whole, allow_pickle=False)


def test_a_missing_shard_is_named(sharded: Path) -> None:
    last = max(sharded.glob("model-*.safetensors"))
    last.unlink()
    with pytest.raises(UserError, match=last.name):
        open_tensors(sharded, allow_pickle=False)


@pytest.mark.parametrize("file", ["../x.safetensors", "/x.safetensors", "..", "", "a/b", "x.bin"])
def test_an_index_cannot_name_a_file_elsewhere(sharded: Path, file: str) -> None:
    save_file(TENSORS, sharded.parent / "x.safetensors")
    index = json.loads((sharded / INDEX).read_text(encoding="utf-8"))
    index["weight_map"]["key"] = file
    (sharded / INDEX).write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(UserError, match=r"index\.json: names"):
        open_tensors(sharded, allow_pickle=False)


@pytest.mark.parametrize("text", ["{}", "[]", "", '{"weight_map": 3}', '{"weight_map": {"a": 1}}'])
def test_a_damaged_index_is_named(sharded: Path, text: str) -> None:
    (sharded / INDEX).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"index\.json"):
        open_tensors(sharded, allow_pickle=False)


def test_safetensors_are_preferred_to_a_pickle(whole: Path) -> None:
    torch.save({}, whole / PICKLE)
    assert is_like_ours(whole, allow_pickle=True)


def test_a_folder_without_tensors_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        open_tensors(tmp_path, allow_pickle=True)


def test_a_pickle_is_read_only_when_asked_for(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / PICKLE)
    with pytest.raises(UserError, match=r"pytorch_model\.bin: a pickle"):
        open_tensors(tmp_path, allow_pickle=False)
    assert is_like_ours(tmp_path, allow_pickle=True)


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def test_a_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    proof = tmp_path / "it-ran"
    torch.save({**TENSORS, "x": Hostile(f"touch {proof}")}, tmp_path / PICKLE)
    for allow_pickle in (False, True):
        with pytest.raises(UserError, match=r"pytorch_model\.bin"):
            open_tensors(tmp_path, allow_pickle)
    assert not proof.exists()
    # The file would have run it.
    torch.load(tmp_path / PICKLE, weights_only=False)
    assert proof.exists()
