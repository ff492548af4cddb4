"""Drawing a sample and training a vocabulary."""

from pathlib import Path

import pytest

from qingtan.corpus import TokenizerRecipe, train_vocabulary
from qingtan.corpus.vocabulary import cut_lines, draw_sample
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.provenance import LicenceTable, Provenance

from .samples import SENTENCES, conversation


@pytest.fixture
def recipe(write_records, tmp_path: Path) -> TokenizerRecipe:
    documents = [{"text": f"{i}。{SENTENCES[i % 8]}", "licence": "CC0-1.0"} for i in range(400)]
    write_records("notes.jsonl.zst", documents)
    write_records("talk.jsonl", [conversation(f"{i}{SENTENCES[0]}", "好。") for i in range(50)])
    return TokenizerRecipe.model_validate(
        {
            "output": tmp_path / "tokenizer",
            "root": tmp_path,
            "vocab_size": 400,
            "sample_bytes": 10_000,
            "source": [
                {"name": "notes", "path": "notes.jsonl.zst", "weight": 3},
                {"name": "talk", "kind": "conversations", "path": "talk.jsonl"},
            ],
        }
    )


def test_a_vocabulary_is_trained_and_records_its_sources(recipe: TokenizerRecipe) -> None:
    path = train_vocabulary(recipe, threads=1)
    tokenizer = GLMTokenizer.from_file(path)
    assert tokenizer.gmask_id >= 400
    assert tokenizer.decode(tokenizer.encode("清谈 hello\n\t𠮷")) == "清谈 hello\n\t𠮷"
    sources = {source.name: source for source in Provenance.read(path.parent).sources}
    assert sources["notes"].licence == "CC0-1.0"
    assert 7500 <= sources["notes"].bytes < 7700
    assert 2500 <= sources["talk"].bytes < 2700


def test_the_sample_is_the_same_whatever_the_order(recipe, write_records) -> None:
    source = recipe.source[0]
    first = draw_sample(recipe, source, 3000, LicenceTable())
    documents = [{"text": f"{i}。{SENTENCES[i % 8]}"} for i in reversed(range(400))]
    write_records("notes.jsonl.zst", documents)
    second = draw_sample(recipe, source, 3000, LicenceTable())
    texts = [text for text, _ in first]
    assert texts == [text for text, _ in second]
    numbers = [int(text.split("。")[0]) for text in texts]
    assert min(numbers) < 60
    assert max(numbers) > 340


def test_an_existing_tokenizer_is_kept_unless_forced(recipe: TokenizerRecipe) -> None:
    train_vocabulary(recipe, threads=1)
    with pytest.raises(UserError, match="--force"):
        train_vocabulary(recipe, threads=1)
    train_vocabulary(recipe, threads=1, force=True)


def test_too_small_a_sample_is_said(recipe: TokenizerRecipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="could not be trained"):
        train_vocabulary(recipe.model_copy(update={"vocab_size": 8000}), threads=1)
    assert not (tmp_path / "tokenizer").exists()


def test_lines_are_cut_but_nothing_is_lost() -> None:
    text = "长" * 2500 + "\n\n  缩进\n"
    lines = list(cut_lines([text]))
    assert "".join(lines) == text.replace("\n", "")
    assert max(map(len, lines)) == 1000
    assert "  缩进" in lines
