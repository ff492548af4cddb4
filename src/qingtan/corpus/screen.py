"""Which records of a source are used: not broken ones, duplicates or excluded sources."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TextIO

from qingtan.corpus.documents import digest_of, text_of
from qingtan.corpus.readers import Record, Rejected, read_records
from qingtan.corpus.recipe import ReadingRecipe, SourceFile
from qingtan.errors import UserError


@dataclass(frozen=True)
class Usable:
    """A record to use.

    Attributes:
        text: the document, or the contents of the conversation's messages.
        source: the record's own source, or else the recipe's name for the file.
        licence: the record's own licence, if it names one.
        digest: 16 bytes, the same for the same text.
    """

    line: int
    value: dict[str, Any]
    text: str
    source: str
    licence: str | None
    digest: bytes


class Screen:
    """Iterates over the usable records of a source and counts the others.

    It remembers 16 bytes of every record, to know duplicates.

    Attributes:
        read, rejected, duplicates, excluded: numbers of records so far.
    """

    def __init__(
        self, recipe: ReadingRecipe, source: SourceFile, log: TextIO | None = None
    ) -> None:
        """Prepare to read.

        Args:
            log: takes a JSON line for each rejected record.
        """
        self.read = self.rejected = self.duplicates = self.excluded = 0
        self._source = source
        self._path = source.file(recipe.root)
        self._excluded_names = recipe.exclude_sources
        self._max_rejected_share = recipe.max_rejected_share
        self._log = log
        self._first_rejected: Rejected | None = None
        self._seen: set[bytes] = set()

    def __iter__(self) -> Iterator[Usable]:
        """Yield the usable records in the file's order.

        Raises:
            UserError: the file is missing or cannot be read to its end.
        """
        for item in islice(read_records(self._path), self._source.limit):
            self.read += 1
            usable = self._check(item)
            if usable is not None:
                yield usable

    def reject(self, line: int, reason: str) -> None:
        """Count and log a record that cannot be used."""
        self.rejected += 1
        self._first_rejected = self._first_rejected or Rejected(line, reason)
        if self._log:
            entry = {"file": self._source.path.as_posix(), "line": line, "reason": reason}
            self._log.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def finish(self) -> None:
        """Check the share of rejected records, once all are read and encoded.

        Raises:
            UserError: more than the recipe allows; the message gives the file and first reason.
        """
        first = self._first_rejected
        if first and self.rejected > self._max_rejected_share * self.read:
            raise UserError(
                f"{self._path}: {self.rejected} of {self.read} records cannot be used, more than "
                f"max_rejected_share = {self._max_rejected_share}; "
                f"the first, line {first.line}: {first.reason}"
            )

    def _check(self, item: Record | Rejected) -> Usable | None:
        if isinstance(item, Rejected):
            self.reject(item.line, item.reason)
            return None
        if item.value.get("source") in self._excluded_names:
            self.excluded += 1
            return None
        try:
            text = text_of(self._source.kind, item.value)
        except UserError as error:
            self.reject(item.line, str(error))
            return None
        digest = digest_of(self._source.kind, item.value)
        if digest in self._seen:
            self.duplicates += 1
            return None
        self._seen.add(digest)
        return self._usable(item, text, digest)

    def _usable(self, record: Record, text: str, digest: bytes) -> Usable:
        source, licence = record.value.get("source"), record.value.get("licence")
        source = source if isinstance(source, str) else self._source.name
        licence = licence if isinstance(licence, str) else None
        return Usable(record.line, record.value, text, source, licence, digest)
