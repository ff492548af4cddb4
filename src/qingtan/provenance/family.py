"""What one row of the table of licences holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Use = Literal["commercial", "research", "redistribute"]
Answer = Literal["yes", "conditional", "unknown", "no"]
Category = Literal[
    "public domain",
    "permissive",
    "attribution",
    "share-alike",
    "non-commercial",
    "no-derivatives",
    "custom",
    "proprietary",
    "unknown",
]
Obligation = Literal[
    "attribution",
    "licence-text",
    "notices",
    "state-changes",
    "share-alike",
    "source",
    "network-source",
    "registration",
    "use-restrictions",
    "naming",
    "non-commercial",
    "unmodified",
    "not-transferable",
    "read",
]
# English and Chinese, for `tr`.
Text = tuple[str, str]


@dataclass(frozen=True)
class Permission:
    """Whether a licence allows a use, and what it asks for it."""

    answer: Answer
    obligations: tuple[Obligation, ...] = ()


YES, NO, UNKNOWN = Permission("yes"), Permission("no"), Permission("unknown")


def on_condition(*obligations: Obligation) -> Permission:
    """Allow a use that meets some obligations."""
    return Permission("conditional", obligations)


def versions(name: str, numbers: str) -> tuple[str, ...]:
    """Return the identifiers of a licence's versions, "1.0 2.0" as `<name>-1.0`, `<name>-2.0`."""
    return tuple(f"{name}-{number}" for number in numbers.split())


@dataclass(frozen=True)
class Terms:
    """What the licences of one family ask.

    Attributes:
        name: the family's.
        licences: SPDX identifiers and `LicenseRef-…`.
        explanation: in plain words, English and Chinese.
        adaptations: for a share-alike licence, those under which an adaptation may be shared.
    """

    name: str
    category: Category
    licences: tuple[str, ...]
    commercial: Permission
    research: Permission
    redistribute: Permission
    explanation: Text
    adaptations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def permission(self, use: Use) -> Permission:
        """Return what it says of a use."""
        return {
            "commercial": self.commercial,
            "research": self.research,
            "redistribute": self.redistribute,
        }[use]
