"""The steps from raw records to clean documents, each a function over an Arrow batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import compress
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from qingtan.corpus.cleaning import Cleaner, CleaningTable
from qingtan.corpus.contamination import DecontaminationTable, EvaluationIndex
from qingtan.corpus.documents import (
    DOCUMENTS,
    Value,
    content_of,
    dump_conversation,
    map_text,
    text_of,
)
from qingtan.corpus.pipeline.tally import Place, Tally
from qingtan.corpus.quality import (
    HISTOGRAMS,
    LanguageTable,
    Measures,
    QualityTable,
    histogram,
    identify,
    judge,
    measure,
)
from qingtan.corpus.reading import Rejected, parse
from qingtan.corpus.recipe import CorpusRecipe, Kind, SourceTable
from qingtan.corpus.statistics import Histogram, StepName
from qingtan.errors import UserError
from qingtan.safety import PersonalDataTable, find_personal_data, mask_personal_data


class Step(Protocol):
    """Takes a batch and gives one with documents changed or dropped, which it counts."""

    def __call__(self, batch: pa.RecordBatch, tally: Tally) -> pa.RecordBatch:
        """Work on a batch."""


def steps_of(
    recipe: CorpusRecipe, source: int, evaluation: EvaluationIndex | None
) -> Iterator[Step]:
    """Yield what is done to the raw records of a source, in this order."""
    table, kind = recipe.tables[source], recipe.source[source].kind
    yield Parse(recipe.source[source], recipe.exclude_sources)
    yield Clean(table.cleaning)
    if kind in table.languages.kinds:
        yield KeepLanguages(table.languages)
    if kind in table.quality.kinds:
        yield Judge(table.quality)
    if kind in table.personal_data.kinds:
        yield Mask(table.personal_data)
    if evaluation and kind in recipe.decontamination.kinds:
        yield Decontaminate(evaluation, recipe.decontamination)


class Parse:
    """Raw records to documents; what is none is set aside."""

    def __init__(self, source: SourceTable, exclude_sources: Sequence[str]) -> None:
        self._source, self._excluded = source, frozenset(exclude_sources)

    def __call__(self, batch: pa.RecordBatch, tally: Tally) -> pa.RecordBatch:
        """Read the records of a raw batch."""
        rows = list(self._rows(batch, tally))
        columns = list(zip(*rows, strict=True)) or [()] * len(DOCUMENTS)
        arrays = map(pa.array, columns, DOCUMENTS.types)
        documents = pa.RecordBatch.from_arrays(list(arrays), schema=DOCUMENTS)
        tally.remember(documents, list(columns[DOCUMENTS.get_field_index("text")]))
        tally.after("read", documents)
        tally.statistics.read = tally.statistics.after["read"].model_copy()
        return documents

    def _rows(self, batch: pa.RecordBatch, tally: Tally) -> Iterator[tuple[Any, ...]]:
        for item in parse(batch, self._source.format):
            place = Place(item.file, item.line)
            if isinstance(item, Rejected):
                tally.reject(place, item.reason)
            elif item.value.get("source") in self._excluded:
                tally.statistics.excluded += 1
            else:
                try:
                    yield self._row(place, item.value)
                except UserError as error:
                    tally.reject(place, str(error))

    def _row(self, place: Place, value: Value) -> tuple[Any, ...]:
        """Return the columns of DOCUMENTS."""
        kind, source, number = self._source.kind, self._source, value.get("id")
        content = content_of(kind, value)
        return (
            place.file,
            place.line,
            str(number) if isinstance(number, str | int) else None,
            _string(value.get("source")) or source.name,
            _string(value.get("licence")) or source.licence,
            _string(value.get("attribution")) or source.attribution,
            text_of(content),
            None if kind == "text" else dump_conversation(content),
            None,
        )


class Clean:
    """Cleans the text; a document of which nothing is left is dropped."""

    def __init__(self, table: CleaningTable) -> None:
        self._cleaner = Cleaner(table)

    def __call__(self, batch: pa.RecordBatch, tally: Tally) -> pa.RecordBatch:
        """Clean every document."""

        def clean(row: int, text: str) -> str:
            cleaned = self._cleaner.clean(text)
            before = text
            for step, after in cleaned.changes:
                tally.change(step, _place(batch, row), before, after)
                before = after
            return cleaned.text

        cleaned = _changed(batch, tally, clean)
        left = pc.binary_length(pc.utf8_trim_whitespace(cleaned.column("text")))
        keep = left.to_numpy(zero_copy_only=False) > 0
        for row in np.flatnonzero(~keep).tolist():
            tally.drop("clean", "nothing-left", _place(batch, row), _text(batch, row))
        return _kept(cleaned, keep, "clean", tally)


class KeepLanguages:
    """Keeps documents in the languages that are asked for."""

    def __init__(self, table: LanguageTable) -> None:
        self._table = table

    def __call__(self, batch: pa.RecordBatch, tally: Tally) -> pa.RecordBatch:
        """Identify the language of every document."""
        texts = tally.texts(batch)
        languages = identify(texts)
        for language in languages:
            tally.statistics.languages[language] = tally.statistics.languages.get(language, 0) + 1
        kept = [not self._table.keep or language in self._table.keep for language in languages]
        for row, language in enumerate(languages):
            if not kept[row]:
                tally.drop("language", f"language-{language}", _place(batch, row), texts[row])
        batch = _with_column(batch, "language", pa.array(languages, pa.string()))
        tally.remember(batch, texts)
        return _kept(batch, np.array(kept, np.bool_), "language", tally)


class Judge:
    """Drops what fails a quality rule."""

    def __init__(self, table: QualityTable) -> None:
        self._table = table

    def __call__(self, batch: pa.RecordBatch, tally: Tally) -> pa.RecordBatch:
        """Measure and judge every document."""
        texts = tally.texts(batch)
        languages = batch.column("language").to_pylist()
        measures = measure(texts)
        _count_histograms(measures, tally)
        verdicts = judge(measures, [language or "und" for language in languages], self._table)
        for row, verdict in enumerate(verdicts):
            if verdict:
                value, threshold = verdict.value, verdict.threshold
                tally.drop(
                    "quality", verdict.rule, _place(batch, row), texts[row], value, threshold
                )
        return _kept(batch, np.array([v is None for v in verdicts], np.bool_), "quality", tally)


class Mask:
    """Masks personal data."""

    def __init__(self, table: PersonalDataTable) -> None:
        self._kinds = table.mask

    def __call__(self, batch: pa.RecordBatch, tally: Tally) -> pa.RecordBatch:
        """Mask it in every document."""

        def mask(row: int, text: str) -> str:
            masked, counts = mask_personal_data(text, self._kinds)
            for kind, count in counts.items():
                tally.statistics.masked[kind] = tally.statistics.masked.get(kind, 0) + count
            if counts:
                tally.change("personal-data", _place(batch, row), text, masked)
            return masked

        # What a message holds, the text of all messages holds too; most hold nothing.
        texts = enumerate(tally.texts(batch))
        rows = [row for row, text in texts if find_personal_data(text, self._kinds)]
        batch = _changed(batch, tally, mask, rows) if rows else batch
        tally.after("personal-data", batch)
        return batch


class Decontaminate:
    """Drops what holds items of an evaluation set."""

    def __init__(self, index: EvaluationIndex, table: DecontaminationTable) -> None:
        self._index, self._table = index, table

    def __call__(self, batch: pa.RecordBatch, tally: Tally) -> pa.RecordBatch:
        """Look for evaluation items in every document."""
        texts = tally.texts(batch)
        found = self._index.find(texts)
        for row, contamination in enumerate(found):
            if contamination:
                share, allowed = contamination.share, self._table.share
                rule = f"contaminated-{contamination.set}"
                tally.contaminate(contamination.set, texts[row])
                tally.drop("decontamination", rule, _place(batch, row), texts[row], share, allowed)
        keep = np.array([contamination is None for contamination in found], np.bool_)
        return _kept(batch, keep, "decontamination", tally)


def kind_of(batch: pa.RecordBatch) -> Kind:
    """Return what the documents of a batch are; all are of one kind."""
    is_text = batch.column("conversation").null_count == batch.num_rows
    return "text" if is_text else "conversations"


def contents_of(batch: pa.RecordBatch) -> list[Value]:
    """Return {"text"} or {"messages", "tools"} of every document."""
    if kind_of(batch) == "text":
        return [{"text": text} for text in batch.column("text").to_pylist()]
    return [orjson.loads(data) for data in batch.column("conversation").to_pylist()]


def _changed(
    batch: pa.RecordBatch,
    tally: Tally,
    change: Callable[[int, str], str],
    rows: Sequence[int] | None = None,
) -> pa.RecordBatch:
    """Return the batch with `change(row, text)` of its documents, or of their messages.

    Args:
        rows: those that are changed; all by default.
    """
    texts = list(tally.texts(batch))
    new_texts: dict[int, str] = {}
    new_conversations: dict[int, bytes] = {}
    is_text = kind_of(batch) == "text"
    conversations = [] if is_text else batch.column("conversation").to_pylist()
    for row in range(batch.num_rows) if rows is None else rows:
        if is_text:
            text = change(row, texts[row])
        else:
            before = orjson.loads(conversations[row])
            after = map_text(before, partial(change, row))
            text = text_of(after)
            if after != before:
                new_conversations[row] = dump_conversation(after)
        if text != texts[row]:
            texts[row] = new_texts[row] = text
    batch = _replaced(batch, "conversation", new_conversations)
    return tally.remember(_replaced(batch, "text", new_texts), texts)


def _replaced(batch: pa.RecordBatch, name: str, values: Mapping[int, Any]) -> pa.RecordBatch:
    """Return the batch with some values of a column replaced; `values` rise by row."""
    if not values:
        return batch
    mask = np.zeros(batch.num_rows, np.bool_)
    mask[list(values)] = True
    column = batch.column(name)
    new = pa.array(values.values(), column.type)
    return _with_column(batch, name, pc.replace_with_mask(column, pa.array(mask), new))


def _with_column(batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    return batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), values)


def _kept(
    batch: pa.RecordBatch, keep: NDArray[np.bool_], step: StepName, tally: Tally
) -> pa.RecordBatch:
    if not keep.all():
        texts = list(compress(tally.texts(batch), keep.tolist()))
        batch = tally.remember(batch.filter(pa.array(keep)), texts)
    tally.after(step, batch)
    return batch


def _count_histograms(measures: Measures, tally: Tally) -> None:
    for name, (_, edges) in HISTOGRAMS.items():
        counts = histogram(measures, name).tolist()
        tally.statistics.histograms[name] = Histogram(edges=list(edges), counts=counts)


def _text(batch: pa.RecordBatch, row: int) -> str:
    return str(batch.column("text")[int(row)].as_py())


def _place(batch: pa.RecordBatch, row: int) -> Place:
    file, line = batch.column("file")[int(row)], batch.column("line")[int(row)]
    return Place(file.as_py(), line.as_py())


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
