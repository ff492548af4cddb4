"""Words in a tsvector under a GIN index, vectors in pgvector: a table of each for every base.

PostgreSQL's own parsers know no Chinese, and its ranks no rarity of words. Passages come cut into
words, and what is ranked by is BM25 with the same constants as SQLite's (k1 = 1.2, b = 0.75;
Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework"). How often a word stands in a
passage is read from `ts_rank`, which for one word that stands there n times is the sum of 1 / i²
up to n, times 0.1 / (π² / 6); that sum is nearly π² / 6 - 1 / (n + ½).
"""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from qingtan.i18n import tr
from qingtan.knowledge.store.index import Scored, condition, rarest
from qingtan.knowledge.store.interface import Filter
from qingtan.knowledge.store.postgres_database import PostgresDatabase
from qingtan.knowledge.store.postgres_postings import read_postings
from qingtan.knowledge.store.postings import Postings
from qingtan.knowledge.words import Terms

_K1, _B = 1.2, 0.75
_LEAST_IDF = 1e-6  # of words that more than half of the passages hold, as in FTS5
# Each passage that is scored has to be fetched and unpacked, which costs some 20 µs.
_MOST_SCORED = 5000
_MOST_PLACES = 16_383  # of a tsvector
_TIMES = (
    f"round(1 / greatest({math.pi**2 / 6} - "
    f"{math.pi**2 / 6 / 0.1} * ts_rank(terms, ?::tsquery), 0.004) - 0.5)"
)
# As far as this knows, a phrase stands there once.
_ONCE = "(terms @@ ?::tsquery)::int"


