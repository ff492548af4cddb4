"""Stores to test, of every kind."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qingtan.knowledge.store import open_store
from qingtan.knowledge.store.interface import Store

# Opens the same store again with each call.
Opener = Callable[[], Store]


@pytest.fixture(params=["sqlite"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    opened: list[Store] = []

    def again() -> Store:
        opened.append(open_store(tmp_path / "kb.db"))
        return opened[-1]

    yield again
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: Opener) -> Store:
    return opener()
