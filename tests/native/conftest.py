"""Every table of kernels that this processor can run, and a pool."""

import pytest

from qingtan.native import Kernels, Pool, tables

NAMES = [table.name for table in tables()]


@pytest.fixture(params=NAMES)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return tables()[NAMES.index(request.param)]


@pytest.fixture(scope="session")
def pool() -> Pool:
    return Pool(2)
