"""Training text that holds what a model is to be evaluated on."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from qingtan.corpus.duplicates.blocks import folded_blocks
from qingtan.corpus.ngrams import Characters, hash_grams
from qingtan.errors import UserError
from qingtan.recipe import Recipe

_FORMAT = 1
# The filter is so many times larger than the number of n-grams in it: 1 in 32 others pass.
_FILTER_BITS_A_GRAM = 32
_SMALLEST_FILTER = 20


class EvaluationFile(Recipe):
    """An `[[evaluation]]` table: a set of evaluation items that no training text may hold."""

    name: str
    """Names the set in the report."""
    path: Path
    """A JSON Lines file, plain or compressed."""
    fields: tuple[str, ...] = ()
    """Which strings of an item are looked for, such as "question" or "answers.text"; all by
    default. Each is looked for by itself. Leave out fields that training may know, such as the
    passage that a question is asked about."""


class DecontaminationTable(Recipe):
    """`[decontamination]`: when a training text holds an evaluation item."""

    kinds: tuple[Literal["text", "conversations"], ...] = ("text", "conversations")
    """Which kinds of records are looked through."""
    gram: int = Field(default=13, ge=1)
    """Characters of an n-gram. Punctuation, spaces and case do not count."""
    share: float = Field(default=0.8, gt=0, le=1)
    """A text holds an item when it has at least this share of the item's different n-grams."""
    min_grams: int = Field(default=8, ge=1)
    """Items of fewer different n-grams are not looked for: they may well stand in texts that know
    nothing of the evaluation. The report says how many there are."""


@dataclass(frozen=True)
class Contamination:
    """An evaluation item that a training text holds.

    Attributes:
        set: the name of the item's evaluation set.
        share: the share of the item's different n-grams that the text has, from 0 to 1.
    """

    set: str
    share: float


@dataclass(frozen=True)
class EvaluationIndex:
    """The n-grams of all items of some evaluation sets.

    Attributes:
        names: of the sets.
        items, short_items: (sets,) int64, items that are looked for, and those too short for it.
        set_of: (items,) int64, the set of each item that is looked for.
        sizes: (items,) int64, how many different n-grams an item has.
        grams: (n-grams,) uint64, their hashes, rising.
        starts: (n-grams + 1,) int64, where the owners of each begin, and where the last's end.
        owners: the items that have each n-gram, int64.
    """

    table: DecontaminationTable
    names: tuple[str, ...]
    items: NDArray[np.int64]
    short_items: NDArray[np.int64]
    set_of: NDArray[np.int64]
    sizes: NDArray[np.int64]
    grams: NDArray[np.uint64]
    starts: NDArray[np.int64]
    owners: NDArray[np.int64]

    @classmethod
    def build(
        cls, sets: Iterable[tuple[str, Iterable[str]]], table: DecontaminationTable
    ) -> EvaluationIndex:
        """Build the index of sets: their names, and the texts of their items."""
        names: list[str] = []
        items, short_items, set_of = [], [], []
        found: list[NDArray[np.uint64]] = []
        for name, texts in sets:
            every = list(_grams_of(texts, table.gram))
            long = [grams for grams in every if len(grams) >= table.min_grams]
            set_of += [len(names)] * len(long)
            names.append(name)
            items.append(len(long))
            short_items.append(len(every) - len(long))
            found += long
        grams, starts, owners = _postings(found)
        return cls(
            table,
            tuple(names),
            items=np.array(items, np.int64),
            short_items=np.array(short_items, np.int64),
            set_of=np.array(set_of, np.int64),
            sizes=np.array([len(grams) for grams in found], np.int64),
            grams=grams,
            starts=starts,
            owners=owners,
        )

    def find(self, texts: Sequence[str]) -> list[Contamination | None]:
        """Return for each text the item of which it holds most, if it holds one."""
        result: list[Contamination | None] = [None] * len(texts)
        if not len(self.sizes):
            return result
        for first, characters in folded_blocks(texts):
            for text, item, share in self._find(characters):
                known = result[first + text]
                if known is None or share > known.share:
                    name = self.names[self.set_of[item]]
                    result[first + text] = Contamination(name, share)
        return result

    def _find(self, characters: Characters) -> Iterator[tuple[int, int, float]]:
        """Yield (text, item, share) for each item that a text of a block holds."""
        text, gram = _different(*self._known_grams(characters), len(self.grams))[:2]
        owners = self.starts[gram + 1] - self.starts[gram]
        place = np.arange(owners.sum()) - np.repeat(np.cumsum(owners) - owners, owners)
        item = self.owners[np.repeat(self.starts[gram], owners) + place]
        text, item, count = _different(np.repeat(text, owners), item, len(self.sizes))
        share = count / self.sizes[item]
        for i in np.flatnonzero(share >= self.table.share).tolist():
            yield int(text[i]), int(item[i]), float(share[i])

    def _known_grams(self, characters: Characters) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the text and the place in `grams` of every n-gram of an item."""
        grams = hash_grams(characters, self.table.gram)
        bits, shift = self._filter
        places = (grams.hashes >> shift).view(np.int64)
        marks = bits.take(places >> 3) >> (places.astype(np.uint8) & np.uint8(7))
        passed = np.flatnonzero((marks & np.uint8(1)).view(np.bool_))
        # In order, so that the searches for them meet in the cache.
        passed = passed[np.argsort(grams.hashes[passed])]
        hashes = grams.hashes[passed]
        found = np.searchsorted(self.grams, hashes)
        known = self.grams[np.minimum(found, len(self.grams) - 1)] == hashes
        text = np.searchsorted(grams.starts, passed[known], side="right") - 1
        return text, found[known]

    @cached_property
    def _filter(self) -> tuple[NDArray[np.uint8], np.uint64]:
        """Return bits by the first bits of a hash, and how far to shift it for them."""
        wanted = len(self.grams) * _FILTER_BITS_A_GRAM
        size = max(_SMALLEST_FILTER, (wanted - 1).bit_length())
        shift = np.uint64(64 - size)
        marked = np.zeros(1 << size, np.bool_)
        marked[self.grams >> shift] = True
        return np.packbits(marked, bitorder="little"), shift

    def save(self, path: Path) -> None:
        """Write the index as one .npz file, beside and renamed."""
        head = {"format": _FORMAT, "table": self.table.model_dump(), "names": self.names}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        partial = path.with_name(f".{path.name}.partial")
        try:
            with partial.open("wb") as file:
                np.savez(file, allow_pickle=False, head=np.array(json.dumps(head)), **arrays)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> EvaluationIndex:
        """Read an index.

        Raises:
            UserError: the file is missing, damaged, or of another version.
        """
        try:
            with np.load(path, allow_pickle=False) as values:
                head = json.loads(str(values["head"]))
                arrays = {name: values[name] for name in _ARRAYS}
            if head["format"] != _FORMAT:
                raise UserError(f"{path}: of another version; build it again")
            table = DecontaminationTable.model_validate(head["table"])
            return cls(table, tuple(head["names"]), **arrays)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except UserError:
            raise
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: not an evaluation index, build it again: {error}") from None


_ARRAYS = ("items", "short_items", "set_of", "sizes", "grams", "starts", "owners")


def _different(
    first: NDArray[np.int64], second: NDArray[np.int64], seconds: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the different pairs, sorted, and how often each came; `second` is below `seconds`."""
    pairs, counts = np.unique(first * seconds + second, return_counts=True)
    return pairs // seconds, pairs % seconds, counts


