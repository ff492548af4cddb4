"""Cleaning of text: mojibake, characters, markup, page furniture, traditional characters."""

from qingtan.corpus.cleaning.cleaner import CLEANING_STEPS, Cleaned, Cleaner
from qingtan.corpus.cleaning.settings import CleaningTable, Conversion

__all__ = ["CLEANING_STEPS", "Cleaned", "Cleaner", "CleaningTable", "Conversion"]
