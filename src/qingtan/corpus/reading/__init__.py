"""Reading: files of many formats as one stream of records, cheaply read and separately parsed.

A driver calls `read_raw`, which decompresses and finds where records end, and hands its blocks to
workers, which call `parse`.
"""

from qingtan.corpus.reading.blocks import RAW_SCHEMA, parse, read_raw
from qingtan.corpus.reading.files import InputFile, list_files
from qingtan.corpus.reading.formats import READERS
from qingtan.corpus.reading.records import Record, Rejected
from qingtan.corpus.reading.settings import FormatTable

__all__ = [
    "RAW_SCHEMA",
    "READERS",
    "FormatTable",
    "InputFile",
    "Record",
    "Rejected",
    "list_files",
    "parse",
    "read_raw",
]
