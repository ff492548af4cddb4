"""Checkpoints whose matrices are to be packed: plain floats, or ChatGLM3's own quantization.

Tensors are read one after another, each from a mapping that ends with it, so that a model takes
its packed size and one matrix more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtan.errors import UserError
from qingtan.files import read_json
from qingtan.glm.config import GLMConfig
from qingtan.glm.layouts import (
    CONFIG_FILE,
    IGNORED_SUFFIX,
    check_floats,
    check_tensors,
    drop_tied_head,
    load_config,
    stored_names,
    stored_shapes,
    tensor_shapes,
)
from qingtan.glm.packed import (
    FORMATS,
    Tensor,
    fill_up,
    packed_shapes,
    precision_of,
    stored_quantization,
)
from qingtan.glm.quantization import Precision, Quantization
from qingtan.glm.stored import FLOATS, Stored, open_stored
from qingtan.native import Matrix, Pool

_GROUP = 32
_SCALE_SUFFIX = "_scale"
# Whole numbers in a byte of ChatGLM3's matrices.
_PER_BYTE: dict[Precision, int] = {"int8": 1, "int4": 2}


@dataclass(frozen=True)
class Source:
    """A checkpoint that was opened and checked.

    Attributes:
        folder: of the checkpoint.
        config: its shape.
        layout: of its tensors' names.
        quantized: the precision of the layers' matrices where ChatGLM3 quantized them.
        stored: its tensors by their stored names.
    """

    folder: Path
    config: GLMConfig
    layout: str
    quantized: Precision | None
    stored: dict[str, Stored]

    @classmethod
    def open(cls, folder: Path) -> "Source":
        """Open a checkpoint and check its tensors against `config.json`; nothing is read yet.

        Raises:
            UserError: the checkpoint is packed already, a file is missing or damaged, or a tensor
                is missing, unknown, or of the wrong shape or type; the message names it.
        """
        quantization = stored_quantization(folder)
        if quantization is not None and quantization.packed:
            raise UserError(f"{folder}: is packed already; name the checkpoint it was made from")
        config = load_config(folder)
        layout: str = read_json(folder / CONFIG_FILE)["model_type"]
        stored = {
            name: tensor
            for name, tensor in open_stored(folder).items()
            if not name.endswith(IGNORED_SUFFIX)
        }
        quantized = None if quantization is None else quantization.precision
        source = cls(folder, config, layout, quantized, stored)
        source._check()
        return source

    def is_quantized(self, name: str) -> bool:
        """Return whether ChatGLM3 quantized one of our tensors: the layers' matrices are."""
        in_layer = name.startswith("layers.") and len(tensor_shapes(self.config)[name]) == 2
        return self.quantized is not None and in_layer

    def tensors(self, target: Quantization, pool: Pool) -> Iterator[tuple[str, Tensor]]:
        """Yield our tensors by name, as `tensor` gives them.

        Raises:
            UserError: a matrix holds numbers that cannot be packed; the message names it.
        """
        for name in tensor_shapes(self.config):
            yield name, self.tensor(name, target, pool)

    def tensor(self, name: str, target: Quantization, pool: Pool) -> Tensor:
        """Return one of our tensors: a matrix packed (`packed_shapes`), norms and biases float32.

        What ChatGLM3 quantized keeps its numbers exactly, whatever the target's precision.

        Raises:
            UserError: a matrix holds numbers that cannot be packed; the message names it.
        """
        parts = self._parts(name)
        if len(tensor_shapes(self.config)[name]) == 1:
            return np.concatenate([part.floats() for part in parts])
        shape = packed_shapes(self.config, target)[name]
        try:
            if self.is_quantized(name):
                return self._repack(name, shape, pool)
            fmt = FORMATS[precision_of(name, target)]
            return Matrix(fill_up(name, _joined(parts), shape), fmt, pool)
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"{parts[0].file}: {name}: {error}") from None

    def floats(self, name: str, target: Quantization) -> NDArray[np.float32]:
        """Return one of our tensors, which ChatGLM3 did not quantize, in float32.

        Returns:
            Of the shape of `packed_shapes`.

        Raises:
            UserError: it holds numbers that are not finite; the message names it.
        """
        parts = self._parts(name)
        joined = np.concatenate([part.floats() for part in parts])
        if not np.isfinite(joined).all():
            raise UserError(f"{parts[0].file}: {name}: rows: a number is not finite")
        shape = packed_shapes(self.config, target)[name]
        return fill_up(name, joined, shape) if len(shape) == 2 else joined

    def _parts(self, name: str) -> list[Stored]:
        shape = tensor_shapes(self.config)[name]
        return [self.stored[part] for part in self._stored_shapes(name, shape)]

    def _stored_shapes(self, name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return stored_shapes(self.config, self.layout, name, shape)

    def _check(self) -> None:
        expected: dict[str, tuple[int, ...]] = {}
        for name, shape in tensor_shapes(self.config).items():
            for part, (rows, *columns) in self._stored_shapes(name, shape).items():
                if self.is_quantized(name) and self.quantized:
                    columns = [columns[0] // _PER_BYTE[self.quantized]]
                    expected[part + _SCALE_SUFFIX] = (rows,)
                expected[part] = (rows, *columns)
        found = {name: tensor.shape for name, tensor in self.stored.items()}
        drop_tied_head(self.folder, self.config, self.layout, found, self._are_equal)
        check_tensors(self.folder, expected, found)
        self._check_dtypes(expected)

    def _check_dtypes(self, expected: dict[str, tuple[int, ...]]) -> None:
        """Check that the numbers are of one type of float, but for the whole ones."""
        whole = {name for name in expected if name + _SCALE_SUFFIX in expected}
        for name in whole:
            if self.stored[name].dtype != "I8":
                raise UserError(
                    f"{self.folder}: tensor {name} has dtype {self.stored[name].dtype}; "
                    f"config.json says that it is quantized, which is I8"
                )
        floats = {name: self.stored[name].dtype for name in expected if name not in whole}
        check_floats(self.folder, floats, FLOATS)

    def _are_equal(self, one: str, other: str) -> bool:
        return np.array_equal(self.stored[one].map(), self.stored[other].map())

    def _repack(self, name: str, shape: tuple[int, ...], pool: Pool) -> Matrix:
        """Return a matrix of ChatGLM3's quantization, whose rows have one scale each.

        Args:
            shape: that it is to be packed in.
        """
        (stored_name,) = stored_names(self.layout, name)
        levels = self.stored[stored_name].map()
        if self.quantized == "int4":
            levels = _nibbles(levels)
        scales = _halves(self.stored[stored_name + _SCALE_SUFFIX])
        groups = np.repeat(scales[:, None], shape[1] // _GROUP, axis=1)
        levels = fill_up(name, levels, shape)
        groups = fill_up(name, groups, (shape[0], groups.shape[1]))
        return Matrix.from_levels(levels, groups, FORMATS[self.quantized or "int8"], pool)


def _joined(parts: list[Stored]) -> NDArray[Any]:
    """Return matrices of the same width as one, by rows."""
    return parts[0].map() if len(parts) == 1 else np.concatenate([part.map() for part in parts])


def _nibbles(data: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return int4 numbers (n, 2 m) from bytes (n, m): even columns in the high half.

    So ChatGLM3's `compress_int4_weight` has written them (quantization.py of its repository).
    """
    levels = np.empty((len(data), 2 * data.shape[1]), np.int8)
    levels[:, 0::2] = data >> 4
    levels[:, 1::2] = (data << 4) >> 4
    return levels


def _halves(scales: Stored) -> NDArray[np.float16]:
    """Return scales as fp16, which they are but for a conversion of the whole file."""
    floats = scales.floats()
    with np.errstate(over="ignore"):
        halves = floats.astype(np.float16)
    if not np.array_equal(halves, floats):
        raise UserError(f"{scales.file}: a matrix's scales are no finite float16 numbers")
    return halves
