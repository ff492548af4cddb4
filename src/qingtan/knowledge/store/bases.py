"""A base as it is in the database at this moment."""

from qingtan.errors import NotFound
from qingtan.i18n import tr
from qingtan.knowledge.store.database import Database
from qingtan.knowledge.store.interface import Base
from qingtan.knowledge.store.records import BASE, base_of, new_revision


def current(database: Database, base: Base, hold: bool = False) -> Base:
    """Return a base as it is now.

    Args:
        hold: let nobody else change it, or what is in it, before the transaction ends.

    Raises:
        NotFound: it was removed, or is not this tenant's.
    """
    rows = database.rows(
        f"SELECT {BASE} FROM bases WHERE number = ? AND tenant = ?"
        + (database.hold if hold else ""),
        (base.id, base.tenant),
    )
    if not rows:
        raise no_base(base.name)
    return base_of(rows[0])


def count(database: Database, base: Base, documents: int, chunks: int) -> None:
    """Keep what a base holds, which counting anew would take long for, and that it changed."""
    database.rows(
        "UPDATE bases SET documents = documents + ?, chunks = chunks + ?, revision = ? "
        "WHERE number = ?",
        (documents, chunks, new_revision(), base.id),
    )


def no_base(name: str) -> NotFound:
    """Return the error for a base that is not there."""
    return NotFound(tr(f"{name}: no such knowledge base", f"{name}：没有这个知识库"))
