"""Third stage: documents that are kept to tokens, and to files of documents, piece by piece."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard
from numpy.typing import NDArray
from pydantic import BaseModel

from qingtan.corpus.documents import (
    Document,
    Value,
    encode_messages,
    encode_texts,
    share_of,
)
from qingtan.corpus.encoded import Encoded, token_type
from qingtan.corpus.pipeline.clean import Done, read_cleaned
from qingtan.corpus.pipeline.deduplicate import EXACT_RULE, NEAR_RULE, Numbering, duplicates_of
from qingtan.corpus.pipeline.plan import Piece, Work
from qingtan.corpus.pipeline.steps import contents_of, kind_of
from qingtan.corpus.pipeline.tally import PieceRecord, Place, Tally
from qingtan.corpus.recipe import CorpusRecipe, DocumentsTable
from qingtan.corpus.shards import Split
from qingtan.corpus.words import Segmenter
from qingtan.errors import UserError
from qingtan.files import write_bytes, write_text
from qingtan.glm.tokenizer import TOKENIZER_FILE, GLMTokenizer

DOCUMENTS_FOLDER = "documents"
SPLITS: tuple[Split, ...] = ("train", "valid")


@dataclass(frozen=True)
class CleanPiece:
    """A piece of so many documents to be encoded; `index` is its place in the numbering."""

    work: Path
    piece: Piece
    index: int
    documents: int


class OriginCount(BaseModel):
    """How much of a piece is of one source and licence, as the records name them."""

    name: str
    licence: str | None
    documents: int
    bytes: int
    tokens: int
    attributions: list[str]


class EncodedRecord(PieceRecord):
    """What an encoded piece's `.json` holds: its statistics, and the origins of its documents."""

    origins: list[OriginCount]


def clean_pieces(work: Work, numbering: Numbering) -> list[CleanPiece]:
    """Return the pieces that are not encoded yet."""
    return [
        CleanPiece(work.folder, piece, index, documents)
        for index, (piece, documents) in enumerate(
            zip(numbering.pieces, np.diff(numbering.starts).tolist(), strict=True)
        )
        if not work.is_encoded(piece)
    ]


def encode_piece(task: CleanPiece) -> Done:
    """Drop a piece's duplicates, encode the rest and write it.

    `<piece>.train.npz` and `.valid.npz` hold the tokens, `.rejected.jsonl` the conversations that
    cannot be encoded, `.json` the statistics and origins.
    """
    work, piece = Work(task.work), task.piece
    tools = _tools_for(work)
    source = tools.recipe.source[piece.source]
    tally = Tally(source.name, source.kind)
    batch, digests = _without_duplicates(tools, work, task, tally)
    lengths = [0] * batch.num_rows
    if tools.tokenizer:
        documents, usable = _encode(tools.tokenizer, batch, tally)
        if not usable.all():
            batch, digests = batch.filter(pa.array(usable)), digests[usable]
        _save_tokens(tools, work, piece, documents, batch, digests)
        lengths = [len(document.tokens) for document in documents]
        tally.statistics.tokens = sum(lengths)
        tally.statistics.trained_tokens = sum(map(_trained_tokens, documents))
    tally.after("encode", batch)
    if tools.recipe.documents:
        name = f"{source.name}-{piece.number:05d}.{tools.recipe.documents.format}"
        data = _dump_documents(tools.recipe.documents, tools.segmenter, batch)
        write_bytes(work.result / DOCUMENTS_FOLDER / name, data)
    base = work.encoded / piece.name
    write_text(Path(f"{base}.rejected.jsonl"), "".join(tally.rejected))
    origins = _count_origins(batch, lengths)
    record = EncodedRecord(**tally.record().model_dump(), origins=origins)
    # The last of them: a piece without it is done again.
    write_text(Path(f"{base}.json"), record.model_dump_json())
    size = tally.statistics.after["encode"].bytes
    return Done(piece, task.documents, size, len(tally.rejected), record.first_rejected)


@dataclass(frozen=True)
class _Tools:
    recipe: CorpusRecipe
    numbering: Numbering
    tokenizer: GLMTokenizer | None
    segmenter: Segmenter | None


def _tools_for(work: Work) -> _Tools:
    return _make_tools(work, work.fingerprint)


@lru_cache(maxsize=1)
def _make_tools(work: Work, fingerprint: str) -> _Tools:
    # A process works on many pieces of one build: what is slow to make is made once.
    recipe = work.read_recipe()
    path = work.folder / TOKENIZER_FILE
    words = recipe.documents.words if recipe.documents else None
    return _Tools(
        recipe,
        Numbering.of(work),
        GLMTokenizer.from_file(path) if path.is_file() else None,
        Segmenter(words) if words else None,
    )


