"""Passages that searches found lately, as they were made of their rows."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from qingtan.knowledge.store.interface import StoredChunk

MEMORY = 1 << 26  # bytes
_EACH = 2000  # bytes of a passage with its document, but for the text
_CHARACTER = 2  # bytes
_USUAL = 300  # characters


class Recent:
    """The passages that were asked for last, by number; methods may be called by any thread.

    They are known by their bases' revisions, too: a number may stand for something else after a
    backup was restored, a revision never.

    Args:
        memory: bytes that they may take, about.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory = memory
        self._kept: OrderedDict[int, tuple[str, StoredChunk]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    @property
    def capacity(self) -> int:
        """How many passages of a usual length may be kept."""
        return self._memory // (_EACH + _CHARACTER * _USUAL)

    def find(self, revisions: Mapping[int, str]) -> dict[int, StoredChunk]:
        """Return those of some numbers that are kept, by number."""
        found: dict[int, StoredChunk] = {}
        with self._lock:
            for number, revision in revisions.items():
                kept = self._kept.get(number)
                if kept and kept[0] == revision:
                    self._kept.move_to_end(number)
                    found[number] = kept[1]
        return found

    def keep(self, made: Iterable[tuple[int, str, StoredChunk]]) -> None:
        """Keep passages by number and revision; those that were not asked for longest go."""
        with self._lock:
            for number, revision, chunk in made:
                if before := self._kept.pop(number, None):
                    self._size -= _size(before[1])
                self._kept[number] = revision, chunk
                self._size += _size(chunk)
            while self._size > self._memory:
                self._size -= _size(self._kept.popitem(last=False)[1][1])

    def clear(self) -> None:
        """Free the memory."""
        with self._lock:
            self._kept.clear()
            self._size = 0


def _size(chunk: StoredChunk) -> int:
    return _EACH + _CHARACTER * (len(chunk.chunk.text) + len(chunk.chunk.answer))
