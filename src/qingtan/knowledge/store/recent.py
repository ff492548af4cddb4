"""Passages that searches found lately, as they were made of their rows."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from qingtan.knowledge.store.interface import StoredChunk

MEMORY = 1 << 25  # bytes
_EACH = 2000  # bytes of a passage and its document, without the text
_CHARACTER = 2  # bytes

# Passages are known by their numbers and the revision of their base: a number may stand for
# something else after a backup was restored, a revision never.
Key = tuple[int, str]


class Recent:
    """Passages that were asked for last; methods may be called by any thread.

    Args:
        memory: bytes that they may take, about.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory = memory
        self._kept: OrderedDict[Key, StoredChunk] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def find(self, keys: Sequence[Key]) -> dict[Key, StoredChunk]:
        """Return those that are kept."""
        with self._lock:
            found = {key: chunk for key in keys if (chunk := self._kept.get(key))}
            for key in found:
                self._kept.move_to_end(key)
            return found

    def keep(self, chunks: dict[Key, StoredChunk]) -> None:
        """Keep passages, and give up those that were not asked for the longest."""
        with self._lock:
            for key, chunk in chunks.items():
                if key not in self._kept:
                    self._kept[key] = chunk
                    self._size += _size(chunk)
            while self._size > self._memory:
                self._size -= _size(self._kept.popitem(last=False)[1])

    def clear(self) -> None:
        """Free the memory."""
        with self._lock:
            self._kept.clear()
            self._size = 0


def _size(chunk: StoredChunk) -> int:
    return _EACH + _CHARACTER * (len(chunk.chunk.text) + len(chunk.chunk.answer))
