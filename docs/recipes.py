"""Writes docs/recipes.md, the reference of the recipes' fields, from the docstrings of the models.

python docs/recipes.py
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from qingtan.corpus.recipe import CorpusRecipe
from qingtan.files import write_text
from qingtan.recipe import Recipe
from qingtan.training.recipe import TrainRecipe

PAGE = Path(__file__).with_suffix(".md")
COMMANDS: dict[str, type[Recipe]] = {
    "qingtan corpus build": CorpusRecipe,
    "qingtan train": TrainRecipe,
}
INTRODUCTION = """# Recipes

A recipe is a TOML file. On the command line any field can be changed as `field=value` or
`table.field=value`, the value in TOML. An unknown field, or a value out of range, is an error that
names it. Written from the source by `python docs/recipes.py`.
"""


def render() -> str:
    """Return the whole page."""
    return INTRODUCTION + "".join(
        f"\n## `{command} RECIPE`\n\n{recipe.__doc__}\n{render_table(recipe)}"
        for command, recipe in COMMANDS.items()
    )


def render_table(recipe: type[BaseModel]) -> str:
    """Return a table of the fields, and of those of its tables by their dotted names."""
    rows = [f"| `{name}` | {default} | {text} |" for name, default, text in fields_of(recipe)]
    return "\n".join(["", "| field | default | what it is |", "|---|---|---|", *rows, ""])


def fields_of(recipe: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield name, default and text of each field."""
    for name, field in recipe.model_fields.items():
        table = table_of(field)
        if table:
            yield from fields_of(table, f"{prefix}{name}.")
        else:
            yield prefix + name, default_of(field), " ".join((field.description or "").split())


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a table, or a list of tables."""
    arguments: tuple[Any, ...] = getattr(field.annotation, "__args__", ())
    for kind in (field.annotation, *arguments):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def default_of(field: FieldInfo) -> str:
    """Return how a default is written; nothing for a field that must be given."""
    if field.default is PydanticUndefined:
        return "required"
    empty = field.default is None or field.default == () or field.default == Path()
    return "" if empty else f"`{field.default}`"


if __name__ == "__main__":
    write_text(PAGE, render())
