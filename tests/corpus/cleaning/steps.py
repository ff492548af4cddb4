"""Cleaning with only some of the steps."""

from typing import Any

from qingtan.corpus.cleaning import CLEANING_STEPS, Cleaner, CleaningTable


def table_of(*steps: str, **settings: Any) -> CleaningTable:
    """Return a table with these steps alone."""
    return CleaningTable(**{name: name in steps for name in CLEANING_STEPS}, **settings)


def clean(text: str, *steps: str, **settings: Any) -> str:
    """Clean with these steps alone."""
    return Cleaner(table_of(*steps, **settings)).clean(text).text
