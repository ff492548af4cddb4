"""Whose request it is."""

from typing import Annotated

from fastapi import Depends

from qingtan.knowledge.store.interface import DEFAULT_TENANT


def tenant_of_request() -> str:
    """Return the tenant whose bases a request reaches.

    The server asks nobody who they are, and so all are one. What checks keys takes its place.
    """
    return DEFAULT_TENANT


Tenant = Annotated[str, Depends(tenant_of_request)]
