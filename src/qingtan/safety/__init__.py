"""What text must not carry: personal data."""

from qingtan.safety.personal import (
    ALL_KINDS,
    DEFAULT_KINDS,
    DEFAULT_MASKS,
    Finding,
    PersonalDataTable,
    PersonalKind,
    find_personal_data,
    mask_personal_data,
    obscure_personal_data,
)

__all__ = [
    "ALL_KINDS",
    "DEFAULT_KINDS",
    "DEFAULT_MASKS",
    "Finding",
    "PersonalDataTable",
    "PersonalKind",
    "find_personal_data",
    "mask_personal_data",
    "obscure_personal_data",
]
