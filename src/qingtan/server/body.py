"""What all requests of the API have in common.

A field that would change the answer and that the engine does not honour is refused, by its type
or as unknown, and never ignored. A null means the same as leaving the field out.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

MAX_USER_LENGTH = 256


class Body(BaseModel):
    """A request, or an object in one."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {name: value for name, value in values.items() if value is not None}
        return values


def as_list(value: Any) -> Any:
    """Return a text as a list of one."""
    return [value] if isinstance(value, str) else value
