"""An adapter's tensors as its file has them, whoever opened it: checked first, read as numpy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import UserError
from qingtan.glm.stored import FLOATS, list_files, open_stored

# What the file of a checkpoint's tensors is called, as safetensors and as a pickle.
MODEL_STEMS = ("model", "pytorch_model")


@dataclass(frozen=True)
class AdapterTensor:
    """A tensor that is not read yet.

    Attributes:
        name: its name in the file.
        file: where it is.
        dtype: its type of number, as messages have it.
        is_float: whether that is a type of floats.
        shape: its lengths.
        floats: reads it as float32.
    """

    name: str
    file: Path
    dtype: str
    is_float: bool
    shape: tuple[int, ...]
    floats: Callable[[], NDArray[np.float32]]


# Opens the tensors of a folder by name. The stems are what the file is called as safetensors and as
# a pickle.
Opener = Callable[[Path, tuple[str, str]], Mapping[str, AdapterTensor]]


def map_adapter(folder: Path, stems: tuple[str, str]) -> dict[str, AdapterTensor]:
    """Return the tensors of an adapter's safetensors by name; an `Opener` that needs no torch.

    Raises:
        UserError: a file is missing, damaged, or a pickle, which only torch reads.
    """
    if not list_files(folder, f"{stems[0]}.safetensors"):
        for pickled in list_files(folder, f"{stems[1]}.bin"):
            raise UserError(
                f"{pickled}: a pickle, which can run code when it is opened; convert it to "
                "safetensors"
            )
    return {
        name: AdapterTensor(
            name, stored.file, stored.dtype, stored.dtype in FLOATS, stored.shape, stored.floats
        )
        for name, stored in open_stored(folder, stems[0]).items()
    }
