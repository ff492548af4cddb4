"""A table of known sources: the licence, origin and attribution of each name."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from qingtan.errors import UserError
from qingtan.provenance.record import Source
from qingtan.provenance.spdx import UNKNOWN_LICENCE, is_identified, normalise


class KnownSource(BaseModel):
    """What the table says of one source."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    licence: str
    """An SPDX expression or `LicenseRef-…`; it holds for records that name no licence."""
    origin: str = ""
    """Where the text was taken from, with the version."""
    attribution: str = ""
    """Whom to name."""
    stated_in: str = ""
    """The file or sentence that states the licence."""
    note: str = ""
    """What else a person who redistributes the text should know."""
    aliases: tuple[str, ...] = ()
    """Other names under which records of this source appear."""


class LicenceTable(BaseModel):
    """Known sources by name, and SPDX expressions for the licence strings that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    licences: dict[str, str] = {}
    """A record's licence string → its SPDX expression."""
    sources: dict[str, KnownSource] = {}
    """The sources by name."""

    @classmethod
    def read(cls, path: str | Path) -> "LicenceTable":
        """Read the table from TOML.

        Raises:
            UserError: the file is missing, is not TOML, or a field is unknown or wrong.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            return cls.model_validate(values)
        except FileNotFoundError:
            raise UserError(f"{path}: no such table of sources") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
            raise UserError(f"{path}: not a table of sources: {error}") from None

    def describe(self, name: Any, licence: Any) -> Source:
        """Return the source of a record, with no counts.

        A record's own licence comes before the table's, since one source may hold several; what
        neither states is `LicenseRef-unknown`, never guessed. Known spellings become SPDX
        expressions; words that name no known licence stay as they are.

        Args:
            name: the record's `source`.
            licence: the record's `licence`, or None.
        """
        canonical = self._canonical(str(name))
        known = self.sources.get(canonical)
        stated = licence if isinstance(licence, str) and licence.strip() else None
        if stated is None:
            stated = known.licence if known else UNKNOWN_LICENCE
        stated = self.licences.get(stated, stated)
        return Source(
            name=canonical,
            licence=normalise(stated) if is_identified(stated) else stated,
            origin=known.origin if known else "",
            attribution=known.attribution if known else "",
        )

    def _canonical(self, name: str) -> str:
        if name in self.sources:
            return name
        return next((key for key, known in self.sources.items() if name in known.aliases), name)
