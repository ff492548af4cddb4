"""A reader for the tests of a module: it starts processes."""

from collections.abc import Iterator

import pytest

from qingtan.knowledge.reading import Reader


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as reader:
        yield reader
