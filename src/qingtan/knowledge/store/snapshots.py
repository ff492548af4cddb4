"""Bases' words in memory, each as it was at one revision; the database says which one holds.

A snapshot is not kept up with changes. A search that finds none of the revision it sees is answered
by the database, and a thread takes a new one once the base has been left alone for a moment.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from qingtan.errors import UserError
from qingtan.knowledge.store.database import Database
from qingtan.knowledge.store.index import Index
from qingtan.knowledge.store.postings import Postings

MEMORY = 1 << 30  # bytes, for all bases of a store
PAUSE = 1.0
# What is changed all the time must not be taken all the time: the base rests for so many times as
# long as it took the last time.
_REST = 10.0
_log = logging.getLogger(__name__)


class Snapshots:
    """The snapshots of a store; its methods may be called by any thread.

    Args:
        taken: called with a revision and the numbers of its chunks, in the thread and the moment
            in which its snapshot is taken.
        memory: bytes that all of them may take, about; those that were used last are kept.
        pause: seconds for which a base must have been left alone.
    """

    def __init__(
        self,
        database: Database,
        index: Index,
        taken: Callable[[str, list[int]], None],
        memory: int = MEMORY,
        pause: float = PAUSE,
    ) -> None:
        self._database, self._index, self._taken = database, index, taken
        self._memory, self._pause = memory, pause
        self._kept: OrderedDict[int, tuple[str, Postings]] = OrderedDict()
        # Revisions of bases that are not taken: too large, or something went wrong.
        self._refused: dict[int, str] = {}
        # Revisions that searches saw, and from when on they may be taken.
        self._wanted: dict[int, tuple[str, float]] = {}
        self._took: dict[int, float] = {}
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._closed = False

    def find(self, base: int, revision: str) -> Postings | None:
        """Return the snapshot of a revision; if there is none, it will be taken."""
        with self._changed:
            kept = self._kept.get(base)
            if kept and kept[0] == revision:
                self._kept.move_to_end(base)
                return kept[1]
            if self._refused.get(base) != revision and self._memory and not self._closed:
                self._want(base, revision)
            return None

    def take(self, base: int, stopped: Callable[[], bool] = lambda: False) -> None:
        """Take a base as it is now; it is not kept where it is too large.

        Args:
            stopped: asked from time to time, whether it is not wanted any more.
        """
        begun = time.monotonic()
        with self._database.snapshot():
            revision = self._revision(base)
            postings = self._index.postings(base, self._memory, stopped)
            if postings and revision:
                self._taken(revision, postings.numbers)
        with self._changed:
            if revision is None or stopped():
                return
            self._took[base] = time.monotonic() - begun
            self._kept.pop(base, None)
            if postings is None or postings.size > self._memory:
                self._refused[base] = revision
                return
            self._kept[base] = revision, postings
            while self.size > self._memory:
                self._kept.popitem(last=False)

    @property
    def size(self) -> int:
        """How much memory all of them take, in bytes."""
        with self._changed:
            return sum(postings.size for _, postings in self._kept.values())

    def forget(self, base: int) -> None:
        """Free the memory of a base that was removed."""
        with self._changed:
            for each in (self._kept, self._refused, self._wanted, self._took):
                each.pop(base, None)

    def close(self) -> None:
        """Stop, and free all memory; it may be called twice."""
        with self._changed:
            self._closed = True
            self._kept.clear()
            self._wanted.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread:
            thread.join()

    def _revision(self, base: int) -> str | None:
        rows = self._database.rows("SELECT revision FROM bases WHERE number = ?", (base,))
        return rows[0][0] if rows else None

    def _want(self, base: int, revision: str) -> None:
        wanted = self._wanted.get(base)
        if wanted and wanted[0] == revision:
            return
        rest = max(self._pause, _REST * self._took.get(base, 0.0))
        self._wanted[base] = revision, time.monotonic() + rest
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="qingtan-snapshots", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        """Take what is wanted, when it is time; end when nothing is wanted any more."""
        while due := self._next():
            base, revision = due
            try:
                self._take_if_left_alone(base, revision)
            except Exception as error:
                # Searches go on without. A store that is out of reach for a while is no surprise.
                if not isinstance(error, UserError):
                    _log.exception("a base's words could not be taken into memory")
                with self._changed:
                    self._refused[base] = revision
                    self._wanted.pop(base, None)

    def _next(self) -> tuple[int, str] | None:
        """Wait until it is time for a base; returns it with the revision that is wanted."""
        with self._changed:
            while self._wanted:
                base, (revision, due) = min(self._wanted.items(), key=lambda each: each[1][1])
                left = due - time.monotonic()
                if left <= 0:
                    return base, revision
                self._changed.wait(left)
            self._thread = None
            return None

    def _take_if_left_alone(self, base: int, revision: str) -> None:
        current = self._revision(base)
        if current == revision:
            self.take(base, stopped=lambda: not self._wants(base, revision))
        with self._changed:
            if self._wants(base, revision):
                del self._wanted[base]
                if current is not None and current != revision:
                    self._want(base, current)

    def _wants(self, base: int, revision: str) -> bool:
        return self._wanted.get(base, ("",))[0] == revision
