"""Recipes: TOML, overrides, and errors that name the file and the field."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from qingtan.errors import UserError
from qingtan.recipe import Recipe, load_recipe
from qingtan.training.recipe import TrainRecipe


class Table(Recipe):
    """A table."""

    size: int = Field(default=1, ge=1)
    """How large."""
    name: str = "无名"
    """What it is called."""


class Example(Recipe):
    """A recipe."""

    output: Path
    """Where to."""
    table: Table = Table()
    shares: dict[str, float] = Field(default_factory=dict)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "example.toml"
    path.write_text('output = "out"\n[table]\nsize = 3\n[shares]\nzh = 0.5\n', encoding="utf-8")
    return path


def test_a_recipe_is_read(path: Path) -> None:
    recipe = load_recipe(path, Example)
    assert recipe == Example(output=Path("out"), table=Table(size=3), shares={"zh": 0.5})


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("table.size=7", {"table": Table(size=7)}),
        (" table.size = 7 ", {"table": Table(size=7)}),
        ("table.name=明月", {"table": Table(size=3, name="明月")}),
        ('table.name="7"', {"table": Table(size=3, name="7")}),
        ("table.name=a=b", {"table": Table(size=3, name="a=b")}),
        ("output=/tmp/x y", {"output": Path("/tmp/x y")}),
        ("shares.en=2.0", {"shares": {"zh": 0.5, "en": 2.0}}),
        ("shares={en = 1}", {"shares": {"en": 1.0}}),
    ],
)
def test_an_override_changes_one_field(path: Path, override: str, changed: dict[str, Any]) -> None:
    assert load_recipe(path, Example, [override]) == load_recipe(path, Example).model_copy(
        update=changed
    )


def test_the_last_override_holds_and_may_make_a_table(tmp_path: Path) -> None:
    path = tmp_path / "short.toml"
    path.write_text('output = "out"', encoding="utf-8")
    recipe = load_recipe(path, Example, ["table.size=2", "table.size=5"])
    assert recipe.table.size == 5


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("table.size=0", "table.size: "),
        ("table.size=many", "table.size: "),
        ("table.weight=1", "table.weight: "),
        ("weight=1", "weight: "),
        ("shares.zh=x", "shares.zh: "),
    ],
)
def test_a_wrong_field_is_named_with_the_file(path: Path, override: str, named: str) -> None:
    with pytest.raises(UserError, match=rf"(?s)example\.toml: .*\n  {named}"):
        load_recipe(path, Example, [override])


@pytest.mark.parametrize("override", ["table.size", "", "output.x=1", "table.size.x=1"])
def test_a_malformed_override_is_named(path: Path, override: str) -> None:
    with pytest.raises(UserError, match=f"override '{override}'"):
        load_recipe(path, Example, [override])


@pytest.mark.parametrize("data", [b"output = ", b"\xff", b"output", b"[table\n"])
def test_what_is_not_toml_is_named(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"example\.toml: not a TOML file"):
        load_recipe(path, Example)


def test_a_missing_file_or_field_is_named(path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.toml: no such recipe"):
        load_recipe(path.with_name("nowhere.toml"), Example)
    path.write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"(?s)example\.toml.*output: Field required"):
        load_recipe(path, Example)


@given(value=st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)))
def test_numbers_are_read_as_toml_has_them(
    value: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("recipe") / "r.toml"
    path.write_text('output = "out"', encoding="utf-8")
    recipe = load_recipe(path, Example, [f"shares.x={value!r}"])
    assert recipe.shares == {"x": float(value)}


TRAIN = {
    "output": "run",
    "steps": 10,
    "model": {"size": "tiny"},
    "data": {"corpus": "corpus", "sequence_length": 100},
    "batch_tokens": 1000,
    "micro_batch_tokens": 250,
}


def test_batches_are_whole_rows() -> None:
    recipe = TrainRecipe.model_validate(TRAIN)
    assert recipe.micro_batch_rows == 2
    assert recipe.accumulation == 5
    assert recipe.batch_rows == 10


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": {}}, "either size or start"),
        ({"model": {"size": "tiny", "start": "x"}}, "either size or start"),
        ({"micro_batch_tokens": 99}, "less than one row"),
        ({"batch_tokens": 249}, "batch_tokens is less"),
        ({"data": {"corpus": "c", "sources": {"a": -0.5}}}, "sources"),
        ({"optimizer": {"name": "sgd"}}, "optimizer"),
        ({"steps": 0}, "steps"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        TrainRecipe.model_validate({**TRAIN, **change})