def _grams_of(texts: Iterable[str], length: int) -> Iterator[NDArray[np.uint64]]:
    """Yield the different n-grams of each text, hashed and rising."""
    for _, characters in folded_blocks(list(texts)):
        grams = hash_grams(characters, length)
        for begin, end in pairwise(grams.starts.tolist()):
            yield np.unique(grams.hashes[begin:end])


def _postings(
    items: Sequence[NDArray[np.uint64]],
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the n-grams of all items, rising, where the owners of each begin, and the owners."""
    hashes = np.concatenate([np.zeros(0, np.uint64), *items])
    owners = np.repeat(np.arange(len(items)), [len(item) for item in items])
    order = np.argsort(hashes, kind="stable")
    grams, firsts = np.unique(hashes[order], return_index=True)
    return grams, np.append(firsts, len(hashes)), owners[order]


def set_texts(items: Iterable[Mapping[str, Any]], file: EvaluationFile) -> Iterator[str]:
    """Yield the strings that are looked for, of all items of an evaluation set.

    Raises:
        UserError: after the last item, when none had one of the fields.
    """
    missing = set(file.fields)
    for item in items:
        yield from evaluation_texts(item, file.fields)
        missing -= {field for field in missing if any(_below(item, field.split(".")))}
    if missing:
        names = ", ".join(sorted(missing))
        raise UserError(f"{file.path}: no item has a text in {names}; correct its fields")


def evaluation_texts(value: Mapping[str, Any], fields: Sequence[str]) -> list[str]:
    """Return the strings of an evaluation item that are looked for, each by itself.

    Args:
        value: the item, as parsed from JSON.
        fields: where they are, in dots: "question", "answers.text". Lists on the way are gone
            through, and all strings below are taken; an item without the field gives none. Of no
            fields at all, every string of the item is taken.
    """
    if not fields:
        return list(_strings(value))
    return [text for field in fields for text in _below(value, field.split("."))]


def _below(value: Any, names: Sequence[str]) -> Iterator[str]:
    if not names:
        yield from _strings(value)
    elif isinstance(value, Mapping):
        yield from _below(value.get(names[0]), names[1:])
    elif isinstance(value, list):
        for each in value:
            yield from _below(each, names)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
