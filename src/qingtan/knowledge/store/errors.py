"""What goes wrong with a store through no fault of what is put in."""

from qingtan.errors import UserError


class Unavailable(UserError):  # noqa: N818
    """The store is locked for long, its disk is full, or its server is out of reach; try again."""
