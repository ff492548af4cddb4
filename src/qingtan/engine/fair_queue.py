"""Who is served next: by priority, then the key that was served least, then who came first.

Virtual token counters (Sheng et al. 2024, "Fairness in Serving Large Language Models",
arXiv:2401.00588): each key, that is each user, has a counter that grows by what is computed for it.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

Rank = tuple[int, tuple[int, int]]

_REMEMBERED_KEYS = 1024


class Ticket(Protocol):
    """What the queue asks of those who wait.

    Attributes:
        key: whose it is.
        priority: lower numbers go first.
        arrival: its place in the order of arrival.
    """

    key: str
    priority: int
    arrival: tuple[int, int]


T = TypeVar("T", bound=Ticket)


def rank(ticket: Ticket) -> Rank:
    """Return how much it matters whatever its key; less is more."""
    return (ticket.priority, ticket.arrival)


class FairQueue(Generic[T]):
    """Those who wait, and the counters of all keys."""

    def __init__(self) -> None:
        self._queues: dict[tuple[int, str], deque[T]] = {}  # by priority and key; none is empty
        self._counters: dict[str, int] = {}
        self._last = ""  # the key of who left the queue last

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._queues.values()))

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._queues)

    def __iter__(self) -> Iterator[T]:
        """All who wait, in no order."""
        for queue in self._queues.values():
            yield from queue

    @property
    def counters(self) -> Mapping[str, int]:
        """What each key was served."""
        return MappingProxyType(self._counters)

    def lift(self, key: str) -> None:
        """Bring a key that waits for nothing level with those that do: idleness earns nothing.

        Called before something of this key is put here or charged for the first time.
        """
        if all(waiting != key for _, waiting in self._queues):
            self._counters[key] = max(self._counters.get(key, 0), self._least())

    def charge(self, key: str, cost: int) -> None:
        """Count what was computed for a key."""
        self._counters[key] += cost

    def turn(self, ticket: T) -> tuple[int, int, tuple[int, int]]:
        """Return its place in the order of service; less is sooner."""
        return (ticket.priority, self._counters[ticket.key], ticket.arrival)

    def put(self, ticket: T) -> None:
        """Add one, among those of its key and priority where its arrival puts it."""
        insort(self._queues.setdefault((ticket.priority, ticket.key), deque()), ticket, key=rank)

    def first(self, owed: Mapping[str, int]) -> T:
        """Return who is next; somebody must wait.

        Args:
            owed: what will be computed for keys without a further turn. It counts here, so that
                those who start together are of different keys.
        """

        def place(ticket: T) -> tuple[int, int, tuple[int, int]]:
            priority, served, arrival = self.turn(ticket)
            return (priority, served + owed.get(ticket.key, 0), arrival)

        return min((queue[0] for queue in self._queues.values()), key=place)

    def remove(self, ticket: T) -> None:
        """Take one out.

        Raises:
            ValueError: it does not wait here.
        """
        place = (ticket.priority, ticket.key)
        queue = self._queues.get(place, deque())
        queue.remove(ticket)
        if not queue:
            del self._queues[place]
        self._last = ticket.key

    def forget(self, present: Iterable[str]) -> None:
        """Drop counters, once there are many, that `lift` would raise if their keys came back.

        Args:
            present: the keys of whatever waits or may still be charged.
        """
        if len(self._counters) > _REMEMBERED_KEYS:
            least, stay = self._least(), {*present, self._last}
            kept = {k: n for k, n in self._counters.items() if k in stay or n > least}
            self._counters = kept

    def _least(self) -> int:
        """Return the least counter of those who wait; else that of who waited last."""
        last = self._counters.get(self._last, 0)
        return min((self._counters[key] for _, key in self._queues), default=last)
