"""How a checkpoint's matrices are stored where they are no plain floats, as `config.json` says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from qingtan.errors import UserError

Precision = Literal["float32", "bf16", "int8", "int4"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# The field of `config.json` for this project's packed checkpoints, and what stands in it.
PACKED_FIELD = "quantization"
_FORMAT, _VERSION = "qingtan", 1
# ChatGLM3's own field: the layers' matrices are whole numbers of so many bits.
_CHATGLM_FIELD = "quantization_bit"
STORAGE_FIELDS = (PACKED_FIELD, _CHATGLM_FIELD)
_CHATGLM_BITS: dict[int, Precision] = {8: "int8", 4: "int4"}


@dataclass(frozen=True)
class Quantization:
    """The precision that a checkpoint's matrices are stored in.

    Attributes:
        precision: of the layers' matrices.
        head: of the embedding and the head; None where they are stored as plain floats.
    """

    precision: Precision
    head: Precision | None

    @property
    def packed(self) -> bool:
        """Whether the tensors are packed as the kernels read them; else it is ChatGLM3's form."""
        return self.head is not None

    @classmethod
    def from_json(
        cls, values: Mapping[str, Any], origin: str = "config.json"
    ) -> "Quantization | None":
        """Read what a `config.json` says of it; None for a checkpoint of plain floats.

        Raises:
            UserError: it says what no version of ours writes, or names two kinds at once.
        """
        packed, bits = values.get(PACKED_FIELD), values.get(_CHATGLM_FIELD) or 0
        if packed is None:
            if type(bits) is not int or bits not in (0, *_CHATGLM_BITS):
                raise UserError(
                    f"{origin}: {_CHATGLM_FIELD} is {bits!r}; only 0, 4 and 8 are known"
                )
            return cls(_CHATGLM_BITS[bits], None) if bits else None
        if bits:
            raise UserError(f"{origin}: has both {PACKED_FIELD} and {_CHATGLM_FIELD}; one must go")
        expected = {"format": _FORMAT, "version": _VERSION}
        if not isinstance(packed, dict) or any(packed.get(k) != v for k, v in expected.items()):
            raise UserError(
                f"{origin}: {PACKED_FIELD} is {packed!r}; only format {_FORMAT!r}, version "
                f"{_VERSION} is known: convert the original checkpoint again with this version"
            )
        for name in ("precision", "head"):
            if packed.get(name) not in PRECISIONS:
                raise UserError(
                    f"{origin}: {PACKED_FIELD}: {name} is {packed.get(name)!r}, none of "
                    f"{', '.join(PRECISIONS)}"
                )
        return cls(packed["precision"], packed["head"])

    def to_json(self) -> dict[str, Any]:
        """Return the field of a packed checkpoint's `config.json`."""
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "precision": self.precision,
            "head": self.head,
        }