def _without_duplicates(
    tools: _Tools, work: Work, task: CleanPiece, tally: Tally
) -> tuple[pa.RecordBatch, NDArray[np.uint8]]:
    batch = read_cleaned(work, task.piece)
    digests = np.load(work.cleaned / f"{task.piece.name}.digests.npy")
    kept = duplicates_of(work, tools.numbering, task.index)
    exact, near = kept.exact >= 0, kept.near >= 0
    tally.drop_all("exact-duplicates", EXACT_RULE, batch.filter(pa.array(exact)))
    batch = batch.filter(pa.array(~exact)) if exact.any() else batch
    tally.after("exact-duplicates", batch)
    tally.drop_all("near-duplicates", NEAR_RULE, batch.filter(pa.array(near[~exact])))
    batch = batch.filter(pa.array(~near[~exact])) if near.any() else batch
    tally.after("near-duplicates", batch)
    return batch, digests[kept.keep]


def _encode(
    tokenizer: GLMTokenizer, batch: pa.RecordBatch, tally: Tally
) -> tuple[list[Document], NDArray[np.bool_]]:
    """Return the documents that can be encoded, and which of the batch they are."""
    if kind_of(batch) == "text":
        texts: list[bytes] = batch.column("text").cast(pa.large_binary()).to_pylist()
        return encode_texts(tokenizer, texts), np.ones(len(texts), np.bool_)
    documents, usable = [], np.zeros(batch.num_rows, np.bool_)
    for row, result in enumerate(encode_messages(tokenizer, contents_of(batch))):
        if isinstance(result, UserError):
            tally.reject(_place(batch, row), str(result))
        else:
            documents.append(result)
            usable[row] = True
    return documents, usable


def _save_tokens(
    tools: _Tools,
    work: Work,
    piece: Piece,
    documents: Sequence[Document],
    batch: pa.RecordBatch,
    digests: NDArray[np.uint8],
) -> None:
    assert tools.tokenizer
    dtype = token_type(tools.tokenizer.vocab_size)
    text_bytes = pc.binary_length(batch.column("text")).to_pylist()
    numbers: dict[tuple[str, str | None], int] = {}
    origins = [numbers.setdefault(origin, len(numbers)) for origin in _origin_of_each(batch)]
    encoded = Encoded.of(documents, text_bytes, origins, dtype)
    held_out = share_of(digests) < tools.recipe.validation_share
    for split in SPLITS:
        part = encoded.select(held_out == (split == "valid"))
        part.save(work.encoded / f"{piece.name}.{split}.npz")


def _trained_tokens(document: Document) -> int:
    trained = document.trained
    return len(document.tokens) if trained is None else sum(trained)


def _origin_of_each(batch: pa.RecordBatch) -> list[tuple[str, str | None]]:
    names, licences = batch.column("source").to_pylist(), batch.column("licence").to_pylist()
    return list(zip(names, licences, strict=True))


def _count_origins(batch: pa.RecordBatch, lengths: Sequence[int]) -> list[OriginCount]:
    """Count by source and licence, in the order in which they first appear."""
    counts: dict[tuple[str, str | None], OriginCount] = {}
    sizes = pc.binary_length(batch.column("text")).to_pylist()
    attributions = batch.column("attribution").to_pylist()
    rows = zip(_origin_of_each(batch), sizes, lengths, attributions, strict=True)
    named: dict[tuple[tuple[str, str | None], str], None] = {}
    for origin, size, length, attribution in rows:
        if origin not in counts:
            name, licence = origin
            counts[origin] = OriginCount(
                name=name, licence=licence, documents=0, bytes=0, tokens=0, attributions=[]
            )
        count = counts[origin]
        count.documents += 1
        count.bytes += size
        count.tokens += length
        if attribution and (origin, attribution) not in named:
            named[origin, attribution] = None
            count.attributions.append(attribution)
    return list(counts.values())


def _dump_documents(
    table: DocumentsTable, segmenter: Segmenter | None, batch: pa.RecordBatch
) -> bytes:
    fields = batch.select(["id", "source", "licence", "attribution", "language"]).to_pylist()
    texts: list[str] = batch.column("text").to_pylist()
    rows = [
        _document(*document, segmenter)
        for document in zip(fields, contents_of(batch), texts, strict=True)
    ]
    return FORMATS[table.format](rows)


def _dump_json_lines(rows: Sequence[Value]) -> bytes:
    lines = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    return zstandard.ZstdCompressor(level=10).compress(lines)


def _dump_parquet(rows: Sequence[Value]) -> bytes:
    buffer = io.BytesIO()
    try:
        pq.write_table(pa.Table.from_pylist(rows), buffer, compression="zstd")
    except pa.ArrowInvalid as error:
        raise UserError(
            f"documents.format: conversations whose contents are of several types have no place "
            f"in Parquet, use jsonl.zst ({error})"
        ) from None
    return buffer.getvalue()


FORMATS = {"jsonl.zst": _dump_json_lines, "parquet": _dump_parquet}


def _document(
    fields: dict[str, Any], content: Value, text: str, segmenter: Segmenter | None
) -> dict[str, Any]:
    document = content | fields
    document["lang"] = document.pop("language")
    if segmenter:
        document["words"] = segmenter.words(text)
    return document


def _place(batch: pa.RecordBatch, row: int) -> Place:
    return Place(batch.column("file")[row].as_py(), batch.column("line")[row].as_py())
