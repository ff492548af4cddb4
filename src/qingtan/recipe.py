"""Recipes: TOML files checked by a pydantic model, with dotted overrides.

A room declares its recipe as a subclass of `Recipe`; the docstring below each field is the
reference documentation of that field.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from qingtan.errors import UserError


class Recipe(BaseModel):
    """Base of every recipe and of its tables: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


R = TypeVar("R", bound=Recipe)


def load_recipe(path: str | Path, kind: type[R], overrides: Sequence[str] = ()) -> R:
    """Read a recipe.

    Args:
        path: a TOML file.
        kind: the pydantic model that it must satisfy.
        overrides: "table.field=value", the value in TOML; a bare word is taken as a string.

    Raises:
        UserError: the file is missing, is not TOML, or a field is unknown or wrong; the message
            names the file and the field.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such recipe") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file: {error}") from None
    for override in overrides:
        _apply(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(path, error)) from None


def _apply(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"override {override!r}: write it as field=value or table.field=value")
    *tables, field = name.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise UserError(f"override {override!r}: {table!r} is not a table of the recipe")
    values[field] = _parse_value(text.strip())


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(path: Path, error: ValidationError) -> str:
    lines = [f"{path}: the recipe is not valid"]
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        lines.append(f"  {field}: {problem['msg']}")
    return "\n".join(lines)
