"""The stores of all kinds."""

from ..store.conftest import opener, store

__all__ = ["opener", "store"]
