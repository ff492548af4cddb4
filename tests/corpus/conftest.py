"""A tiny tokenizer, and recipes over files that a test writes."""

import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from qingtan.corpus import CorpusRecipe
from qingtan.glm.tokenizer import train_tokenizer

from .samples import SENTENCES

WriteRecords = Callable[[str, Iterable[Any]], Path]
MakeRecipe = Callable[..., CorpusRecipe]

# The small texts of the tests would fail rules that are made for real ones.
NO_RULES = {
    "languages": {"keep": []},
    "quality": {"kinds": []},
    "near_duplicates": {"kinds": []},
}


@pytest.fixture(scope="session")
def tokenizer_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    train_tokenizer(SENTENCES * 5, 400, path, threads=1)
    return path


@pytest.fixture
def write_records(tmp_path: Path) -> WriteRecords:
    """Write records as JSON Lines, compressed as the name says; strings are written as they are."""

    def write(name: str, records: Iterable[Any]) -> Path:
        lines = (r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records)
        data = "".join(line + "\n" for line in lines).encode()
        if name.endswith(".gz"):
            data = gzip.compress(data)
        elif name.endswith(".zst"):
            data = zstandard.compress(data)
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def make_recipe(tmp_path: Path, tokenizer_path: Path) -> MakeRecipe:
    """Make a recipe from its sources' tables; the output is `corpus` in the test's folder.

    No document is dropped for its quality or likeness unless the test says so.
    """

    def make(*sources: dict[str, Any], **fields: Any) -> CorpusRecipe:
        values = {"output": tmp_path / "corpus", "tokenizer": tokenizer_path, "root": tmp_path}
        return CorpusRecipe.model_validate({**NO_RULES, **values, "source": sources, **fields})

    return make
