"""Reading a table of FTS5's into memory, without cutting its passages into words again."""

from collections.abc import Callable, Generator
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from qingtan.knowledge.store.gathering import LONGEST, OFFSET_BITS, Stopped, Term, estimate, gather
from qingtan.knowledge.store.postings import Postings
from qingtan.knowledge.store.sqlite_database import SqliteDatabase, reported


def read_postings(
    database: SqliteDatabase, table: str, most: int, stopped: Callable[[], bool]
) -> Postings | None:
    """Return a table's postings, or None; see `Index.postings`."""
    sizes = database.rows(f"SELECT id, sz FROM {table}_docsize ORDER BY id")
    numbers = np.array([number for number, _ in sizes], np.int64)
    lengths = np.array([_varint(size) for _, size in sizes], np.int64)
    if not len(numbers) or int(lengths.max()) > LONGEST or estimate(lengths) > most:
        return None
    vocabulary = f"temp.vocabulary_of_{table}"
    database.rows(f"DROP TABLE IF EXISTS {vocabulary}")  # of a reading that ended badly
    database.rows(f"CREATE VIRTUAL TABLE {vocabulary} USING fts5vocab(main, {table}, 'instance')")
    try:
        with closing(_terms(database, vocabulary)) as terms:
            return gather(numbers, lengths, terms, stopped)
    except Stopped:
        return None
    finally:
        database.rows(f"DROP TABLE {vocabulary}")


def _terms(database: SqliteDatabase, vocabulary: str) -> Generator[Term]:
    """Give each term with its occurrences, which SQLite puts together without Python's lock."""
    joined = f"unhex(group_concat(printf('%016x', doc << {OFFSET_BITS} | offset), ''))"
    with reported(database.path):
        terms = database.connection.execute(
            f"SELECT term, {joined} FROM {vocabulary} GROUP BY term"
        )
        for term, occurrences in terms:
            yield term, _numbers(occurrences)


def _numbers(occurrences: bytes) -> NDArray[np.int64]:
    return np.frombuffer(occurrences, ">i8").astype(np.int64)


def _varint(data: bytes) -> int:
    """Read a number as SQLite writes it: seven bits a byte, the highest first."""
    number = 0
    for byte in data:
        number = number << 7 | byte & 0x7F
    return number
