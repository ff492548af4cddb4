"""Blocks of unparsed records, and the records in them."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from qingtan.corpus.reading.files import InputFile
from qingtan.corpus.reading.formats import FORMATS, explain_unknown, find_format
from qingtan.corpus.reading.records import Format, Record, Rejected, Run
from qingtan.corpus.reading.settings import FormatTable
from qingtan.corpus.reading.streams import Chunks
from qingtan.errors import UserError

RAW_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("data", pa.large_binary(), nullable=False),
    ]
)
# The format of a row whose data is the reason why the record at its line is rejected.
_REJECTED = "rejected"
# Larger pieces make the allocator ask the system for memory for each.
_CHUNK_BYTES = 1 << 18
_CHUNKS_A_BLOCK = 32


def read_raw(
    files: Sequence[InputFile],
    table: FormatTable,
    limit: int | None = None,
    block_bytes: int = 8 << 20,
) -> Iterator[pa.RecordBatch]:
    """Yield the records of files, in order, unparsed.

    Nothing but these arguments and the files' bytes decides where a block ends. Memory stays at
    some blocks, whatever the files' sizes, if no record is longer.

    Args:
        limit: at most so many records in all; blank lines are none, rejected records are some.
        block_bytes: a block ends with the row that reaches so many bytes of data.

    Returns:
        Blocks of `RAW_SCHEMA`; a row is a run of whole records of one file: its name as reported,
        its format, the line (in Parquet the row, both from 1) of the first record, and the bytes.

    Raises:
        UserError: a file is missing, cannot be read to its end, is of no known format, or is
            unusable as a whole.
    """
    rows: list[tuple[str, str, int, bytes]] = []
    size = 0
    for file, name, run in _limit_runs(files, table, limit, block_bytes):
        rows.append((file.name, _REJECTED if run.rejected else name, run.line, run.data))
        size += len(run.data)
        if size >= block_bytes:
            yield _make_block(rows)
            rows, size = [], 0
    if rows:
        yield _make_block(rows)


def parse(block: pa.RecordBatch, table: FormatTable) -> Iterator[Record | Rejected]:
    """Yield the records of a block in order; what is no record is yielded as `Rejected`.

    Args:
        block: one of `read_raw`, read with the same table.
    """
    columns = (block.column(name).to_pylist() for name in ("file", "format", "line"))
    for (file, name, line), data in zip(
        zip(*columns, strict=True), block.column("data"), strict=True
    ):
        run = Run(line, data.as_py(), rejected=name == _REJECTED)
        if run.rejected:
            yield Rejected(file, line, run.data.decode())
            continue
        for place, value in FORMATS[name].parse(run, table):
            if isinstance(value, str):
                yield Rejected(file, place, value)
            else:
                yield Record(file, place, _rename(value, table.fields))


def _limit_runs(
    files: Sequence[InputFile], table: FormatTable, limit: int | None, block_bytes: int
) -> Iterator[tuple[InputFile, str, Run]]:
    if limit == 0:
        return
    size = max(1, min(_CHUNK_BYTES, block_bytes // _CHUNKS_A_BLOCK))
    for file in files:
        reader = _find_reader(file)
        for run in _read_file(file, reader, size, table):
            if limit is not None:
                run, count = (run, 1) if run.rejected else reader.take(run, limit, table)
                limit -= count
                if not count:
                    continue
            yield file, reader.name, run
            if limit == 0:
                return


def _find_reader(file: InputFile) -> Format:
    reader = find_format(file.path.name)
    if reader is None:
        raise UserError(f"{file.path}: {explain_unknown(file.path.name)}")
    return reader


def _read_file(file: InputFile, reader: Format, size: int, table: FormatTable) -> Iterator[Run]:
    runs = reader.read(Chunks(file.path, size), table)
    try:
        yield from runs
    except FileNotFoundError:
        raise UserError(f"{file.path}: no such file") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{file.path}: cannot be read: {error}") from None


def _make_block(rows: list[tuple[str, str, int, bytes]]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [
        pa.array(column, field.type) for column, field in zip(columns, RAW_SCHEMA, strict=True)
    ]
    return pa.record_batch(arrays, schema=RAW_SCHEMA)


def _rename(value: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
    """Give fields our names; what the file itself calls by one of our names is left out."""
    if not fields:
        return value
    named = {ours: value[theirs] for ours, theirs in fields.items() if theirs in value}
    hidden = {*fields, *fields.values()}
    return {name: item for name, item in value.items() if name not in hidden} | named
