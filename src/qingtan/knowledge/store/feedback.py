"""What people said of answers and passages, for a person to review."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qingtan.knowledge.store.database import Database
from qingtan.knowledge.store.interface import Base
from qingtan.knowledge.store.records import clean, now

_COLUMNS = "id, vote, answer, chunk, question, text, comment, time"
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Opinion:
    """A thumb up or down.

    Attributes:
        answer: the answer's id; may be empty for a passage that a search found.
        chunk: the passage's id; empty where the vote is on the answer as a whole.
        text: the answer or the passage, as it was shown.
    """

    vote: Literal["up", "down"]
    answer: str = ""
    chunk: str = ""
    question: str = ""
    text: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Feedback:
    """An opinion that was stored.

    Attributes:
        base: its name.
        time: ISO 8601 in UTC.
    """

    id: str
    base: str
    opinion: Opinion
    time: str


class FeedbackTable:
    """Feedback in a store; it is removed with its base."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, base: Base, opinion: Opinion) -> Feedback:
        """Store an opinion; of one answer, a later one on the same takes an earlier one's place."""
        said = (
            opinion.vote,
            clean(opinion.answer),
            clean(opinion.chunk),
            clean(opinion.question),
            clean(opinion.text),
            clean(opinion.comment),
        )
        id, time = secrets.token_urlsafe(_ID_BYTES), now()
        with self._database.transaction():
            self._database.rows(
                "DELETE FROM feedback WHERE base = ? AND answer <> '' AND answer = ? AND chunk = ?",
                (base.id, *said[1:3]),
            )
            self._database.rows(
                f"INSERT INTO feedback (base, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (base.id, id, *said, time),
            )
        return Feedback(id, base.name, opinion, time)

    def of(self, bases: Sequence[Base], limit: int) -> list[Feedback]:
        """Return what was said of bases, the latest first."""
        names = {base.id: base.name for base in bases}
        if not names:
            return []
        rows = self._database.rows(
            f"SELECT base, {_COLUMNS} FROM feedback "
            f"WHERE base IN ({', '.join('?' * len(names))}) ORDER BY number DESC LIMIT ?",
            (*names, limit),
        )
        return [Feedback(id, names[base], Opinion(*said), time) for base, id, *said, time in rows]
