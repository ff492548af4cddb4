"""Finding passages: by words and, where a base has vectors, by nearness, joined by their ranks."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from qingtan.knowledge.claims import features
from qingtan.knowledge.encoders import Encoder
from qingtan.knowledge.numerals import NUMERAL, spell_articles
from qingtan.knowledge.rewriting import Rewrite, Turns, rewrite
from qingtan.knowledge.store.interface import Base, Filter, Found, Store, StoredChunk

# Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet and individual
# rank learning methods".
_K = 60
_TITLE = re.compile("《([^《》]+)》")
_NUMBER = re.compile(rf"第{NUMERAL}+[编章节条](?:之{NUMERAL}+)?")
# How many of each list are joined, for each passage that is asked for.
_POOL, _LEAST_POOL = 2, 10
# Passages are the same where they share so much of their words.
_SAME = 0.9
_NO_REST = re.compile(r"[\W\u4e00-\u9fff]+")
_MARKS = 512
_TEXTS = 4096  # for which this is remembered


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found.

    Attributes:
        score: by which hits are ordered: the sum of 1 / (60 + rank) over the lists that have it,
            and 1 / 60 for its document's title where the question has it in 《》, and for its own
            number where the question has that, such as 第三条.
        words: its score by bm25; None where the words did not find it.
        vectors: its cosine; None where the vectors did not find it.
    """

    chunk: StoredChunk
    score: float
    words: float | None = None
    vectors: float | None = None


class Retriever:
    """Finds passages in a store.

    Args:
        encoder: makes vectors of questions, for bases whose passages it made vectors of.
        rewrite: makes follow-up questions whole.
    """

    def __init__(
        self, store: Store, encoder: Encoder | None = None, rewrite: Rewrite = rewrite
    ) -> None:
        self.store = store
        self._encoder = encoder
        self._rewrite = rewrite

    def whole(self, question: str, history: Turns = ()) -> str:
        """Return the question that is searched for: with what it leaves to the conversation."""
        return self._rewrite(question, history) if history else question

    def find(
        self,
        bases: Sequence[Base],
        question: str,
        limit: int = 5,
        where: Filter | None = None,
        history: Turns = (),
    ) -> list[Hit]:
        """Return the passages that answer a question best, best first.

        Of passages that say the same, the first stands for all.

        Args:
            bases: of one tenant.
            history: OpenAI's messages before the question.

        Raises:
            UserError: the encoder cannot be reached.
        """
        if limit < 1 or not bases:
            return []
        query, where = spell_articles(self.whole(question, history)), where or Filter()
        if self._plain(bases, query):
            # Most often the first say different things each, and more would be loaded in vain.
            words = self.store.search_words(bases, query, limit, where)
            hits = _distinct(fuse(words, ()), limit)
            if len(hits) == limit or len(words) < limit:
                return hits
        return self._find(bases, query, limit, where)

    def _find(self, bases: Sequence[Base], query: str, limit: int, where: Filter) -> list[Hit]:
        pool = max(_LEAST_POOL, _POOL * limit)
        words = self.store.search_words(bases, query, pool, where)
        if numbers := _NUMBER.findall(query):
            # A law's name stands in all its chunks, and the length of an article could hide it.
            numbered = self.store.search_words(bases, " ".join(numbers), pool, where)
            known = {each.chunk.id for each in words}
            words = [*words, *(each for each in numbered if each.chunk.id not in known)]
        vectors = self._near(bases, query, pool, where)
        hits = _named_first(query, fuse(words, vectors))
        return _distinct(hits, limit)

    def around(self, base: Base, hit: Hit, count: int = 1) -> list[StoredChunk]:
        """Return a hit's passage with `count` before and after it in its document, in order."""
        chunks = self.store.chunks(base, hit.chunk.document.id)
        place = next((i for i, each in enumerate(chunks) if each.id == hit.chunk.id), None)
        if place is None:
            return [hit.chunk]
        return chunks[max(0, place - count) : place + count + 1]

    def _plain(self, bases: Sequence[Base], query: str) -> bool:
        """Whether words alone decide: neither vectors do, nor titles or numbers in the query."""
        vectors = self._encoder and any(base.encoder == self._encoder.name for base in bases)
        return not vectors and not _TITLE.search(query) and not _NUMBER.search(query)

    def _near(self, bases: Sequence[Base], query: str, pool: int, where: Filter) -> Sequence[Found]:
        encoder = self._encoder
        if encoder is None:
            return ()
        encoded = [base for base in bases if base.encoder == encoder.name]
        if not encoded:
            return ()
        return self.store.search_vectors(encoded, encoder.encode([query])[0], pool, where)


