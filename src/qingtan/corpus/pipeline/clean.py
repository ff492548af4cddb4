"""First stage: raw records to clean documents with digests and signatures, piece by piece."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
from numpy.typing import NDArray

from qingtan.corpus.contamination import EvaluationIndex, set_texts
from qingtan.corpus.documents import Value, digest_of
from qingtan.corpus.duplicates import Signer
from qingtan.corpus.pipeline.plan import Piece, RawPiece, Work
from qingtan.corpus.pipeline.steps import Step, steps_of
from qingtan.corpus.pipeline.tally import Tally
from qingtan.corpus.reading import FormatTable, InputFile, Rejected, list_files, parse, read_raw
from qingtan.corpus.recipe import CorpusRecipe
from qingtan.corpus.statistics import EvaluationStatistics
from qingtan.errors import UserError
from qingtan.files import read_json, write_json, write_text

EVALUATION_FILE = "evaluation.npz"
EVALUATION_COUNTS = "evaluation.json"


@dataclass(frozen=True)
class Done:
    """A piece that is done: its documents and bytes of text, for the progress that is shown."""

    piece: Piece
    documents: int
    bytes: int
    rejected: int
    first_rejected: str | None


@dataclass(frozen=True)
class RawSource:
    """A source to be read."""

    work: Path
    source: int


def read_pieces(source: RawSource, piece_bytes: int) -> Iterator[RawPiece]:
    """Yield the raw pieces of a source that are not cleaned yet.

    Raises:
        UserError: a file cannot be read to its end.
    """
    work = Work(source.work)
    recipe = work.read_recipe()
    table = recipe.source[source.source]
    files = list_files(table.location(recipe.root), table.pattern)
    blocks = read_raw(files, table.format, table.limit, piece_bytes)
    for number, block in enumerate(blocks):
        piece = Piece(source.source, number)
        if not work.is_cleaned(piece):
            yield RawPiece(source.work, piece, block)


def clean_piece(raw: RawPiece) -> Done:
    """Clean a piece and write it.

    `<piece>.arrow` holds the documents, `.digests.npy` (documents, 16) uint8,
    `.signatures.npy` (documents, permutations) uint32, `.rejected.jsonl` the records that cannot
    be used, and `.json` the statistics.
    """
    work, piece = Work(raw.work), raw.piece
    tools = _tools_for(work)
    source = tools.recipe.source[piece.source]
    tally = Tally(source.name, source.kind)
    batch = raw.block
    for step in tools.steps[piece.source]:
        batch = step(batch, tally)
    compare = source.near_duplicates and source.kind in tools.recipe.near_duplicates.kinds
    base = work.cleaned / piece.name
    feather.write_feather(pa.Table.from_batches([batch]), f"{base}.arrow", compression="lz4")
    np.save(f"{base}.digests.npy", _digests(batch))
    texts = tally.texts(batch) if compare else None
    _save_signatures(Path(f"{base}.signatures.npy"), batch.num_rows, tools.signer, texts)
    write_text(Path(f"{base}.rejected.jsonl"), "".join(tally.rejected))
    # The last of them: a piece without it is done again.
    record = tally.record()
    write_text(Path(f"{base}.json"), record.model_dump_json())
    read = tally.statistics.read
    return Done(piece, read.documents, read.bytes, len(tally.rejected), record.first_rejected)


def read_cleaned(work: Work, piece: Piece) -> pa.RecordBatch:
    """Return the clean documents of a piece."""
    table = feather.read_table(work.cleaned / f"{piece.name}.arrow").combine_chunks()
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def index_evaluation(recipe: CorpusRecipe, work: Work) -> None:
    """Write what is looked for in the documents of every piece.

    Raises:
        UserError: an evaluation file cannot be read, or has no text in the fields.
    """
    if not recipe.evaluation or (work.folder / EVALUATION_COUNTS).is_file():
        return
    sets = [
        (entry.name, list(set_texts(_records(recipe.root / entry.path), entry)))
        for entry in recipe.evaluation
    ]
    index = EvaluationIndex.build(sets, recipe.decontamination)
    index.save(work.folder / EVALUATION_FILE)
    counts = zip(index.names, index.items.tolist(), index.short_items.tolist(), strict=True)
    entries = [{"name": name, "items": long, "short_items": short} for name, long, short in counts]
    write_json(work.folder / EVALUATION_COUNTS, {"sets": entries})


def evaluation_counts(work: Work) -> list[EvaluationStatistics]:
    """Return the evaluation sets that are looked for, nothing found yet."""
    path = work.folder / EVALUATION_COUNTS
    entries = read_json(path)["sets"] if path.is_file() else []
    return [EvaluationStatistics.model_validate(entry) for entry in entries]


@dataclass(frozen=True)
class _Tools:
    recipe: CorpusRecipe
    steps: list[list[Step]]
    signer: Signer


def _tools_for(work: Work) -> _Tools:
    return _make_tools(work, work.fingerprint)


@lru_cache(maxsize=1)
def _make_tools(work: Work, fingerprint: str) -> _Tools:
    # A process works on many pieces of one build: what is slow to make is made once.
    recipe = work.read_recipe()
    evaluation = EvaluationIndex.load(work.folder / EVALUATION_FILE) if recipe.evaluation else None
    steps = [list(steps_of(recipe, source, evaluation)) for source in range(len(recipe.source))]
    return _Tools(recipe, steps, Signer(recipe.near_duplicates))


def _digests(batch: pa.RecordBatch) -> NDArray[np.uint8]:
    conversations = batch.column("conversation")
    is_text = conversations.null_count == batch.num_rows
    contents = batch.column("text").cast(pa.large_binary()) if is_text else conversations
    joined = b"".join(digest_of(content) for content in contents.to_pylist())
    return np.frombuffer(joined, np.uint8).reshape(-1, 16)


def _save_signatures(path: Path, rows: int, signer: Signer, texts: list[str] | None) -> None:
    if texts is not None:
        np.save(path, signer.sign(texts))
    else:
        # A row of zeros says that there is no signature; a file of zeros is a hole in the disk.
        shape = (rows, signer.table.permutations)
        np.lib.format.open_memmap(path, mode="w+", dtype=np.uint32, shape=shape)


def _records(path: Path) -> Iterator[Value]:
    table = FormatTable()
    for block in read_raw([InputFile(path, path.name)], table):
        for item in parse(block, table):
            if isinstance(item, Rejected):
                raise UserError(f"{path}, line {item.line}: {item.reason}")
            yield item.value
