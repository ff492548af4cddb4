"""Files of tensors: safetensors, single or sharded with an index, and pickles where asked for."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from qingtan.errors import UserError
from qingtan.files import write_json
from qingtan.glm.stored import list_files


def open_tensors(
    folder: Path, allow_pickle: bool, stems: tuple[str, str] = ("model", "pytorch_model")
) -> tuple[dict[str, Tensor], dict[str, Path]]:
    """Return every tensor of a checkpoint by name, mapped from its file, and the files by name.

    Args:
        stems: how the files are called as safetensors (preferred) and as pickles.

    Raises:
        UserError: a file is missing, damaged, or a pickle that was not asked for.
    """
    for stem, suffix, read in (
        (stems[0], "safetensors", _map_safetensors),
        (stems[1], "bin", _read_pickle),
    ):
        files = list_files(folder, f"{stem}.{suffix}")
        if files and (suffix == "safetensors" or allow_pickle):
            found = {file: read(file) for file in files}
            stored = {name: tensor for part in found.values() for name, tensor in part.items()}
            return stored, {name: file for file, part in found.items() for name in part}
        if files:
            raise UserError(
                f"{files[0]}: a pickle, which can run code when it is opened; convert it to "
                "safetensors, or ask for it by name with allow_pickle"
            )
    raise UserError(f"{folder}: holds no {stems[0]}.safetensors, whole or with an index")


def join_tensors(
    names: Sequence[str], stored: Mapping[str, Tensor], files: Mapping[str, Path]
) -> Tensor:
    """Return tensors of the same width as one, a copy of their rows in the names' order.

    Args:
        stored, files: as `open_tensors` returns them.
    """
    if files[names[0]].suffix != ".safetensors":
        return torch.cat([stored[name] for name in names])
    rows = sum(len(stored[name]) for name in names)
    joined = stored[names[0]].new_empty(rows, *stored[names[0]].shape[1:])
    for name, place in zip(
        names, torch.split(joined, [len(stored[name]) for name in names]), strict=True
    ):
        # A mapping of its own: with it go the pages that were read, which would otherwise stay
        # beside the copy for as long as the file is mapped.
        with safe_open(files[name], framework="pt") as file:
            place.copy_(file.get_tensor(name))
    return joined


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file."""
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors writes files that only their owner can read


def save_shards(tensors: dict[str, Tensor], folder: Path, max_shard_bytes: int) -> None:
    """Write tensors as `model.safetensors`, or as several files with an index.

    Args:
        max_shard_bytes: the most that a file's tensors take, but for one that is larger alone.
    """
    shards: list[dict[str, Tensor]] = [{}]
    size = total = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > max_shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
        total += tensor.nbytes
    if len(shards) == 1:
        save_tensors(shards[0], folder / "model.safetensors")
        return
    weight_map = {}
    for i, shard in enumerate(shards, start=1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        save_tensors(shard, folder / file)
        weight_map.update(dict.fromkeys(shard, file))
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(folder / "model.safetensors.index.json", index)


def _map_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path}: the index names this file, and it is missing") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged or truncated: {error}") from None


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torch.load(path, weights_only=True, mmap=True)
    except FileNotFoundError:
        raise UserError(f"{path}: the index names this file, and it is missing") from None
    except Exception as error:  # torch raises many kinds for a damaged or hostile pickle
        raise UserError(f"{path}: damaged, or not only weights: {error}") from None
    return state
