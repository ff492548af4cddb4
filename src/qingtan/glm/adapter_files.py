"""An adapter's tensors as torch opens them: safetensors of any type, and pickles if asked for."""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from qingtan.errors import UserError
from qingtan.glm.adapter_tensors import AdapterTensor, Opener
from qingtan.glm.tensor_files import open_tensors


def torch_opener(allow_pickle: bool) -> Opener:
    """Return an `Opener` that raises what `open_tensors` does."""
    return partial(_open, allow_pickle)


def _open(allow_pickle: bool, folder: Path, stems: tuple[str, str]) -> dict[str, AdapterTensor]:
    stored, files = open_tensors(folder, allow_pickle, stems)
    return {name: _adapter_tensor(name, files[name], tensor) for name, tensor in stored.items()}


def _adapter_tensor(name: str, file: Path, tensor: Tensor) -> AdapterTensor:
    # A pickle may hold whatever its writer put into it.
    if not isinstance(tensor, Tensor):
        raise UserError(f"{file}: {name} is no tensor")
    floats = partial(_floats, tensor)
    shape = tuple(tensor.shape)
    return AdapterTensor(name, file, str(tensor.dtype), tensor.is_floating_point(), shape, floats)


def _floats(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().float().numpy()
    return array
