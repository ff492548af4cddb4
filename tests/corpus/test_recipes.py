"""The recipes that ship, and the real corpus where it is present."""

import subprocess
import sys
from pathlib import Path

import pytest

from qingtan.corpus import Corpus, CorpusRecipe, build_corpus
from qingtan.corpus.statistics import CorpusReport
from qingtan.errors import UserError
from qingtan.provenance import LicenceTable, render_sources
from qingtan.recipe import load_recipe

ROOT = Path(__file__).parents[2]
BUILT_IN = ROOT / "recipes" / "built-in"
DATA = ROOT.parent / "shared" / "data"


def test_every_known_source_has_a_licence_and_an_attribution() -> None:
    table = LicenceTable.read(BUILT_IN / "sources.toml")
    for name, source in table.sources.items():
        assert source.licence, name
        assert source.origin, name
        assert source.attribution, name
        assert "(" not in source.licence, name
    assert table.describe("poems", "MIT (compilation; poems public domain)").licence == "MIT"


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    source = '[[source]]\nname = "a"\npath = "a.jsonl"\n'
    path.write_text(f'output = "o"\ntokenizer = "t"\n{source}{source}')
    with pytest.raises(UserError, match="two sources are called a"):
        load_recipe(path, CorpusRecipe)


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b"])
def test_a_source_name_is_a_file_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(f'output = "o"\ntokenizer = "t"\n[[source]]\nname = "{name}"\npath = "a"\n')
    with pytest.raises(UserError, match=r"source\.0\.name"):
        load_recipe(path, CorpusRecipe)


@pytest.mark.skipif(not DATA.is_dir(), reason="the corpus is not here")
def test_real_records_are_all_usable(tokenizer_path: Path, tmp_path: Path) -> None:
    derived = tmp_path / "derived"
    subprocess.run([sys.executable, BUILT_IN / "derive.py", DATA, derived], check=True)
    recipe = load_recipe(BUILT_IN / "corpus.toml", CorpusRecipe)
    roots: dict[Path | None, Path] = {Path("runs/built-in/derived"): derived}
    sources = [
        source.model_copy(update={"limit": 100, "root": roots.get(source.root, source.root)})
        for source in recipe.source
    ]
    small = recipe.model_copy(
        update={
            "source": tuple(sources),
            "root": DATA,
            "tokenizer": tokenizer_path,
            "vocabulary": None,
            "licences": BUILT_IN / "sources.toml",
            "output": tmp_path / "corpus",
        }
    )
    corpus = Corpus.open(build_corpus(small, workers=1))
    report = CorpusReport.model_validate_json((corpus.path / "report.json").read_bytes())
    assert sum(source.rejected for source in report.sources) == 0
    assert sum(map(len, corpus.shards)) > 2000
    assert all(source.attribution for source in corpus.provenance.sources)
    assert "chinese-poetry | MIT" in render_sources(corpus.provenance)