def fuse(words: Sequence[Found], vectors: Sequence[Found]) -> list[Hit]:
    """Join two lists, each best first, by reciprocal ranks."""
    if not vectors:
        ranked = enumerate(words, start=1)
        return [Hit(each.chunk, 1 / (_K + rank), each.score) for rank, each in ranked]
    chunks: dict[str, StoredChunk] = {}
    scores: dict[str, float] = {}
    for found in (words, vectors):
        for rank, each in enumerate(found, start=1):
            chunks[each.chunk.id] = each.chunk
            scores[each.chunk.id] = scores.get(each.chunk.id, 0.0) + 1 / (_K + rank)
    by_words = {each.chunk.id: each.score for each in words}
    by_vectors = {each.chunk.id: each.score for each in vectors}
    hits = [
        Hit(chunks[id], score, by_words.get(id), by_vectors.get(id)) for id, score in scores.items()
    ]
    return sorted(hits, key=lambda hit: -hit.score)


def _named_first(query: str, hits: Sequence[Hit]) -> list[Hit]:
    """Return hits in the order of their scores, to which the names in a question are added."""
    titles, numbers = set(_TITLE.findall(query)), set(_NUMBER.findall(query))
    if not titles and not numbers:
        return list(hits)
    named = []
    for hit in hits:
        chunk = hit.chunk
        above = {
            chunk.document.title.strip("《》"),
            *(each.strip("《》") for each in chunk.chunk.headings),
        }
        count = bool(titles & above) + (chunk.chunk.label in numbers)
        named.append(replace(hit, score=hit.score + count / _K))
    return sorted(named, key=lambda hit: -hit.score)


def _distinct(hits: Iterable[Hit], limit: int) -> list[Hit]:
    """Return the first hits that say something else than those before them."""
    kept: list[Hit] = []
    said: dict[str, list[str]] = {}
    for hit in hits:
        text = hit.chunk.chunk.text
        alike = said.setdefault(_rest(text), [])
        if not any(_same(text, other) for other in alike):
            kept.append(hit)
            alike.append(text)
        if len(kept) == limit:
            break
    return kept


def _same(first: str, second: str) -> bool:
    """Whether two passages of about the same length share nearly all characters and words.

    `_rest` is equal already.
    """
    if first == second:
        return True
    if min(len(first), len(second)) < _SAME * max(len(first), len(second)):
        return False
    if (_marks(first) ^ _marks(second)).bit_count() > _most_apart(first, second):
        return False
    return (
        _shared(frozenset(first), frozenset(second)) >= _SAME
        and _shared(frozenset(features(first)), frozenset(features(second))) >= _SAME
    )


@lru_cache(maxsize=_TEXTS)
def _marks(text: str) -> int:
    """Return bits that stand for a text's characters: two texts differ in no more than these."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    marks = np.zeros(_MARKS, bool)
    marks[codes % _MARKS] = True
    return int.from_bytes(np.packbits(marks).tobytes())


def _most_apart(first: str, second: str) -> float:
    """Return how many characters stand in one text alone, at most, if they share enough."""
    return (1 - _SAME) / _SAME * min(len(first), len(second))


def _shared(first: frozenset[str], second: frozenset[str]) -> float:
    if min(len(first), len(second)) < _SAME * max(len(first), len(second)):
        return 0.0
    both = len(first & second)
    return both / max(len(first) + len(second) - both, 1)


@lru_cache(maxsize=_TEXTS)
def _rest(text: str) -> str:
    """Return a text's numbers and letters: passages that differ by one say different things."""
    return _NO_REST.sub(" ", text).strip()
