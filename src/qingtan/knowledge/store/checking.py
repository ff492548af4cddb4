"""Whether what a store says of itself is so."""

from qingtan.i18n import tr
from qingtan.knowledge.store.database import Database
from qingtan.knowledge.store.index import Index


def damage(database: Database, index: Index) -> list[str]:
    """Return what does not fit together, for people; nothing where the store is whole."""
    with database.snapshot():
        wrong = [
            tr(f"{name}: {there} of {chunks} chunks", f"{name}：片段{there}/{chunks}")
            for name, chunks, there in database.rows(
                "SELECT name, chunks, there FROM (SELECT documents.name, documents.chunks, "
                "(SELECT count(*) FROM chunks WHERE document = documents.number) AS there "
                "FROM documents) AS counted WHERE chunks <> there"
            )
        ]
        wrong += [
            tr(f"{name}: {there} of {documents} documents", f"{name}：文档{there}/{documents}")
            for name, documents, there in database.rows(
                "SELECT name, documents, there FROM (SELECT name, documents, (SELECT count(*) "
                "FROM documents WHERE base = bases.number) AS there FROM bases) AS counted "
                "WHERE documents <> there"
            )
        ]
        for number, encoder in database.rows("SELECT number, encoder FROM bases"):
            wrong += index.check(number, bool(encoder))
    return wrong
