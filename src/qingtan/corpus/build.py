"""Builds a corpus: all sources of a recipe, in several processes."""

import hashlib
import os
import shutil
from pathlib import Path

from qingtan.corpus.recipe import CorpusRecipe
from qingtan.corpus.shards import (
    INDEX_FILE,
    REJECTED_FILE,
    CorpusIndex,
    source_provenance,
)
from qingtan.corpus.source import REJECTED_SUFFIX, Job
from qingtan.corpus.summary import print_corpus
from qingtan.corpus.workers import Built, build_sources
from qingtan.corpus.writer import token_type
from qingtan.errors import UserError
from qingtan.files import new_folder
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.provenance import LicenceTable, Step


def build_corpus(recipe: CorpusRecipe, workers: int | None = None, force: bool = False) -> Path:
    """Turn a recipe's records into shards, and print a summary.

    The same recipe and files give the same shards, whatever the number of workers. Next to the
    shards the folder holds `corpus.json`, `tokenizer.model`, `provenance.json`, and
    `rejected.jsonl` with the records that could not be used. A script that calls this with several
    workers needs the usual `if __name__ == "__main__":`, for they import it anew.

    Args:
        workers: processes, each with a source at a time; as many as cores by default.
        force: replace an earlier corpus at the recipe's output.

    Returns:
        The folder.

    Raises:
        UserError: the output exists, a file is missing or cannot be read, or too many records of
            a source cannot be used. Nothing is left at the output then.
    """
    _check_files(recipe)
    tokenizer = GLMTokenizer.from_file(recipe.tokenizer)
    with new_folder(recipe.output, INDEX_FILE, replace=force) as folder:
        jobs = [Job(recipe, source, folder) for source in recipe.source]
        built = build_sources(jobs, workers or os.cpu_count() or 1)
        index = _index(tokenizer, built)
        (folder / INDEX_FILE).write_text(index.model_dump_json(indent=2) + "\n", encoding="utf-8")
        tokenizer.save(folder)
        _join_rejected(folder, recipe)
        step = Step.now("corpus", tokenizer_sha256=index.tokenizer_sha256)
        source_provenance(index.sources, (step,)).write(folder)
    print_corpus(recipe.output, index)
    return recipe.output


def _check_files(recipe: CorpusRecipe) -> None:
    # Before the first source's minutes of work, not after.
    for source in recipe.source:
        if not source.file(recipe.root).is_file():
            raise UserError(f"{source.file(recipe.root)}: no such file")
    if recipe.licences:
        LicenceTable.read(recipe.licences)


def _index(tokenizer: GLMTokenizer, built: list[Built]) -> CorpusIndex:
    return CorpusIndex(
        tokenizer_sha256=hashlib.sha256(tokenizer.model).hexdigest(),
        vocab_size=tokenizer.vocab_size,
        dtype=token_type(tokenizer.vocab_size),
        shards=tuple(shard for _, shards in built for shard in shards),
        sources=tuple(source for source, _ in built),
    )


def _join_rejected(folder: Path, recipe: CorpusRecipe) -> None:
    with (folder / REJECTED_FILE).open("wb") as joined:
        for source in recipe.source:
            part = folder / f"{source.name}{REJECTED_SUFFIX}"
            with part.open("rb") as file:
                shutil.copyfileobj(file, joined)
            part.unlink()
