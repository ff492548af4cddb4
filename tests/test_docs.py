"""The written reference is that of the code."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_reference_of_recipes_is_current() -> None:
    spec = importlib.util.spec_from_file_location("recipes", DOCS / "recipes.py")
    assert spec
    assert spec.loader
    recipes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipes)
    page = (DOCS / "recipes.md").read_text(encoding="utf-8")
    assert page == recipes.render(), "run python docs/recipes.py"
