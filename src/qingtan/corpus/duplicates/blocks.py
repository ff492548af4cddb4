"""Texts in blocks that the processor's cache holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qingtan.corpus.ngrams import Characters

# An n-gram's way to its hash takes about 60 bytes; more than the cache holds is half as fast.
_BLOCK_CHARACTERS = 1 << 17


def folded_blocks(texts: Sequence[str]) -> Iterator[tuple[int, Characters]]:
    """Yield texts folded, a block at a time: the number of its first text, and its characters."""
    first = size = 0
    for i, text in enumerate(texts):
        size += len(text)
        if size >= _BLOCK_CHARACTERS or i == len(texts) - 1:
            yield first, Characters.of(texts[first : i + 1]).folded()
            first, size = i + 1, 0
