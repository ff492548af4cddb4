"""Parquet: rows as objects, nested values included."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from qingtan.corpus.reading.records import Parsed, Run, too_long
from qingtan.corpus.reading.settings import FormatTable
from qingtan.corpus.reading.streams import Chunks

# Rows read at once: columns are often encoded to a hundredth of their size, which the file does
# not tell, so their bytes cannot be bounded beforehand.
_MOST_ROWS = 1024


def read_parquet(chunks: Chunks, table: FormatTable) -> Iterator[Run]:
    """Yield runs of rows, each as an Arrow IPC stream.

    Raises:
        ValueError: two columns have the same name.
    """
    # Buffered reading takes a page at a time instead of all that a row group has of a column.
    with pq.ParquetFile(chunks.path, buffer_size=1 << 20, pre_buffer=False) as file:
        names = file.schema_arrow.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two columns are called {twice[0]!r}; rename one")
        row = 1
        rows = _rows_at_once(file.metadata, chunks.size)
        for batch in file.iter_batches(batch_size=rows, use_threads=False):
            yield from _runs_of(batch, row, chunks.size, table)
            row += batch.num_rows


def take_rows(run: Run, count: int, table: FormatTable) -> tuple[Run, int]:
    """Return the first rows of a run."""
    batch = _unpack(run.data)
    taken = batch.slice(0, count)
    return Run(run.line, _pack(taken)), taken.num_rows


def parse_parquet(run: Run, table: FormatTable) -> Parsed:
    """Yield each row as an object of Python values."""
    batch = _unpack(run.data)
    try:
        values: list[Any] = batch.to_pylist()
    except (ValueError, pa.ArrowException):
        values = [_value_of(batch.slice(place, 1)) for place in range(batch.num_rows)]
    yield from enumerate(values, start=run.line)


def _value_of(row: pa.RecordBatch) -> dict[str, Any] | str:
    try:
        value: dict[str, Any] = row.to_pylist()[0]
    except (ValueError, pa.ArrowException) as error:
        return f"a value that Python cannot hold: {error}"
    return value


def _rows_at_once(metadata: Any, size: int) -> int:
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    largest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=0)
    return max(1, min(_MOST_ROWS, int(size / max(largest, 1))))


def _runs_of(batch: pa.RecordBatch, row: int, size: int, table: FormatTable) -> Iterator[Run]:
    """Yield the rows of a batch in runs of about `size` bytes."""
    step = max(1, batch.num_rows * size // max(batch.nbytes, 1))
    for start in range(0, batch.num_rows, step):
        rows = batch.slice(start, step)
        if rows.nbytes <= table.max_record_bytes:
            yield Run(row + start, _pack(rows))
        else:
            yield from _runs_of_long_rows(rows, row + start, table)


def _runs_of_long_rows(rows: pa.RecordBatch, first: int, table: FormatTable) -> Iterator[Run]:
    for place in range(rows.num_rows):
        row = rows.slice(place, 1)
        if row.nbytes > table.max_record_bytes:
            yield too_long(first + place, table)
        else:
            yield Run(first + place, _pack(row))


def _pack(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _unpack(data: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(data) as stream:
        return stream.read_next_batch()
