"""Last stage: encoded pieces to shards, index and report, in the order of the recipe."""

import hashlib
import shutil
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qingtan.corpus.encoded import Encoded, token_type
from qingtan.corpus.pipeline.clean import evaluation_counts
from qingtan.corpus.pipeline.deduplicate import Numbering, sample_duplicates
from qingtan.corpus.pipeline.encode import SPLITS, EncodedRecord, OriginCount
from qingtan.corpus.pipeline.plan import Piece, Work
from qingtan.corpus.pipeline.tally import PieceRecord, Samples, add_statistics
from qingtan.corpus.recipe import CorpusRecipe
from qingtan.corpus.shards import REJECTED_FILE, CorpusIndex, ShardEntry, SourceEntry
from qingtan.corpus.statistics import (
    STEPS,
    CorpusReport,
    EvaluationStatistics,
    SourceStatistics,
)
from qingtan.corpus.writer import ShardWriter
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.provenance import LicenceTable, Source

Origin = tuple[str, str | None]


class Assembly:
    """What the pieces of a build become."""

    def __init__(self, recipe: CorpusRecipe, work: Work, numbering: Numbering) -> None:
        self._recipe, self._work, self._numbering = recipe, work, numbering
        self._pieces: dict[int, list[Piece]] = {}
        for piece in numbering.pieces:
            self._pieces.setdefault(piece.source, []).append(piece)
        self._licences = LicenceTable.read(recipe.licences) if recipe.licences else LicenceTable()

    def report(self) -> CorpusReport:
        """Add the statistics of all pieces."""
        samples = Samples()
        evaluation = {entry.name: entry for entry in evaluation_counts(self._work)}
        sources = [self._statistics(number, samples, evaluation) for number in self._sources()]
        for source, epochs in zip(sources, epochs_of(self._recipe, sources), strict=True):
            source.epochs = epochs
        chosen = samples.chosen()
        chosen |= sample_duplicates(self._recipe, self._work, self._numbering)
        return CorpusReport(sources=sources, evaluation=list(evaluation.values()), samples=chosen)

    def index(self, report: CorpusReport, tokenizer: GLMTokenizer) -> CorpusIndex:
        """Write the shards, and return what `corpus.json` says of them."""
        return CorpusIndex(
            tokenizer_sha256=hashlib.sha256(tokenizer.model).hexdigest(),
            vocab_size=tokenizer.vocab_size,
            dtype=token_type(tokenizer.vocab_size),
            shards=tuple(shard for number in self._sources() for shard in self._shards(number)),
            sources=tuple(map(self._source_entry, self._sources(), report.sources)),
        )

    def origins(self, source: int) -> tuple[Source, ...]:
        """Return where the documents of a source come from, with their counts."""
        counts = self._origins(source)
        table = [[c.documents, c.bytes, c.tokens] for c in counts.values()]
        return self._describe(list(counts), np.array(table, np.int64).reshape(-1, 3))

    def attributions(self) -> dict[tuple[str, str], set[str]]:
        """Return whom the records themselves name, by source and licence."""
        named: dict[tuple[str, str], set[str]] = {}
        for number in self._sources():
            for piece in self._of(number):
                for origin in self._encoded(piece).origins:
                    if origin.attributions:
                        source = self._licences.describe(origin.name, origin.licence)
                        named.setdefault(source.key, set()).update(origin.attributions)
        return named

    def join_rejected(self) -> None:
        """Write `rejected.jsonl`: what cannot be read, then what cannot be encoded."""
        with (self._work.result / REJECTED_FILE).open("wb") as joined:
            for folder in (self._work.cleaned, self._work.encoded):
                for number in self._sources():
                    for piece in self._of(number):
                        with (folder / f"{piece.name}.rejected.jsonl").open("rb") as part:
                            shutil.copyfileobj(part, joined)

    def first_rejected(self, source: int) -> str | None:
        """Return the first record of a source that cannot be used, and why."""
        for piece in self._of(source):
            for record in self._records(piece):
                if record.first_rejected:
                    return record.first_rejected
        return None

    def _sources(self) -> range:
        return range(len(self._recipe.source))

    def _of(self, source: int) -> list[Piece]:
        return self._pieces.get(source, [])

    def _records(self, piece: Piece) -> tuple[PieceRecord, EncodedRecord]:
        return PieceRecord.read(self._work.cleaned / f"{piece.name}.json"), self._encoded(piece)

    def _encoded(self, piece: Piece) -> EncodedRecord:
        data = (self._work.encoded / f"{piece.name}.json").read_bytes()
        return EncodedRecord.model_validate_json(data)

    def _statistics(
        self, number: int, samples: Samples, evaluation: dict[str, EvaluationStatistics]
    ) -> SourceStatistics:
        source = self._recipe.source[number]
        total = SourceStatistics(name=source.name, kind=source.kind)
        for piece in self._of(number):
            for record in self._records(piece):
                add_statistics(total, record.statistics)
                samples.add(record.samples)
                for name, amount in record.evaluation.items():
                    evaluation[name].dropped.add(amount)
        _fill_steps(total)
        return total

    def _origins(self, number: int) -> dict[Origin, OriginCount]:
        total: dict[Origin, OriginCount] = {}
        for piece in self._of(number):
            for count in self._encoded(piece).origins:
                key = (count.name, count.licence)
                if key in total:
                    total[key].documents += count.documents
                    total[key].bytes += count.bytes
                    total[key].tokens += count.tokens
                else:
                    total[key] = count
        return total

    def _describe(self, origins: Sequence[Origin], counts: NDArray[np.int64]) -> tuple[Source, ...]:
        described = []
        for (name, licence), (documents, size, tokens) in zip(
            origins, counts.tolist(), strict=False
        ):
            if documents:
                update = {"documents": documents, "bytes": size, "tokens": tokens}
                source = self._licences.describe(name, licence)
                described.append(source.model_copy(update=update))
        return tuple(described)

    def _shards(self, number: int) -> list[ShardEntry]:
        origins = list(self._origins(number))
        places = {origin: place for place, origin in enumerate(origins)}
        source = self._recipe.source[number]
        entries: list[ShardEntry] = []
        for split in SPLITS:
            writer = ShardWriter(
                self._work.result,
                source.name,
                split,
                source.kind,
                self._recipe.shard_tokens,
                partial(self._describe, origins),
            )
            for piece in self._of(number):
                documents = Encoded.load(self._work.encoded / f"{piece.name}.{split}.npz")
                named = self._encoded(piece).origins
                writer.add(documents.with_origins([places[o.name, o.licence] for o in named]))
            writer.close()
            entries += writer.entries
        return entries

    def _source_entry(self, number: int, statistics: SourceStatistics) -> SourceEntry:
        kept = statistics.after["encode"]
        source = self._recipe.source[number]
        return SourceEntry(
            name=source.name,
            kind=source.kind,
            documents=kept.documents,
            characters=kept.characters,
            bytes=kept.bytes,
            tokens=statistics.tokens,
            trained_tokens=statistics.trained_tokens,
            epochs=statistics.epochs,
            origins=self.origins(number),
        )


def epochs_of(recipe: CorpusRecipe, sources: Sequence[SourceStatistics]) -> list[float]:
    """Return how often training reads each source in an epoch.

    With weights, a source's tokens times its epochs are its part of `mix_tokens`.
    """
    weights = [table.weight for table in recipe.source]
    if None in weights:
        return [1.0 if table.epochs is None else table.epochs for table in recipe.source]
    total = recipe.mix_tokens or sum(source.tokens for source in sources)
    parts = np.array(weights, np.float64) / np.sum(np.array(weights, np.float64)) * total
    return [
        float(part) / source.tokens if source.tokens else 0.0
        for part, source in zip(parts, sources, strict=True)
    ]


def _fill_steps(statistics: SourceStatistics) -> None:
    """Say of a step that a source did not go through that it left everything."""
    last = statistics.read
    filled = {}
    for step in STEPS:
        last = statistics.after.get(step, last)
        filled[step] = last
    statistics.after = filled