class PostgresIndex:
    """See `Index`.

    Args:
        pgvector: whether the server has it. Without it vectors are compared by a function in SQL,
            which is slow beyond some 10,000 of them.
    """

    def __init__(self, database: PostgresDatabase, pgvector: bool) -> None:
        self._database = database
        self._type = "vector" if pgvector else "real[]"
        self._cosine = "1 - (vector <=> ?::vector)" if pgvector else "dot(vector, ?::real[])"

    def create(self, base: int) -> None:
        """See `Index.create`."""
        self._database.rows(
            f"CREATE TABLE words_{base:d} (chunk BIGINT PRIMARY KEY, terms TSVECTOR NOT NULL, "
            "length INTEGER NOT NULL)"
        )
        self._database.rows(f"CREATE INDEX ON words_{base:d} USING gin (terms)")

    def drop(self, base: int) -> None:
        """See `Index.drop`."""
        self._database.rows(f"DROP TABLE words_{base:d}")
        self._database.rows(f"DROP TABLE IF EXISTS vectors_{base:d}")

    def add(self, base: int, numbers: Sequence[int], terms: Sequence[str]) -> None:
        """See `Index.add`."""
        split = [each.split() for each in terms]
        self._database.many(
            f"INSERT INTO words_{base:d} (chunk, terms, length) VALUES (?, ?::tsvector, ?)",
            [
                (number, _tsvector(words), len(words))
                for number, words in zip(numbers, split, strict=True)
            ],
        )

    def create_vectors(self, base: int, dimensions: int) -> None:
        """See `Index.create_vectors`."""
        self._database.rows(f"DROP TABLE IF EXISTS vectors_{base:d}")
        size = f"({dimensions:d})" if self._type == "vector" else ""
        self._database.rows(
            f"CREATE TABLE vectors_{base:d} "
            f"(chunk BIGINT PRIMARY KEY, vector {self._type}{size} NOT NULL)"
        )

    def add_vectors(self, base: int, numbers: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """See `Index.add_vectors`."""
        self._database.many(
            f"INSERT INTO vectors_{base:d} (chunk, vector) VALUES (?, ?::{self._type})",
            [
                (number, self._vector(vector))
                for number, vector in zip(numbers, vectors, strict=True)
            ],
        )

    def remove(self, base: int, document: int, vectors: bool) -> None:
        """See `Index.remove`."""
        for table in ("words", "vectors") if vectors else ("words",):
            self._database.rows(
                f"DELETE FROM {table}_{base:d} WHERE chunk IN "
                "(SELECT number FROM chunks WHERE document = ?)",
                (document,),
            )

    def clear_words(self, base: int) -> None:
        """See `Index.clear_words`."""
        self._database.rows(f"TRUNCATE words_{base:d}")

    def search_words(
        self, base: int, terms: Terms, limit: int, where: Filter, chunks: int
    ) -> list[Scored]:
        """See `Index.search_words`."""
        sought = [_quoted(word) for word in terms.words]
        sought += [" <-> ".join(map(_quoted, phrase)) for phrase in terms.phrases]
        most = max(_MOST_SCORED, chunks // 2) + 1
        counts = self._count(base, sought, most)
        if not counts:
            return []
        kept = rarest(counts, _MOST_SCORED)
        score, values = self._score(base, {term: counts[term] for term in kept})
        only, filtered = condition(where)
        joined = (
            "JOIN chunks ON chunks.number = words.chunk "
            f"JOIN documents ON documents.number = chunks.document WHERE {only} AND"
        )
        # `setweight` changes nothing, but what it returns is unpacked, once and for all terms.
        rows = self._database.rows(
            f"SELECT chunk, {score} AS score FROM ("
            "SELECT words.chunk, words.length, setweight(words.terms, 'D') AS terms "
            f"FROM words_{base:d} AS words {joined if only else 'WHERE'} "
            "words.terms @@ ?::tsquery OFFSET 0) AS found ORDER BY score DESC, chunk LIMIT ?",
            (*values, *filtered, " | ".join(f"({term})" for term in kept), limit),
        )
        return [(number, float(value)) for number, value in rows]

    def _score(self, base: int, counts: dict[str, int]) -> tuple[str, list[str]]:
        """Return SQL for a passage's BM25, and its values."""
        ((number, mean),) = self._database.rows(
            f"SELECT count(*), coalesce(avg(length), 1)::float8 FROM words_{base:d}"
        )
        parts = []
        for term, count in counts.items():
            idf = max(_LEAST_IDF, math.log((number - count + 0.5) / (count + 0.5)))
            times = _ONCE if "<->" in term else _TIMES
            parts.append(f"{idf} * bm25({times}, length / {mean})")
        return " + ".join(parts), list(counts)

    def _count(self, base: int, terms: Sequence[str], most: int) -> dict[str, int]:
        """Return how many chunks hold each term, up to where it does not matter any more.

        Terms that no chunk holds are left out.
        """
        one = (
            f"(SELECT count(*) FROM (SELECT 1 FROM words_{base:d} "
            "WHERE terms @@ ?::tsquery LIMIT ?) AS found)"
        )
        (counts,) = self._database.rows(
            f"SELECT {', '.join([one] * len(terms))}",
            [value for term in terms for value in (term, most)],
        )
        return {term: count for term, count in zip(terms, counts, strict=True) if count}

    def search_vectors(
        self, base: int, vector: NDArray[np.float32], limit: int, where: Filter
    ) -> list[Scored]:
        """See `Index.search_vectors`."""
        only, filtered = condition(where)
        rows = self._database.rows(
            f"SELECT vectors.chunk, {self._cosine} AS score FROM vectors_{base:d} AS vectors "
            "JOIN chunks ON chunks.number = vectors.chunk "
            "JOIN documents ON documents.number = chunks.document "
            f"{only and f'WHERE {only}'} ORDER BY score DESC, vectors.chunk LIMIT ?",
            (self._vector(vector), *filtered, limit),
        )
        return [(number, float(value)) for number, value in rows]

    def postings(self, base: int, most: int, stopped: Callable[[], bool]) -> Postings | None:
        """See `Index.postings`."""
        return read_postings(self._database, f"words_{base:d}", _MOST_PLACES, most, stopped)

    def check(self, base: int, vectors: bool) -> list[str]:
        """See `Index.check`."""
        wrong = []
        of_base = (
            "SELECT chunks.number FROM chunks "
            "JOIN documents ON documents.number = chunks.document WHERE documents.base = ?"
        )
        for kind in ("words", "vectors") if vectors else ("words",):
            table = f"{kind}_{base:d}"
            ((strays,),) = self._database.rows(
                f"SELECT count(*) FROM {table} WHERE chunk NOT IN ({of_base})", (base,)
            )
            if strays:
                wrong.append(tr(f"{table}: {strays} without a chunk", f"{table}：{strays}条无主"))
        ((missing,),) = self._database.rows(
            f"SELECT count(*) FROM ({of_base} EXCEPT SELECT chunk FROM words_{base:d}) AS missing",
            (base,),
        )
        if missing:
            wrong.append(
                tr(f"words_{base}: {missing} chunks missing", f"words_{base}：缺{missing}个片段")
            )
        return wrong

    def _vector(self, vector: NDArray[np.float32]) -> str:
        first, last = "[]" if self._type == "vector" else "{}"
        return first + ",".join(map(repr, map(float, vector))) + last


def functions() -> Iterable[str]:
    """Return the functions in SQL that the index calls."""
    yield (
        "CREATE OR REPLACE FUNCTION bm25(times float8, length float8) RETURNS float8 "
        "LANGUAGE sql IMMUTABLE PARALLEL SAFE AS "
        f"$$ SELECT times * {_K1 + 1} / (times + {_K1} * ({1 - _B} + {_B} * length)) $$"
    )
    yield (
        "CREATE OR REPLACE FUNCTION dot(a real[], b real[]) RETURNS float8 "
        "LANGUAGE sql IMMUTABLE PARALLEL SAFE AS "
        "$$ SELECT sum(x::float8 * y) FROM unnest(a, b) AS pair(x, y) $$"
    )


def _tsvector(words: Sequence[str]) -> str:
    return " ".join(
        f"{_quoted(word)}:{min(place, _MOST_PLACES)}" for place, word in enumerate(words, start=1)
    )


def _quoted(term: str) -> str:
    """Return a lexeme of a tsvector or a tsquery, in which nothing is syntax."""
    return "'" + term.replace("\\", "\\\\").replace("'", "''") + "'"
