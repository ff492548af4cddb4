"""How near-duplicates are looked for: the table `[near_duplicates]` of a corpus recipe."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, Self

from pydantic import Field, model_validator

from qingtan.recipe import Recipe

# What the default bands propose of the pairs that lie exactly at the threshold.
RECALL_AT_THRESHOLD = 0.9


class NearDuplicatesTable(Recipe):
    """`[near_duplicates]`: which documents are too much alike, by MinHash."""

    kinds: tuple[Literal["text", "conversations"], ...] = ("text",)
    """Which kinds of records are compared; none with an empty list."""
    threshold: float = Field(default=0.8, gt=0, le=1)
    """Two documents are near-duplicates when their sets of n-grams agree so far: what both hold,
    divided by what either holds (the Jaccard similarity)."""
    gram: int = Field(default=5, ge=1)
    """Characters of an n-gram. Punctuation, spaces and case do not count."""
    min_grams: int = Field(default=20, ge=1)
    """A document with fewer n-grams is a duplicate only of one that is exactly the same."""
    across_sources: bool = True
    """Compare the documents of all sources with one another, or those of each source alone."""
    permutations: int = Field(default=128, ge=16, le=1024)
    """Numbers of a signature. The similarity of two documents is estimated with a standard
    deviation of sqrt(s·(1 - s) / permutations): 0.035 at a similarity of 0.8."""
    bands: int | None = Field(default=None, ge=1)
    """A signature is cut into so many bands; documents are compared when they agree in a whole
    band. By default, with `rows`, such that at least 90% of the pairs at the threshold are."""
    rows: int | None = Field(default=None, ge=1)
    """Numbers of a band; bands times rows may not exceed `permutations`."""

    @model_validator(mode="after")
    def _check_bands(self) -> Self:
        if (self.bands is None) != (self.rows is None):
            raise ValueError("give both bands and rows, or neither")
        if self.bands and self.rows and self.bands * self.rows > self.permutations:
            raise ValueError(f"bands times rows may not exceed permutations, {self.permutations}")
        return self

    @cached_property
    def banding(self) -> tuple[int, int]:
        """Bands and rows: as given, or the most selective that miss few pairs at the threshold."""
        if self.bands and self.rows:
            return self.bands, self.rows
        for rows in range(self.permutations, 1, -1):
            bands = self.permutations // rows
            if proposal_rate(self.threshold, bands, rows) >= RECALL_AT_THRESHOLD:
                return bands, rows
        return self.permutations, 1


def proposal_rate(similarity: float, bands: int, rows: int) -> float:
    """Return the probability that documents of a Jaccard similarity agree in a whole band.

    It is 1 - (1 - s^r)^b (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4.2; the
    bands are Indyk and Motwani's, STOC 1998).
    """
    return float(1 - (1 - similarity**rows) ** bands)
