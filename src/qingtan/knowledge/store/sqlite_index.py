"""Words in FTS5, vectors in sqlite-vec: a table of each for every base.

FTS5 gets passages that are cut into words already, and keeps no text (it is `contentless`), so its
own tokenizer has only to part at spaces, and nothing in a text or query can be syntax.
"""

import json
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from qingtan.i18n import tr
from qingtan.knowledge.store.index import Scored, condition, rarest
from qingtan.knowledge.store.interface import Filter
from qingtan.knowledge.store.postings import Postings
from qingtan.knowledge.store.sqlite_database import SqliteDatabase
from qingtan.knowledge.store.sqlite_postings import read_postings
from qingtan.knowledge.words import Terms

# All but spaces and control characters belong to words. Quotes are doubled twice: once for the
# list, once for the option.
_TOKENIZE = "\"ascii tokenchars '!\"\"#$%&''''()*+,-./:;<=>?@[\\]^_`{|}~'\""
_MOST_NEIGHBOURS = 4096  # sqlite-vec's own limit
# Scores cost FTS5 1 or 2 µs for each chunk that holds any of the words. Where there are more, the
# commonest words are left out.
MOST_SCORED = 20_000


class SqliteIndex:
    """See `Index`."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    def create(self, base: int) -> None:
        """See `Index.create`."""
        self._database.rows(
            f"CREATE VIRTUAL TABLE words_{base:d} USING fts5("
            f"terms, content='', contentless_delete=1, tokenize={_TOKENIZE})"
        )

    def drop(self, base: int) -> None:
        """See `Index.drop`."""
        self._database.rows(f"DROP TABLE words_{base:d}")
        self._database.rows(f"DROP TABLE IF EXISTS vectors_{base:d}")

    def add(self, base: int, numbers: Sequence[int], terms: Sequence[str]) -> None:
        """See `Index.add`."""
        self._database.many(
            f"INSERT INTO words_{base:d} (rowid, terms) VALUES (?, ?)",
            zip(numbers, terms, strict=True),
        )

    def create_vectors(self, base: int, dimensions: int) -> None:
        """See `Index.create_vectors`."""
        self._database.rows(f"DROP TABLE IF EXISTS vectors_{base:d}")
        self._database.rows(
            f"CREATE VIRTUAL TABLE vectors_{base:d} USING vec0("
            f"vector float[{dimensions:d}] distance_metric=cosine)"
        )

    def add_vectors(self, base: int, numbers: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """See `Index.add_vectors`."""
        data = (np.ascontiguousarray(vector, "<f4").tobytes() for vector in vectors)
        self._database.many(
            f"INSERT INTO vectors_{base:d} (rowid, vector) VALUES (?, ?)",
            zip(numbers, data, strict=True),
        )

    def remove(self, base: int, document: int, vectors: bool) -> None:
        """See `Index.remove`."""
        for table in ("words", "vectors") if vectors else ("words",):
            self._database.rows(
                f"DELETE FROM {table}_{base:d} WHERE rowid IN "
                "(SELECT number FROM chunks WHERE document = ?)",
                (document,),
            )

    def clear_words(self, base: int) -> None:
        """See `Index.clear_words`."""
        self._database.rows(f"DROP TABLE words_{base:d}")
        self.create(base)

    def search_words(
        self, base: int, terms: Terms, limit: int, where: Filter, chunks: int
    ) -> list[Scored]:
        """See `Index.search_words`."""
        sought = [_quoted(word) for word in terms.words]
        sought += [_quoted(" ".join(phrase)) for phrase in terms.phrases]
        if chunks > MOST_SCORED:
            sought = rarest({term: self._count(base, term) for term in sought}, MOST_SCORED)
        if not sought:
            return []
        table, match = f"words_{base:d}", " OR ".join(sought)
        only, values = condition(where)
        if not only:
            found = (
                f"SELECT rowid AS number, bm25({table}) AS score FROM {table} "
                f"WHERE {table} MATCH ? ORDER BY rowid DESC LIMIT {2 * MOST_SCORED}"
            )
        else:
            found = (
                f"SELECT {table}.rowid AS number, bm25({table}) AS score FROM {table} "
                f"CROSS JOIN chunks ON chunks.number = {table}.rowid "
                "CROSS JOIN documents ON documents.number = chunks.document "
                f"WHERE {table} MATCH ? AND {only}"
            )
        rows = self._database.rows(
            f"SELECT number, -score FROM ({found}) ORDER BY score, number LIMIT ?",
            (match, *values, limit),
        )
        return [(number, score) for number, score in rows]

    def _count(self, base: int, term: str) -> int:
        """Return how many chunks hold a term, up to where it does not matter any more."""
        table = f"words_{base:d}"
        ((count,),) = self._database.rows(
            f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {table} MATCH ? LIMIT ?)",
            (term, MOST_SCORED + 1),
        )
        return int(count)

    def search_vectors(
        self, base: int, vector: NDArray[np.float32], limit: int, where: Filter
    ) -> list[Scored]:
        """See `Index.search_vectors`."""
        only, values = condition(where)
        allowed = ""
        if only:
            rows = self._database.rows(
                "SELECT chunks.number FROM documents "
                "JOIN chunks ON chunks.document = documents.number "
                f"WHERE documents.base = ? AND {only}",
                (base, *values),
            )
            allowed = " AND rowid IN (SELECT value FROM json_each(?))"
            values = [json.dumps([number for (number,) in rows])]
        nearest = self._database.rows(
            f"SELECT rowid, 1 - distance FROM vectors_{base:d} "
            f"WHERE vector MATCH ? AND k = ?{allowed} ORDER BY distance",
            (
                np.ascontiguousarray(vector, "<f4").tobytes(),
                min(limit, _MOST_NEIGHBOURS),
                *values,
            ),
        )
        return [(number, score) for number, score in nearest]

    def postings(self, base: int, most: int, stopped: Callable[[], bool]) -> Postings | None:
        """See `Index.postings`."""
        return read_postings(self._database, f"words_{base:d}", most, stopped)

    def check(self, base: int, vectors: bool) -> list[str]:
        """See `Index.check`."""
        wrong = []
        for table in (f"words_{base:d}_docsize", f"vectors_{base:d}_rowids"):
            if table.startswith("vectors") and not vectors:
                continue
            column = "id" if table.startswith("words") else "rowid"
            ((strays,),) = self._database.rows(
                f"SELECT count(*) FROM {table} WHERE {column} NOT IN (SELECT chunks.number "
                "FROM chunks JOIN documents ON documents.number = chunks.document "
                "WHERE documents.base = ?)",
                (base,),
            )
            if strays:
                wrong.append(tr(f"{table}: {strays} without a chunk", f"{table}：{strays}条无主"))
        ((missing,),) = self._database.rows(
            "SELECT count(*) FROM chunks JOIN documents ON documents.number = chunks.document "
            "WHERE documents.base = ? "
            f"AND chunks.number NOT IN (SELECT id FROM words_{base:d}_docsize)",
            (base,),
        )
        if missing:
            wrong.append(
                tr(f"words_{base}: {missing} chunks missing", f"words_{base}：缺{missing}个片段")
            )
        return wrong


def _quoted(term: str) -> str:
    """Return a string of FTS5's query language, in which nothing is syntax."""
    return '"' + term.replace('"', '""') + '"'
