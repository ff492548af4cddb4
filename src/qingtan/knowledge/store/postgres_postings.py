"""Reading a table of tsvectors into memory."""

from collections.abc import Callable, Generator
from contextlib import closing

import numpy as np

from qingtan.knowledge.store.gathering import OFFSET_BITS, Stopped, Term, estimate, gather
from qingtan.knowledge.store.postgres_database import PostgresDatabase
from qingtan.knowledge.store.postings import Postings

_ROWS = 200  # terms that are fetched at once


def read_postings(
    database: PostgresDatabase, table: str, longest: int, most: int, stopped: Callable[[], bool]
) -> Postings | None:
    """Return a table's postings, or None; see `Index.postings`.

    Args:
        longest: places of a tsvector; of a longer chunk it does not know all.
    """
    sizes = database.rows(f"SELECT chunk, length FROM {table} ORDER BY chunk")
    numbers = np.array([number for number, _ in sizes], np.int64)
    lengths = np.array([length for _, length in sizes], np.int64)
    if not len(numbers) or int(lengths.max()) > longest or estimate(lengths) > most:
        return None
    try:
        with closing(_terms(database, table)) as terms:
            return gather(numbers, lengths, terms, stopped)
    except Stopped:
        return None


def _terms(database: PostgresDatabase, table: str) -> Generator[Term]:
    joined = f"string_agg(int8send(chunk << {OFFSET_BITS} | place - 1), ''::bytea)"
    terms = database.streamed(
        f"SELECT lexeme, {joined} FROM {table}, unnest(terms) AS term (lexeme, places, weights), "
        "unnest(places) AS place GROUP BY lexeme",
        _ROWS,
    )
    with closing(terms):
        for term, occurrences in terms:
            yield term, np.sort(np.frombuffer(occurrences, ">i8").astype(np.int64))
