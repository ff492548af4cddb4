"""Builds the shards of one source; what a worker process does."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qingtan.corpus.documents import Document, encode, share_of
from qingtan.corpus.recipe import CorpusRecipe, SourceFile
from qingtan.corpus.screen import Screen, Usable
from qingtan.corpus.shards import ShardEntry, SourceEntry, Split
from qingtan.corpus.writer import ShardWriter, token_type
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.provenance import LicenceTable, Source

BATCH_RECORDS = 256
REJECTED_SUFFIX = ".rejected.jsonl"

# Takes the documents and tokens of a batch that is done; may raise to stop the work.
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """One source of a recipe, to be built into a folder."""

    recipe: CorpusRecipe
    source: SourceFile
    folder: Path


def build_source(job: Job, report: Report) -> tuple[SourceEntry, list[ShardEntry]]:
    """Write the shards of one source, and its rejected records as `<source>.rejected.jsonl`.

    The result depends on the recipe and the file alone, not on other sources or processes.

    Raises:
        UserError: the file cannot be read, or too many of its records cannot be used.
    """
    tokenizer = GLMTokenizer.from_file(job.recipe.tokenizer)
    tally = _Tally(_licences(job.recipe), job.source)
    writers = {split: _writer(job, split, tokenizer) for split in ("train", "valid")}
    log_path = job.folder / f"{job.source.name}{REJECTED_SUFFIX}"
    with log_path.open("w", encoding="utf-8") as log:
        screen = Screen(job.recipe, job.source, log)
        for batch in _batches(screen):
            tokens_before = tally.tokens
            for usable, document in _encoded(tokenizer, job.source, batch, screen):
                held_out = share_of(usable.digest) < job.recipe.validation_share
                writers["valid" if held_out else "train"].add(document)
                tally.add(usable, document)
            report(len(batch), tally.tokens - tokens_before)
        screen.finish()
    for writer in writers.values():
        writer.close()
    return tally.entry(screen), [entry for writer in writers.values() for entry in writer.entries]


def _writer(job: Job, split: str, tokenizer: GLMTokenizer) -> ShardWriter:
    side: Split = "valid" if split == "valid" else "train"
    dtype = token_type(tokenizer.vocab_size)
    source, size = job.source, job.recipe.shard_tokens
    return ShardWriter(job.folder, source.name, side, source.kind, dtype, size)


def _licences(recipe: CorpusRecipe) -> LicenceTable:
    return LicenceTable.read(recipe.licences) if recipe.licences else LicenceTable()


def _batches(records: Iterable[Usable]) -> Iterator[list[Usable]]:
    iterator = iter(records)
    while batch := list(islice(iterator, BATCH_RECORDS)):
        yield batch


def _encoded(
    tokenizer: GLMTokenizer, source: SourceFile, batch: list[Usable], screen: Screen
) -> Iterator[tuple[Usable, Document]]:
    results = encode(tokenizer, source.kind, [usable.value for usable in batch])
    for usable, result in zip(batch, results, strict=True):
        if isinstance(result, UserError):
            screen.reject(usable.line, str(result))
        else:
            yield usable, result


class _Tally:
    """Counts what is kept, in all and for each origin and licence."""

    def __init__(self, licences: LicenceTable, source: SourceFile) -> None:
        self.tokens = 0
        self._characters = self._trained_tokens = 0
        self._licences, self._source = licences, source
        self._counts: dict[tuple[str, str | None], list[int]] = {}

    def add(self, usable: Usable, document: Document) -> None:
        """Count a document."""
        counts = self._counts.setdefault((usable.source, usable.licence), [0, 0, 0])
        length = len(document.tokens)
        for i, amount in enumerate((1, len(usable.text.encode()), length)):
            counts[i] += amount
        self.tokens += length
        self._characters += len(usable.text)
        trained = document.trained
        self._trained_tokens += length if trained is None else int(trained.sum())

    def entry(self, screen: Screen) -> SourceEntry:
        """Return the source's entry of the index."""
        totals = [sum(column) for column in zip(*self._counts.values(), strict=True)] or [0, 0, 0]
        return SourceEntry(
            name=self._source.name,
            kind=self._source.kind,
            documents=totals[0],
            characters=self._characters,
            bytes=totals[1],
            tokens=totals[2],
            trained_tokens=self._trained_tokens,
            rejected=screen.rejected,
            duplicates=screen.duplicates,
            excluded=screen.excluded,
            origins=tuple(self._origin(*key) for key in self._counts),
        )

    def _origin(self, name: str, licence: str | None) -> Source:
        documents, size, tokens = self._counts[name, licence]
        counts = {"documents": documents, "bytes": size, "tokens": tokens}
        return self._licences.describe(name, licence).model_copy(update=counts)
