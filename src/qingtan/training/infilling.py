"""GLM's autoregressive blank infilling (2103.10360), for a model that reads from left to right.

A text becomes `[gMASK] sop A`, in which spans are replaced by one mask token each, and after it for
each span, in the order of the text, `sop span eop`. Only what follows a `sop`, the span and its
`eop`, is to be predicted; A is input.

The paper shuffles the spans, gives every token two positions, of which one says which blank a span
fills, and lets A see both ways. ChatGLM3 has one position a token and causal attention, with which
only the order says which blank a span fills: so the spans are not shuffled here, and a blank is
filled with what the whole of A says on both sides of it, for A stands before all spans.
"""

import math

import numpy as np
from numpy.typing import NDArray

from qingtan.glm.tokenizer import GLMTokenizer
from qingtan.training.tables import InfillingTable

# A text of fewer tokens is learnt as it is: a blank would leave nothing to fill it from.
SHORTEST = 8
# The mask token, `sop` and `eop` that each span adds.
ADDED = 3

_ENDS = tuple("。！？….!?\n")
_CLOSES = "”’」』）】》〉\"')] "


class Infiller:
    """Turns a text into one with blanks, followed by what stands in them.

    The kinds are drawn by their weights: [MASK], short spans of Poisson-distributed lengths that
    do not touch; [sMASK], whole sentences, or [MASK] where there are not two; [gMASK], one span of
    50–100% of the tokens at the end.
    """

    def __init__(self, table: InfillingTable, tokenizer: GLMTokenizer) -> None:
        self._table = table
        self._sentences = _Sentences(tokenizer)
        self._eos = tokenizer.eos_id
        self._prefix = np.asarray(tokenizer.prefix)
        names = ("[MASK]", "[sMASK]", "[gMASK]")
        self._masks = [tokenizer.special_id(name) for name in names]
        self._sop, self._eop = tokenizer.special_id("sop"), tokenizer.special_id("eop")
        weights = np.asarray([table.mask, table.smask, table.gmask])
        self._thresholds = np.cumsum(weights / weights.sum())

    def draws(self, rng: np.random.Generator) -> bool:
        """Draw whether a document gets blanks."""
        return bool(rng.random() < self._table.share)

    def longest(self, limit: int) -> int:
        """Return the most tokens of a text whose form with blanks surely has at most `limit`."""
        length = int(limit / (1 + ADDED * self._table.masked_share / self._table.mean_span)) + 1
        while length + ADDED * self._most_spans(length) > limit:
            length -= 1
        return length

    def blank_out(
        self, tokens: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the form with blanks, and for each token whether it is to be predicted.

        The two tokens that start a sequence stay in their place, and the final eos is dropped, for
        every span has its own end; either is absent where the text was cut. The `eop` of a [gMASK]
        span that was cut is not to be predicted, for the text goes on there. A text of fewer than
        SHORTEST tokens is returned as it is, everything but its first token to be predicted.

        Args:
            tokens: (n,), as they stand in a shard.
        """
        first = 2 if np.array_equal(tokens[:2], self._prefix) else 0
        is_whole = len(tokens) > 0 and tokens[-1] == self._eos
        text = tokens[first : len(tokens) - is_whole]
        if len(text) < SHORTEST:
            return tokens, np.arange(len(tokens)) > 0
        kind = int(np.searchsorted(self._thresholds, rng.random(), side="right"))
        spans = self._draw_sentences(text, bool(first), is_whole, rng) if kind == 1 else None
        if kind == 2:
            start = int(len(text) * rng.uniform(0, 0.5))
            spans = np.asarray([[start, len(text)]])
        elif spans is None:
            kind, spans = 0, self._draw_short(len(text), rng)
        blanked, trained = self._lay_out(tokens[:first], text, spans, self._masks[kind])
        trained[-1] = kind != 2 or is_whole
        return blanked, trained

    def _most_spans(self, length: int) -> int:
        return max(1, math.ceil(length * self._table.masked_share / self._table.mean_span))

    def _draw_short(self, length: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the starts and ends (k, 2) of short spans, any placing as likely as any other."""
        mean = self._table.mean_span
        # Lengths of 0 become 1, which makes the mean a little greater than the distribution's.
        expected = length * self._table.masked_share / (mean + math.exp(-mean))
        count = max(1, int(expected + rng.random()))
        sizes = np.clip(rng.poisson(mean, count), 1, length)
        # Those that do not fit with a token between any two are left out.
        sizes = sizes[np.cumsum(sizes) + np.arange(count) <= length]
        count, before = len(sizes), np.cumsum(sizes) - sizes
        # Of the free tokens and the spans in a row, which are spans? One token between two spans
        # is not free.
        free = length - int(sizes.sum()) - (count - 1)
        starts = np.sort(rng.choice(free + count, count, replace=False)) + before
        return np.stack([starts, starts + sizes], axis=1)

    def _draw_sentences(
        self,
        text: NDArray[np.int64],
        from_start: bool,
        to_end: bool,
        rng: np.random.Generator,
    ) -> NDArray[np.int64] | None:
        """Return the starts and ends (k, 2) of some sentences; None if there are not two."""
        sentences = self._sentences.find(text, from_start, to_end)
        if len(sentences) < 2:
            return None
        order = rng.permutation(len(sentences))[: self._most_spans(len(text))]
        sizes = np.diff(sentences[order], axis=1)[:, 0]
        # Each that brings the sum nearer to the share than it was without.
        is_nearer = np.cumsum(sizes) - sizes / 2 <= len(text) * self._table.masked_share
        return sentences[np.sort(order[: max(1, int(is_nearer.sum()))])]

    def _lay_out(
        self,
        prefix: NDArray[np.int64],
        text: NDArray[np.int64],
        spans: NDArray[np.int64],
        mask: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        mask_token, sop, eop = (np.asarray([token]) for token in (mask, self._sop, self._eop))
        kept, filled, last = [prefix], [], 0
        for start, end in spans.tolist():
            kept += [text[last:start], mask_token]
            filled += [sop, text[start:end], eop]
            last = end
        kept.append(text[last:])
        blanked = np.concatenate(kept + filled)
        sizes = np.diff(spans, axis=1)[:, 0] + 2
        trained = np.ones(len(blanked), np.bool_)
        first = len(blanked) - int(sizes.sum())
        trained[:first] = False
        trained[first + np.cumsum(sizes) - sizes] = False
        return blanked, trained


class _Sentences:
    """Finds sentences by their tokens, with a table of what each piece ends and begins."""

    def __init__(self, tokenizer: GLMTokenizer) -> None:
        data = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        texts = [piece.decode("utf-8", "replace") for piece in data]
        bare = [text.rstrip(_CLOSES) for text in texts]
        # Ends a sentence, perhaps with quotes or brackets behind.
        self._ends = np.asarray([text.endswith(_ENDS) for text in bare])
        # A point, as in 3.14, ends none when a word or a number goes on behind it.
        self._ends_if_apart = np.asarray([text.endswith((".", "!", "?")) for text in texts])
        self._goes_on = np.asarray([text[:1].isascii() and text[:1].isalnum() for text in texts])
        # Nothing but what closes, so an end before it is one after it.
        self._closes = np.asarray(
            [bool(text) and not end for text, end in zip(texts, bare, strict=True)]
        )
        # Nothing but ends and what closes belongs to the sentence before.
        self._trails = np.asarray(
            [bool(text) and not text.strip(_CLOSES + "".join(_ENDS)) for text in texts]
        )

    def find(self, text: NDArray[np.int64], from_start: bool, to_end: bool) -> NDArray[np.int64]:
        """Return the starts and ends (k, 2) of the whole sentences.

        Args:
            from_start: a sentence begins with the first token.
            to_end: one ends with the last, whatever that is.
        """
        places = np.arange(len(text))
        # The last token up to each that does more than close.
        speaking = np.maximum.accumulate(np.where(self._closes[text], 0, places))
        ends = self._ends[text[speaking]]
        ends[:-1] &= ~self._trails[text[1:]]
        ends[:-1] &= ~(self._ends_if_apart[text[:-1]] & self._goes_on[text[1:]])
        ends[-1] |= to_end
        stops = np.flatnonzero(ends) + 1
        starts = np.concatenate([[0], stops[:-1]])[: len(stops)]
        return np.stack([starts, stops], axis=1)[0 if from_start else 1 :]
