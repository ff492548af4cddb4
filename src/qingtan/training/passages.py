"""Questions with the passages that answer them, read from a file, as batches for an encoder."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, Literal

import numpy as np

from qingtan.corpus.documents import digest_of, share_of
from qingtan.errors import UserError
from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.provenance import LicenceTable, Provenance, Source
from qingtan.training.batches import Batch, Skipped, Written, make_batch
from qingtan.training.packing import pack
from qingtan.training.pairs import read_records
from qingtan.training.tables import ContrastiveTable

Role = Literal["question", "passage", "negative"]


@dataclass(frozen=True)
class Text(Written):
    """A question or a passage.

    Attributes:
        number: equal texts have equal numbers, others do not.
    """

    number: int


@dataclass(frozen=True)
class PassagePair:
    """A question, the passage that answers it, and passages that do not.

    Attributes:
        name: file and line.
        document: the number of the document that the passage is from.
        place: of the document in [0, 1), evenly distributed, the same in every run.
    """

    name: str
    question: Text
    passage: Text
    negatives: tuple[Text, ...]
    document: int
    place: float


@dataclass(frozen=True)
class Member(Text):
    """A text in a batch.

    Attributes:
        pair: which of the batch's pairs it belongs to, from 0.
        document: that pair's.
    """

    pair: int
    document: int
    role: Role


class PassagePairs:
    """The pairs of a run, as a source of batches.

    Attributes:
        documents: the pairs that are trained on.
        skipped: pairs that cannot be: an empty question or passage.
        train, validation: no document is in both.
        provenance: the sources of all pairs.

    Args:
        pairs: of at least two documents.
        table: says how much is kept out, and how many negatives a pair has in an epoch.
        length: T, the tokens of a row.
        seed: gives the order of each epoch.

    Raises:
        UserError: there are fewer than two documents.
    """

    def __init__(
        self,
        pairs: Sequence[PassagePair],
        skipped: Sequence[Skipped],
        table: ContrastiveTable,
        length: int,
        seed: int,
        provenance: Provenance | None = None,
    ) -> None:
        places = sorted({pair.place for pair in pairs})
        if len(places) < 2:
            raise UserError(
                f"contrastive.pairs: {len(pairs)} pairs of {len(places)} documents are left and "
                f"{len(skipped)} are skipped, but it takes two documents, one to learn from and "
                "one to measure on"
                + (f"; the first: {skipped[0].name}: {skipped[0].reason}" if skipped else "")
            )
        cut = min(max(table.validation_share, places[1]), places[-1])
        self.train = [pair for pair in pairs if pair.place >= cut]
        self.validation = [pair for pair in pairs if pair.place < cut]
        self.documents = len(self.train)
        self.skipped = list(skipped)
        self.provenance = provenance or Provenance()
        self._negatives = table.negatives
        self._length = length
        self._seed = seed

    @classmethod
    def open(
        cls, table: ContrastiveTable, tokenizer: GLMTokenizer, length: int, seed: int
    ) -> "PassagePairs":
        """Read and encode all pairs into memory: nine bytes a token, equal texts once.

        A text is encoded as `ChatGLM.embed` does it, and cut to `table.length` tokens.

        Args:
            length: tokens of a row.
            seed: gives the order of each epoch.

        Raises:
            UserError: a file cannot be read, or a record is malformed or says nothing of its
                source or licence; the message names its line.
        """
        reader = _Reader(table, tokenizer)
        pairs: list[PassagePair] = []
        skipped: list[Skipped] = []
        for name, record in read_records(table.pairs):
            try:
                pair = reader.take(name, record)
            except UserError as error:
                raise UserError(f"{name}: {error}") from None
            if isinstance(pair, Skipped):
                skipped.append(pair)
            else:
                pairs.append(pair)
        return cls(pairs, skipped, table, length, seed, reader.provenance())

    def batches(self, rows: int, skip: int = 0) -> Iterator[Batch]:
        """Yield batches for ever; `skip` starts after so many of them.

        A batch has as many pairs as fit: their texts are `Member`s, packed into rows.

        Args:
            rows: of a batch, at most.
        """
        for members in islice(self._plan(rows), skip, None):
            packed = pack([member.length for member in members], self._length)
            yield make_batch([[members[i] for i in row] for row in packed], self._length)

    def _plan(self, rows: int) -> Iterator[list[Member]]:
        order = self._order()
        waiting: deque[tuple[PassagePair, list[Text]]] = deque()
        while True:
            chosen: list[tuple[PassagePair, list[Text]]] = []
            room = rows * self._length
            while True:
                if not waiting:
                    waiting.append(next(order))
                room -= _size(*waiting[0])
                if room < 0:
                    break
                chosen.append(waiting.popleft())
            # What has room by its tokens may still not fit when it is packed.
            while len(pack(_lengths(chosen), self._length)) > rows:
                waiting.appendleft(chosen.pop())
            yield [
                member
                for number, (pair, negatives) in enumerate(chosen)
                for member in _members(number, pair, negatives)
            ]

    def _order(self) -> Iterator[tuple[PassagePair, list[Text]]]:
        """Yield the pairs, each epoch in a new order, with the negatives that were drawn."""
        for epoch in count():
            rng = np.random.default_rng([self._seed, epoch])
            for i in rng.permutation(len(self.train)).tolist():
                pair = self.train[i]
                drawn = rng.permutation(len(pair.negatives))[: self._negatives]
                yield pair, [pair.negatives[j] for j in drawn.tolist()]


def _size(pair: PassagePair, negatives: Sequence[Text]) -> int:
    return pair.question.length + pair.passage.length + sum(text.length for text in negatives)


def _lengths(chosen: Sequence[tuple[PassagePair, Sequence[Text]]]) -> list[int]:
    texts = ((pair.question, pair.passage, *negatives) for pair, negatives in chosen)
    return [text.length for each in texts for text in each]


def _members(number: int, pair: PassagePair, negatives: Sequence[Text]) -> Iterator[Member]:
    texts: list[tuple[Role, Text]] = [("question", pair.question), ("passage", pair.passage)]
    texts += [("negative", text) for text in negatives]
    for role, text in texts:
        yield Member(pair.name, text.ids, text.mask, text.number, number, pair.document, role)


class _Reader:
    """Makes pairs of records, and counts their sources."""

    def __init__(self, table: ContrastiveTable, tokenizer: GLMTokenizer) -> None:
        self._table = table
        self._tokenizer = tokenizer
        self._known = LicenceTable.read(table.licences) if table.licences else LicenceTable()
        self._texts: dict[str, Text] = {}
        self._documents: dict[str, int] = {}
        self._sources: dict[tuple[str, str], Source] = {}
        self._counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._attributions: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def take(self, name: str, record: Mapping[str, Any]) -> PassagePair | Skipped:
        question, passage = (_text(field, record) for field in ("question", "passage"))
        for field, text in (("question", question), ("passage", passage)):
            if not text.strip():
                return Skipped(name, 0, f"{field} is empty")
        negatives = _texts("negatives", record)
        document = _optional("document", record) or passage
        source = self._source(record)
        asked, answer = self._encode(question), self._encode(passage)
        others = tuple(
            self._encode(text)
            for text in dict.fromkeys(negatives)
            if text.strip() and text != passage
        )
        self._count(source, record, [question, passage, *negatives], [asked, answer, *others])
        digest = np.frombuffer(digest_of(document.encode()), np.uint8)[None]
        number = self._documents.setdefault(document, len(self._documents))
        place = float(share_of(digest)[0])
        return PassagePair(name, asked, answer, others, number, place)

    def provenance(self) -> Provenance:
        sources = [
            source.model_copy(update=self._counts[key]) for key, source in self._sources.items()
        ]
        return Provenance(sources=tuple(sources)).with_attributions(self._attributions)

    def _encode(self, text: str) -> Text:
        if text not in self._texts:
            tokenizer = self._tokenizer
            ids = np.asarray([*tokenizer.prefix, *tokenizer.encode(text)], np.int64)
            ids = ids[: self._table.length].copy()
            number = len(self._texts)
            self._texts[text] = Text("", ids, np.zeros(len(ids), np.bool_), number)
        return self._texts[text]

    def _source(self, record: Mapping[str, Any]) -> Source:
        table = self._table
        name, licence = (_optional(field, record) for field in ("source", "licence"))
        if not name and not table.source:
            raise UserError('no source: give the record a "source", or contrastive.source')
        source = self._known.describe(name or table.source, licence or None)
        if not licence and source.name not in self._known.sources:
            if not table.licence:
                raise UserError('no licence: give the record a "licence", or contrastive.licence')
            source = self._known.describe(name or table.source, table.licence)
        if name:
            return source
        own = {"origin": table.origin, "attribution": table.attribution}
        return source.model_copy(update={field: text for field, text in own.items() if text})

    def _count(
        self,
        source: Source,
        record: Mapping[str, Any],
        texts: Sequence[str],
        encoded: Sequence[Text],
    ) -> None:
        self._sources.setdefault(source.key, source)
        counts = self._counts[source.key]
        counts["documents"] += 1
        counts["bytes"] += sum(len(text.encode()) for text in texts)
        counts["tokens"] += sum(text.length for text in encoded)
        if attribution := _optional("attribution", record):
            self._attributions[source.key].add(attribution)


def _text(field: str, record: Mapping[str, Any]) -> str:
    if field not in record:
        raise UserError(f'no field "{field}"')
    return _optional(field, record)


def _optional(field: str, record: Mapping[str, Any]) -> str:
    value = record.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f'field "{field}": give a text')
    return value


def _texts(field: str, record: Mapping[str, Any]) -> list[str]:
    value = record.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise UserError(f'field "{field}": give a list of texts')
    return value
